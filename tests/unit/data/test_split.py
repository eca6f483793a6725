"""The split: exact sizes, a pure function of the source and the seed."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distrain.data.split import (
    TEST,
    TRAIN,
    UNUSED,
    VALIDATION,
    assign,
    assign_by_hash,
    assign_by_word,
    plan_split,
)
from distrain.errors import DataError

FRACTIONS = st.sampled_from([0.0, 0.01, 0.05, 0.1, 0.15, 0.2, 0.29, 1 / 3])


def split_runs(
    kind: str, fractions: tuple[float, float], runs: list[list[int]], seed: int = 0
) -> list[np.ndarray]:
    """Return the splits of runs that are given by each row's class."""
    classes = max((max(run, default=0) for run in runs), default=0) + 1
    counts = {
        (0, number): [run.count(code) for code in range(classes)]
        if kind == "stratified"
        else [sum(code >= 0 for code in run)]
        for number, run in enumerate(runs)
    }
    plan = plan_split(kind, fractions, seed, counts)
    codes = [np.array(run, dtype=np.int64) for run in runs]
    if kind == "random":
        codes = [np.minimum(run, 0) for run in codes]
    return [assign(plan, (0, number), run) for number, run in enumerate(codes)]


@given(
    st.lists(st.integers(0, 300), min_size=1, max_size=8), FRACTIONS, FRACTIONS, st.integers(0, 99)
)
@settings(max_examples=60, deadline=None)
def test_random_split_has_the_stated_sizes(
    sizes: list[int], validation: float, test: float, seed: int
) -> None:
    total = sum(sizes)
    splits = split_runs("random", (validation, test), [[0] * size for size in sizes], seed)
    counts = np.bincount(np.concatenate(splits), minlength=4)
    assert [len(part) for part in splits] == sizes
    assert abs(counts[VALIDATION] - total * validation) < 1 + 1e-6
    assert abs(counts[TEST] - total * test) < 1 + 1e-6
    assert counts[UNUSED] == 0
    assert counts[TRAIN] > 0 or total <= 2


@given(st.lists(st.lists(st.integers(0, 4), max_size=120), min_size=1, max_size=5), FRACTIONS)
@settings(max_examples=60, deadline=None)
def test_each_class_has_its_share_in_a_stratified_split(
    runs: list[list[int]], validation: float
) -> None:
    split = np.concatenate(split_runs("stratified", (validation, 0.1), runs))
    codes = np.concatenate([np.array(run, dtype=np.int64) for run in runs])
    total = max(len(codes), 1)
    share = 1 / total if 0 < total * validation < 1 else validation
    for code in np.unique(codes):
        in_class = codes == code
        chosen = (split[in_class] == VALIDATION).sum()
        assert abs(chosen - in_class.sum() * share) <= 1 + 1e-6


@pytest.mark.parametrize("num_rows", [3, 5, 9])
@pytest.mark.parametrize("kind", ["random", "stratified"])
def test_small_data_still_has_a_row_for_each_split(kind: str, num_rows: int) -> None:
    (split,) = split_runs(kind, (0.1, 0.1), [[row % 2 for row in range(num_rows)]])
    assert np.bincount(split, minlength=3)[:3].min() >= 1


def test_rows_without_a_target_are_in_no_split() -> None:
    (split,) = split_runs("random", (0.1, 0.1), [[0, -1] * 50])
    assert (split[1::2] == UNUSED).all()
    assert np.bincount(split[::2]).tolist() == [40, 5, 5]


def test_seed_and_run_draw_the_order() -> None:
    runs = [[0] * 100, [0] * 100]
    first = split_runs("random", (0.2, 0.2), runs, seed=1)
    again = split_runs("random", (0.2, 0.2), runs, seed=1)
    other = split_runs("random", (0.2, 0.2), runs, seed=2)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])
    assert not np.array_equal(first[0], first[1])


def test_order_is_the_same_on_every_version() -> None:
    (split,) = split_runs("random", (0.25, 0.25), [[0] * 16])
    assert split.tolist() == [1, 0, 0, 0, 2, 2, 0, 1, 0, 1, 0, 1, 2, 2, 0, 0]


def test_equal_values_stay_together_in_a_hash_split() -> None:
    plan = plan_split("hash", (0.3, 0.3), 0, {})
    values = pa.array([str(row % 40) for row in range(400)])
    split = assign_by_hash(plan, values)
    assert all(len(set(split[place::40])) == 1 for place in range(40))
    shares = np.bincount(assign_by_hash(plan, pa.array(map(str, range(20_000))))) / 20_000
    assert np.allclose(shares, [0.4, 0.3, 0.3], atol=0.02)


def test_hash_split_does_not_depend_on_the_other_rows() -> None:
    plan = plan_split("hash", (0.3, 0.3), 0, {})
    values = pa.array([*"abcdefgh", None])
    whole = assign_by_hash(plan, values)
    assert [assign_by_hash(plan, values.slice(row, 1))[0] for row in range(9)] == whole.tolist()


def test_words_name_the_split() -> None:
    words = pa.array(["train", "Val", " test", "dev", "validation", "valid"])
    assert assign_by_word(words, "part").tolist() == [0, 1, 2, 1, 1, 1]


def test_other_words_are_told() -> None:
    with pytest.raises(DataError, match=r"column 'part': the split column holds 'holdout'"):
        assign_by_word(pa.array(["train", "holdout"]), "part")
    with pytest.raises(DataError, match="missing"):
        assign_by_word(pa.array(["train", None]), "part")
