"""What differs between a run as it was and now, named one by one."""

import math
from typing import Any

import pytest

from distrain import differences as differing
from distrain.differences import Difference, in_order

LAST_BIT = 1.0 + 2**-52


def texts(found: list[Difference]) -> list[str]:
    return [difference.text for difference in found]


def test_a_changed_key_of_a_configuration_is_named_with_both_values() -> None:
    was = {"seed": 7, "train": {"optimizer": {"lr": 0.001}, "epochs": 2}, "data": {"labels": {}}}
    now = {"seed": 7, "train": {"optimizer": {"lr": 0.01}, "epochs": 2}, "data": {"labels": {}}}

    found = differing.of_configuration(was, now)

    assert texts(found) == ["configuration: train.optimizer.lr 0.001 -> 0.01"]
    assert found[0].is_decisive


def test_a_long_value_is_shown_in_part_and_kept_whole() -> None:
    [found] = differing.of_configuration({"columns": "a" * 9_000}, {"columns": "b"})

    assert len(found.text) < 200
    assert len(str(found.to_json()["was"])) > 9_000


def test_libraries_that_compute_come_first_and_decide_nothing() -> None:
    was = {"rich": "13", "torch": "2.13.0", "numpy": "2.1", "nvidia-cudnn-cu12": "9.1", "zzz": "1"}
    now = {"rich": "14", "torch": "2.12.0", "numpy": "2.1", "nvidia-cudnn-cu12": "9.2", "aaa": "1"}

    found = differing.of_libraries(was, now)

    assert texts(found) == [
        "libraries: torch 2.13.0 -> 2.12.0",
        "libraries: nvidia-cudnn-cu12 9.1 -> 9.2",
        "libraries: aaa (absent) -> 1",
        "libraries: rich 13 -> 14",
        "libraries: zzz 1 -> (absent)",
    ]
    assert differing.first_decisive(found) is None


def test_of_a_machine_only_what_bits_may_depend_on_is_told() -> None:
    was = {"device": "cpu", "gpus": [], "cpu": "A", "host": "one", "num_cores": 2}
    now = {"device": "cuda", "gpus": ["H200"], "cpu": "A", "host": "two", "num_cores": 4}

    assert texts(differing.of_machine(was, now)) == [
        "machine: device cpu -> cuda",
        'machine: gpus [] -> ["H200"]',
    ]


def test_many_changed_files_are_named_in_part() -> None:
    names = [f"distrain/{number:02}.py" for number in range(12)]

    found = differing.of_files("distrain", dict.fromkeys(names, "a"), dict.fromkeys(names, "b"))

    assert [difference.what for difference in found] == [
        *names[:8],
        "4 more files of distrain",
    ]


def test_a_source_file_is_compared_with_every_hash_that_may_name_its_content() -> None:
    was = [{"uri": "/a.csv", "sha256": "1" * 64}, {"uri": "/b.csv", "sha256": "2" * 64}]

    same = differing.of_sources(
        was, [("/x/a.csv", ("9" * 64, "1" * 64)), ("/x/b.csv", ("2" * 64,))]
    )
    changed = differing.of_sources(was, [("/a.csv", ("1" * 64,)), ("/b.csv", ("3" * 64,))])
    fewer = differing.of_sources(was, [("/a.csv", ("1" * 64,))])
    more = differing.of_sources(was[:1], [("/a.csv", ("1" * 64,)), ("/b.csv", ("3" * 64,))])

    assert same == []
    assert texts(changed) == ["data: /b.csv 222222222222 -> 333333333333"]
    assert texts(fewer) == ["data: /b.csv 222222222222 -> (absent)"]
    assert texts(more) == ["data: /b.csv (absent) -> 333333333333"]


