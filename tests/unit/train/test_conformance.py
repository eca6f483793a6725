"""The table of the promise: one fingerprint per model, whatever happens on the way.

Models by workers by what befalls them. A killed run goes on from its newest checkpoint, some steps
back; a resized one with another number of workers, twice.
"""

import json
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from distrain.train.job import TrainJob
from tests.conformance_models import needs_bf16
from tests.prepared_examples import write_classified, write_images
from tests.training_group import Group, train_in_groups

MODELS: dict[str, dict[str, Any]] = {
    "mlp": {"name": "mlp", "hidden": [16, 16], "dropout": 0.3},
    "cnn": {"name": "cnn", "channels": [4, 8], "hidden": [16], "dropout": 0.2},
    "lstm": {"target": "tests.conformance_models:Recurrent"},
    "transformer": {"target": "tests.conformance_models:Transformer"},
}
FATES = ("straight", "killed", "killed twice and resized")
ROWS = {"train": 203, "validation": 40, "test": 31}
TOTAL_STEPS = 2 * 5
TIMEOUT_S = 400

Fingerprints = dict[str, set[tuple[str, str]]]


def jobs(folder: Path, names: Sequence[str], **changes: Any) -> list[TrainJob]:
    """Return jobs of two epochs of four steps and a short one, with a checkpoint at each other.

    Args:
        folder: for their data.
        names: a model and, where it is not float32, its precision: `mlp bf16`.
        changes: fields of all of them.
    """
    table = write_classified(folder / "table", ROWS)
    images = write_images(folder / "images", ROWS)
    fields: dict[str, Any] = {
        "epochs": 2,
        "seed": 5,
        "global_batch_size": 48,
        "restore_best": True,
        "checkpoint_every_s": None,
        "checkpoint_every_steps": 2,
        **changes,
    }
    made = []
    for name in names:
        model, _, precision = name.partition(" ")
        data = images if model == "cnn" else table
        made.append(
            TrainJob(name, str(data), MODELS[model], precision=precision or "fp32", **fields)
        )
    return made


def groups_of(
    made: Sequence[TrainJob], runs: Path, sizes: Sequence[int], fates: Sequence[str]
) -> list[Group]:
    """Return the attempts of every run, in order; the last one of each run is its end."""
    chance = random.Random(7)
    groups = []
    for number, size in enumerate(sizes):
        for fate in fates:
            own = [replace(job, run_dir=str(runs / f"{size} {fate}" / job.run_dir)) for job in made]
            following = [sizes[(number + shift) % len(sizes)] for shift in (1, 2)]
            attempts = {
                "straight": [size],
                "killed": [size, size],
                "killed twice and resized": [size, *following],
            }[fate]
            for index, workers in enumerate(attempts):
                is_last = index == len(attempts) - 1
                killed = None if is_last else chance.randrange(TOTAL_STEPS // (len(attempts) - 1))
                groups.append(Group(workers, own, killed_after=killed))
    return groups


def fingerprints(groups: Sequence[Group], folder: Path, names: Sequence[str]) -> Fingerprints:
    """Return what all runs of each model ended with: the hash of its weights and its metrics."""
    found: Fingerprints = {name: set() for name in names}
    for outcomes in train_in_groups(groups, folder, TIMEOUT_S):
        for name, ranks in zip(names, outcomes, strict=True):
            found[name] |= {_fingerprint(one) for one in ranks if one}
    return found


def _fingerprint(outcome: dict[str, Any]) -> tuple[str, str]:
    return outcome["weights_sha256"], json.dumps(outcome["metrics"], sort_keys=True)


def assert_one_each(found: Fingerprints) -> None:
    assert {name: len(ends) for name, ends in found.items()} == dict.fromkeys(found, 1)


@pytest.mark.slow
def test_the_whole_table_has_one_fingerprint_per_model(tmp_path: Path) -> None:
    names = tuple(MODELS)
    groups = groups_of(jobs(tmp_path, names), tmp_path / "runs", (1, 2, 3, 4), FATES)
    assert_one_each(fingerprints(groups, tmp_path, names))


@pytest.mark.slow
@pytest.mark.long
def test_half_precision_has_one_fingerprint_per_model(tmp_path: Path) -> None:
    models = [model for model in MODELS if model != "lstm"]
    names = [f"{model} {precision}" for model in models for precision in ("bf16", "fp16")]
    groups = groups_of(jobs(tmp_path, names), tmp_path / "runs", (1, 2, 3), FATES[2:])
    assert_one_each(fingerprints(groups, tmp_path, names))


@pytest.mark.slow
@pytest.mark.long
@needs_bf16
def test_a_recurrent_model_in_bf16_has_one_fingerprint(tmp_path: Path) -> None:
    groups = groups_of(jobs(tmp_path, ["lstm bf16"]), tmp_path / "runs", (1, 2, 3), FATES[2:])
    assert_one_each(fingerprints(groups, tmp_path, ["lstm bf16"]))


@pytest.mark.slow
@pytest.mark.long
def test_eight_parts_have_one_fingerprint_on_any_number_of_workers(tmp_path: Path) -> None:
    made = jobs(tmp_path, ("mlp",), logical_shards=8)
    groups = groups_of(made, tmp_path / "runs", (1, 3, 5, 7), FATES)
    assert_one_each(fingerprints(groups, tmp_path, ("mlp",)))


@pytest.mark.slow
@pytest.mark.long
def test_compiled_models_have_one_fingerprint(tmp_path: Path) -> None:
    made = jobs(tmp_path, ("mlp",), compile=True)
    groups = groups_of(made, tmp_path / "runs", (2, 1), FATES[2:])
    assert_one_each(fingerprints(groups, tmp_path, ("mlp",)))
