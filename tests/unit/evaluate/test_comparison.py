import math

import numpy as np
import pytest

from distrain.evaluate.comparison import Comparison, Floats, Question, compare

ACCURACY = Question("accuracy", "max", 0.05)


def of_rows(right: Floats) -> Floats:
    return np.asarray(right, dtype=np.float64)


def compared(candidate: Floats, holder: Floats, question: Question = ACCURACY) -> Comparison:
    return compare(
        question,
        lambda drawn: drawn @ of_rows(candidate) / drawn.sum(axis=1),
        lambda drawn: drawn @ of_rows(holder) / drawn.sum(axis=1),
        len(candidate),
    )


def test_a_model_that_is_right_where_the_other_is_not_is_better() -> None:
    holder = np.r_[np.ones(80), np.zeros(20)]
    candidate = np.r_[np.ones(92), np.zeros(8)]
    found = compared(candidate, holder)
    assert (found.candidate, found.holder) == (0.92, 0.8)
    assert found.gain == pytest.approx(0.12)
    assert found.low > 0.05
    assert found.is_better


def test_equal_models_are_not_better_than_each_other() -> None:
    found = compared(np.r_[np.ones(9), 0], np.r_[np.ones(9), 0])
    assert (found.gain, found.low, found.high, found.p) == (0, 0, 0, 1)
    assert not found.is_better


@pytest.mark.parametrize("num_rows", [1, 2, 3])
def test_few_rows_prove_nothing_even_if_all_speak_for_the_candidate(num_rows: int) -> None:
    rest = np.ones(200)
    found = compared(np.r_[rest, np.ones(num_rows)], np.r_[rest, np.zeros(num_rows)])
    assert not found.is_better


def test_a_model_that_is_worse_is_not_better() -> None:
    assert compared(np.zeros(50), np.ones(50)).p == 1


def test_of_a_loss_the_smaller_is_better() -> None:
    random = np.random.default_rng(0)
    holder = random.exponential(size=500)
    found = compared(holder * 0.8, holder, Question("log_loss", "min", 0.05))
    assert found.gain > 0
    assert found.is_better


def test_the_same_rows_give_the_same_numbers() -> None:
    random = np.random.default_rng(1)
    candidate, holder = random.random((2, 300))
    assert compared(candidate, holder) == compared(candidate, holder)


def test_a_metric_that_is_not_defined_speaks_for_nobody() -> None:
    found = compared(np.full(30, math.nan), np.ones(30))
    assert not found.is_better


def test_a_strict_level_can_still_be_met() -> None:
    holder = np.r_[np.ones(500), np.zeros(500)]
    found = compared(np.ones(1000), holder, Question("accuracy", "max", 0.05 / 50))
    assert found.is_better


def test_a_level_that_no_number_of_draws_reaches_can_be_met_and_is_not_met_by_chance() -> None:
    strict = Question("accuracy", "max", 1e-6)
    rest = np.ones(900)
    assert compared(np.ones(1_000), np.r_[rest, np.zeros(100)], strict).is_better
    few = compared(np.ones(910), np.r_[rest, np.zeros(10)], strict)
    # A coin falls so ten times of ten once in 1,024.
    assert not few.is_better
    assert 1 / 1024 < few.p < 0.01


@pytest.mark.slow
@pytest.mark.parametrize(("num_rows", "mistaken"), [(200, 0.02), (200, 0.2)])
def test_models_that_do_not_differ_are_promoted_no_oftener_than_the_level_says(
    num_rows: int, mistaken: float
) -> None:
    random = np.random.default_rng(7)
    better = sum(
        compared(*(random.random((2, num_rows)) > mistaken).astype(float)).is_better
        for _ in range(1_000)
    )
    # 1,000 throws with a chance of 0.05: above 65 once in a hundred times.
    assert better <= 65
