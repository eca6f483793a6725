"""One pass over a split: sums, decoded predictions, and the packaged model agree."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn import metrics as sk

from distrain.data.prepared import PreparedDataset
from distrain.models.build import InputNormalizer, build_model
from distrain.track.packaged import Predictor, save_packaged
from distrain.train.evaluation import Evaluator
from distrain.train.loop import TrainJob, train
from distrain.train.losses import build_loss, default_loss
from distrain.train.metrics import resolve_metrics
from distrain.train.world import World
from tests.prepared_examples import write_classified, write_images, write_regression

CPU = World.single("cpu")
MLP = {"name": "mlp", "hidden": [8]}
CNN = {"name": "cnn", "channels": [4], "hidden": [8]}


def write(kind: str, folder: Path, rows: dict[str, int]) -> Path:
    if kind == "image":
        return write_images(folder, rows)
    if kind == "regression":
        return write_regression(folder, rows, ("a", "b"))
    return write_classified(folder, rows, num_classes=2 if kind == "binary" else 3, shard_rows=700)


def evaluator_of(dataset: PreparedDataset, spec: dict[str, Any]) -> Evaluator:
    transform = dataset.transform
    model = build_model(
        spec, input_shape=transform.input_shape, num_outputs=transform.num_outputs, seed=0
    )
    loss = build_loss(
        default_loss(transform.task),
        transform=transform,
        class_counts=lambda: [],
        device=torch.device("cpu"),
    )
    return Evaluator(model, InputNormalizer(transform.image), loss, transform, CPU)


@pytest.mark.parametrize("kind", ["binary", "classes", "image", "regression"])
def test_metrics_from_sums_are_those_from_predictions(kind: str, tmp_path: Path) -> None:
    dataset = PreparedDataset.open(write(kind, tmp_path, {"train": 4, "test": 1030}))
    evaluator = evaluator_of(dataset, CNN if kind == "image" else MLP)
    task = dataset.transform.task
    names = ["rmse", "mae", "mse", "r2"] if task == "regression" else ["accuracy", "f1", "recall"]
    metrics = resolve_metrics(names, task)
    split = dataset.split("test")
    from_sums = evaluator.measure(split, metrics)
    assert list(from_sums) == ["loss", *names]
    assert from_sums == pytest.approx(evaluator.assess(split, metrics)[0])


def test_the_assessment_counts_what_the_metrics_are_made_of(tmp_path: Path) -> None:
    dataset = PreparedDataset.open(write("classes", tmp_path, {"train": 4, "test": 1030}))

    values, wrong = evaluator_of(dataset, MLP).assess(
        dataset.split("test"), resolve_metrics(["accuracy"], dataset.transform.task)
    )

    assert wrong["num_rows"] == sum(wrong["actual"]) == sum(wrong["predicted"]) == 1030
    assert sum(wrong["right"]) / 1030 == pytest.approx(values["accuracy"])
    assert sum(rows for _, _, rows in wrong["confused"]) == 1030 - sum(wrong["right"])


def test_the_assessment_of_numbers_has_the_errors_of_the_metrics(tmp_path: Path) -> None:
    dataset = PreparedDataset.open(write("regression", tmp_path, {"train": 4, "test": 100}))

    values, wrong = evaluator_of(dataset, MLP).assess(
        dataset.split("test"), resolve_metrics(["mae"], dataset.transform.task)
    )

    sizes = [target["mean_absolute_error"] for target in wrong["targets"]]
    assert [target["name"] for target in wrong["targets"]] == ["a", "b"]
    assert values["mae"] == pytest.approx(sum(sizes) / 2)


@pytest.mark.parametrize("count", [1, 2, 1024, 1025, 1026])
def test_the_loss_is_the_mean_over_all_rows(count: int, tmp_path: Path) -> None:
    dataset = PreparedDataset.open(write("classes", tmp_path, {"train": 4, "test": count}))
    evaluator = evaluator_of(dataset, MLP)
    rows = dataset.split("test").slice(0, count)
    outputs = evaluator._module(torch.from_numpy(rows["x"])).detach()
    expected = torch.nn.functional.cross_entropy(outputs, torch.from_numpy(rows["y"]))
    found = evaluator.measure(dataset.split("test"), ())
    assert found == {"loss": pytest.approx(float(expected), rel=1e-5)}


def test_the_module_s_mode_is_left_as_it_was(tmp_path: Path) -> None:
    dataset = PreparedDataset.open(write("classes", tmp_path, {"train": 4, "test": 5}))
    evaluator = evaluator_of(dataset, {**MLP, "dropout": 0.5})
    evaluator._module.train()
    first = evaluator.measure(dataset.split("test"), ())
    assert evaluator._module.training
    assert evaluator.measure(dataset.split("test"), ()) == first


def test_rows_with_weights_weigh_in_the_loss(tmp_path: Path) -> None:
    dataset = PreparedDataset.open(write("classes", tmp_path, {"train": 4, "test": 6}))
    split = dataset.split("test")
    plain = evaluator_of(dataset, MLP)
    each = [plain.measure(_Only(split, row, row + 1), ())["loss"] for row in range(6)]
    weighted = plain.measure(_Only(split, 0, 6, np.arange(6, dtype=np.float32)), ())
    assert weighted["loss"] == pytest.approx(float(np.average(each, weights=np.arange(6))))


class _Only:
    """Some rows of a split, with weights if wanted."""

    batch_rows = 1024

    def __init__(self, split: Any, start: int, stop: int, weights: Any = None) -> None:
        self._split, self._start, self._weights = split, start, weights
        self.num_rows = stop - start

    def slices(self, bounds: Any) -> Any:
        return (self.slice(start, stop) for start, stop in bounds)

    def slice(self, start: int, stop: int) -> dict[str, Any]:
        rows = self._split.slice(self._start + start, self._start + stop)
        return rows if self._weights is None else {**rows, "weight": self._weights[start:stop]}


@pytest.mark.parametrize("kind", ["binary", "image", "regression"])
def test_test_metrics_are_those_of_the_packaged_model_to_the_last_digit(
    kind: str, tmp_path: Path
) -> None:
    folder = write(kind, tmp_path / "data", {"train": 300, "validation": 50, "test": 2049})
    dataset = PreparedDataset.open(folder)
    transform = dataset.transform
    spec = CNN if kind == "image" else MLP
    metrics = ["rmse", "mae"] if kind == "regression" else ["accuracy", "f1", "roc_auc"]
    job = TrainJob(
        str(tmp_path / "run"), str(folder), spec, epochs=2, restore_best=True, metrics=[*metrics]
    )
    outcome = train(job, CPU)
    save_packaged(
        tmp_path / "model",
        module_state=load_file(outcome.weights_file),
        model_spec=spec,
        transform=transform,
        threads=job.threads,
    )
    predictor = Predictor.load(tmp_path / "model")
    rows = dataset.split("test").slice(0, 2049)
    table = transform.decode(predictor.outputs(rows["x"]))
    assert predictor.weights_sha256 == outcome.weights_sha256
    assert {name: outcome.metrics[f"test/{name}"] for name in metrics} == _recomputed(
        kind, transform, rows, table
    )


def _recomputed(kind: str, transform: Any, rows: Any, table: Any) -> dict[str, float]:
    if kind == "regression":
        predictions = np.stack([table[f"prediction_{name}"] for name in "ab"], axis=1)
        return {
            "rmse": sk.root_mean_squared_error(rows["target"], predictions),
            "mae": sk.mean_absolute_error(rows["target"], predictions),
        }
    labels = np.array(transform.classes)[rows["y"]]
    predicted = table["prediction"].to_numpy()
    if kind == "binary":
        return {
            "accuracy": sk.accuracy_score(labels, predicted),
            "f1": sk.f1_score(labels, predicted, pos_label="c1"),
            "roc_auc": sk.roc_auc_score(labels == "c1", table["probability_c1"]),
        }
    chances = np.stack([table[f"probability_{label}"] for label in transform.classes], axis=1)
    return {
        "accuracy": sk.accuracy_score(labels, predicted),
        "f1": sk.f1_score(labels, predicted, average="macro"),
        "roc_auc": sk.roc_auc_score(labels, chances, multi_class="ovr"),
    }