def test_files_are_told_apart_by_content_where_one_came_or_went_between_others() -> None:
    was = [{"uri": f"/{name}.csv", "sha256": name * 64} for name in "acd"]
    now = [(f"/x/{name}.csv", (name * 64,)) for name in "abcd"]

    more = differing.of_sources(was, now)
    fewer = differing.of_sources(was, [now[0], now[3]])
    swapped = differing.of_sources(was, [now[0], now[3], now[2]])

    assert texts(more) == [f"data: /x/b.csv (absent) -> {'b' * 12}"]
    assert texts(fewer) == [f"data: /c.csv {'c' * 12} -> (absent)"]
    assert len(swapped) == 2


def data(shards: list[tuple[int, str]], mean: float = 1.0, **fields: Any) -> dict[str, Any]:
    listed = [{"file": "f", "num_rows": rows, "sha256": sha} for rows, sha in shards]
    return {
        "digest": "d" * 64,
        "format": 1,
        "recipe": {"split": {"seed": 0}},
        "profile": {"age": {"kind": "numeric", "training": {"mean": mean}}},
        "splits": {"train": {"num_rows": sum(rows for rows, _ in shards), "shards": listed}},
        **fields,
    }


def test_changed_rows_are_named_by_split_and_range() -> None:
    was = data([(100, "a"), (100, "b"), (100, "c"), (50, "d")])
    now = data([(100, "a"), (100, "x"), (100, "y"), (50, "d")])

    assert texts(differing.of_prepared(was, now)) == [
        "data: prepared split train, rows 100 to 299 as recorded -> changed"
    ]


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([17], ["prepared split train, row 17"]),
        ([1, 1017], ["prepared split train, rows 1, 1,017"]),
        (list(range(12)), ["prepared split train, rows 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more"]),
        ([], []),
        (list(range(2_000)), []),
    ],
)
def test_changed_rows_are_named_where_they_are_few(rows: list[int], told: list[str]) -> None:
    assert [each.what for each in differing.of_rows("train", rows, 2_000)] == told


def test_a_changed_column_recipe_or_number_of_rows_is_named() -> None:
    was = data([(100, "a")])
    now = data([(99, "b")], mean=2.0, digest="e" * 64, recipe={"split": {"seed": 1}}, format=2)

    assert texts(differing.of_prepared(was, now)) == [
        "data: format of prepared data 1 -> 2",
        "data: recipe.split.seed 0 -> 1",
        "data: column 'age'.training.mean 1.0 -> 2.0",
        "data: split train 100 rows -> 99 rows",
        "data: prepared split train, rows 0 to 99 as recorded -> changed",
        "data: digest of the prepared data dddddddddddd -> eeeeeeeeeeee",
    ]


@pytest.mark.parametrize(
    ("now", "told", "num_same"),
    [
        ({}, [], 3),
        ({(4, "train/loss"): 0.125}, ["training: train/loss of step 4 0.25 -> 0.125"], 2),
        ({(2, "validation/f1"): 0.5}, ["training: validation/f1 of step 2 nan -> 0.5"], 1),
        ({(1, "train/loss"): LAST_BIT}, [f"training: train/loss of step 1 1.0 -> {LAST_BIT}"], 0),
    ],
)
def test_the_first_value_that_is_another_is_named(
    now: dict[tuple[int, str], float], told: list[str], num_same: int
) -> None:
    was = {
        (1, "train/loss"): 1.0,
        (2, "train/loss"): 0.5,
        (2, "validation/f1"): math.nan,
        (4, "train/loss"): 0.25,
        (8, "train/loss"): 0.1,  # of a run that was made longer later
        (3, "validation/f1"): 0.1,  # of an end that is none any more
    }
    rebuilt = {key: value for key, value in was.items() if key[0] not in (3, 8)} | now

    found, same = differing.of_values(was, rebuilt, last_step=4)

    assert texts(found) == told
    assert same == num_same


def test_differences_are_told_in_the_order_of_their_parts() -> None:
    found = [Difference("data", "a", "1", "2"), Difference("configuration", "b", "1", "2")]

    assert [difference.part for difference in in_order(found)] == ["configuration", "data"]
