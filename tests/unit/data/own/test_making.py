"""A Dataset of the user's own, looked at before anything starts."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distrain.config.data import DataSettings
from distrain.data.checking import quick_check
from distrain.data.prepare import find_prepared, prepare
from distrain.data.prepared import PreparedDataset
from distrain.data.same import KnownData
from distrain.errors import DataError, DistrainError

pytestmark = pytest.mark.usefixtures("user_code")


def settings(name: str, args: dict[str, Any] | None = None, **fields: Any) -> DataSettings:
    own = {"target": f"own_datasets:{name}", "args": args or {}}
    return DataSettings.model_validate({"dataset": own, **fields})


def made(cache: Path, *words: Any, **fields: Any) -> PreparedDataset:
    return prepare(settings(*words, **fields), cache=cache).dataset


def test_splits_take_each_row_once(tmp_path: Path) -> None:
    dataset = made(tmp_path, "Plain", split={"validation": 0.2, "test": 0.1, "seed": 3})

    own = dataset.own
    assert own is not None
    portions = {name: own.split(name).portion for name in ("train", "validation", "test")}
    numbers = [one.numbers(np.arange(len(one), dtype=np.int64)) for one in portions.values()]
    assert [len(one) for one in numbers] == [42, 12, 6]
    assert sorted(np.concatenate(numbers).tolist()) == list(range(60))
    assert numbers[0].tolist() != sorted(numbers[0].tolist())


def test_datasets_of_their_own_are_the_other_splits_as_a_whole(tmp_path: Path) -> None:
    other = {"target": "own_datasets:Plain", "args": {"num_rows": 7, "seed": 1}}

    dataset = made(
        tmp_path, "Plain", validation_dataset=other, test_dataset=other, split={"test": 0.0}
    )

    rows = {name: dataset.split(name).num_rows for name in ("train", "validation", "test")}
    assert rows == {"train": 60, "validation": 7, "test": 7}


@pytest.mark.parametrize(
    ("name", "fields", "labels"),
    [
        ("Plain", {}, [0, 1, 2]),
        ("Named", {}, ["red", "green", "blue"]),
        ("Plain", {"num_classes": 5}, [0, 1, 2, 3, 4]),
    ],
)
def test_classes_are_named_counted_or_told(
    name: str, fields: dict[str, Any], labels: list[Any], tmp_path: Path
) -> None:
    transform = made(tmp_path, name, **fields).transform

    assert (transform.task, transform.classes) == ("classification", labels)
    assert transform.input_shape == (6,)


def test_a_dict_has_inputs_by_name_and_its_target_under_a_usual_key(tmp_path: Path) -> None:
    dataset = made(tmp_path, "Numbers")

    rows = dataset.split("train").slice(0, 3)

    assert (dataset.transform.task, dataset.transform.targets) == ("regression", ["label"])
    assert {name: values.shape for name, values in rows["x"].items()} == {
        "left": (3, 4),
        "right": (3, 2),
        "key": (3,),
    }
    assert rows["target"].shape == (3, 1)


def test_a_manifest_is_made_once_and_found_again(tmp_path: Path) -> None:
    first = prepare(settings("Plain"), cache=tmp_path)
    second = prepare(settings("Plain"), cache=tmp_path)
    found = find_prepared(settings("Plain"), cache=tmp_path)

    assert (first.reused, second.reused) == (False, True)
    assert found is not None
    assert found.digest == first.digest


@pytest.mark.parametrize("args", [{"num_rows": 61}, {"seed": 1}])
def test_other_arguments_are_other_data(args: dict[str, Any], tmp_path: Path) -> None:
    before = prepare(settings("Plain"), cache=tmp_path).dataset
    known = KnownData(before.digest, before.manifest["sources"])

    with pytest.raises(DataError, match="the Dataset is not what the run was started with"):
        prepare(settings("Plain", args), cache=tmp_path, known=known)


def test_a_dataset_without_targets_is_left_for_a_step(tmp_path: Path) -> None:
    own = made(tmp_path, "Alone").own

    assert own is not None
    with pytest.raises(DataError, match=r"a batch is a tensor of shape \(2, 6\).*train\.step"):
        own.check_pairs()
    [batch] = own.split("train", as_is=True).batches([(0, 4)])
    assert batch.shape == (4, 6)


def test_inputs_of_a_type_that_is_not_kept_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"type bfloat16.*Expected one of the types bool.*float64"):
        made(tmp_path, "Halves", task="classification")


def test_splits_that_leave_no_row_for_training_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no row is left for training, of 3"):
        made(tmp_path, "Plain", {"num_rows": 3}, split={"validation": 0.5, "test": 0.4})


NO_SPLIT = {"validation": 0.0, "test": 0.0}
FAULTS = [
    (("Stream",), "is an IterableDataset.*Expected a map-style Dataset.*Parquet"),
    (("Lengthless",), "Lengthless, which has no __len__"),
    (("padded",), r"padded\(\) failed: TypeError"),
    (("Plain", {"rows": 3}), r"Plain\(rows=3\) failed: TypeError.*'rows'"),
    (("Plain", {"num_rows": 0}), "has no rows"),
    (("Nowhere",), "has no 'Nowhere'"),
    (("Broken", {"row": 0}, NO_SPLIT), r"row 0: __getitem__\(0\) raised OSError: photo-0"),
    (("Ragged",), "default_collate failed on rows .*data.collate"),
    (("OfSystem",), "read twice, with the same random numbers, come out otherwise"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "told"), FAULTS, ids=[words[0] for words, _ in FAULTS])
def test_what_is_no_fit_dataset_is_told(words: tuple[Any, ...], told: str) -> None:
    name, args, split = (*words, {}, {})[:3]

    with pytest.raises(DistrainError, match=f"(?s){told}"):
        quick_check(settings(name, args, split=split))
