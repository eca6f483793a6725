"""What audited trials tell of all stops."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distrain.tune.audit import AuditResult, judge_stops
from distrain.tune.confirm import ConfirmResult, other_seeds


def judged(winner: float, *values: float | None, mode: str = "max") -> AuditResult:
    finals = dict(enumerate(values))
    return judge_stops(winner, finals, mode, num_stopped=100, epochs=7)  # type: ignore[arg-type]


@pytest.mark.parametrize(("mode", "sign"), [("max", 1), ("min", -1)])
def test_a_stop_is_wrong_where_the_trial_is_better_than_the_winner(mode: str, sign: int) -> None:
    found = judged(sign * 0.9, sign * 0.8, sign * 0.95, sign * 0.9, sign * 0.92, mode=mode)

    assert (found.num_audited, found.num_wrong, found.wrong_fraction) == (4, 2, 0.5)
    assert found.regret == pytest.approx((0.05 + 0.02) / 4)
    assert found.best == (1, sign * 0.95)


def test_the_interval_of_the_share_is_the_exact_binomial_one() -> None:
    none_wrong, one_wrong = judged(0.9, *[0.5] * 20), judged(0.9, 0.95, *[0.5] * 9)

    assert none_wrong.wrong_interval is not None
    assert none_wrong.wrong_interval == pytest.approx((0.0, 1 - 0.025 ** (1 / 20)))
    assert one_wrong.wrong_interval is not None
    # Clopper and Pearson's for 1 of 10, as tables have it.
    assert one_wrong.wrong_interval == pytest.approx((0.0025, 0.4450), abs=1e-4)


def test_the_interval_of_the_regret_is_always_the_same_and_holds_its_mean() -> None:
    values = [0.5, 0.95, 0.91, 0.7, 0.6, 0.99, 0.3, 0.2]
    found, again = judged(0.9, *values), judged(0.9, *values)

    assert found.regret_interval is not None
    assert found.regret_interval == again.regret_interval
    assert found.regret is not None
    assert found.regret_interval[0] < found.regret < found.regret_interval[1]
    assert found.regret_interval[0] >= 0


@pytest.mark.parametrize(
    ("values", "num_audited", "interval"),
    [((), 0, None), ((None, None), 0, None), ((0.5,), 1, None), ((0.5, math.nan), 2, (0.0, 0.0))],
)
def test_few_audited_trials_give_what_they_can(
    values: tuple[float | None, ...], num_audited: int, interval: tuple[float, float] | None
) -> None:
    found = judged(0.9, *values)

    assert found.num_audited == num_audited
    assert found.num_failed == sum(value is None for value in values)
    assert found.regret_interval == interval
    assert (found.wrong_interval is None) == (num_audited == 0)


def test_a_value_that_is_no_number_is_a_right_stop() -> None:
    found = judged(0.9, math.nan, 0.95)

    assert (found.num_audited, found.num_wrong, found.best) == (2, 1, (1, 0.95))


@given(st.lists(st.floats(0, 1) | st.none(), max_size=12), st.floats(0, 1))
def test_it_survives_json(values: list[float | None], winner: float) -> None:
    found = judged(winner, *values)

    again = AuditResult.of_json(json.loads(json.dumps(found.to_json())))

    assert again == found
    assert again.text == found.text
    assert set(found.metrics) <= {f"audit/{name}" for name in (
        "num_stopped", "num_audited", "num_wrong", "wrong_fraction", "wrong_fraction_low",
        "wrong_fraction_high", "regret", "regret_low", "regret_high", "epochs",
    )}  # fmt: skip


def test_it_is_told_in_one_line() -> None:
    assert judged(0.9, 0.95, *[0.5] * 9).text.startswith(
        "1 of 10 audited stops wrong, so 0.253 to 44.5 % of all 100 (95 %); regret 0.005 ("
    )
    assert judged(0.9, 0.95, 0.5).text.endswith("; trial 0 came to 0.95; 7 epochs")
    assert judged(0.9).text == "none of 100 stopped trials was audited to its end"


def test_other_seeds_begin_again_behind_the_greatest() -> None:
    assert other_seeds(7, 3) == [7, 8, 9]
    assert other_seeds(2**63 - 1, 2) == [2**63 - 1, 0]


def test_the_spread_is_that_of_one_run() -> None:
    found = ConfirmResult(4, "validation/accuracy", {8: 0.9, 9: 0.92, 10: 0.94}, 0, 12)

    assert found.to_json() == {
        "trial": 4,
        "metric": "validation/accuracy",
        "seeds": [8, 9, 10],
        "values": [0.9, 0.92, 0.94],
        "num_failed": 0,
        "mean": pytest.approx(0.92),
        "std": pytest.approx(0.02),
        "min": 0.9,
        "max": 0.94,
        "epochs": 12,
    }
    assert found.text == "validation/accuracy 0.92 ± 0.02 with 3 other seeds (0.9 to 0.94)"
    assert found.metrics["confirm/mean"] == pytest.approx(0.92)
    assert ConfirmResult.of_json(found.to_json()) == found


def test_one_seed_has_no_spread_and_none_no_mean() -> None:
    one = ConfirmResult(4, "validation/loss", {8: 0.9}, 2, 12)
    none = ConfirmResult(4, "validation/loss", {}, 3, 0)

    assert (one.mean, one.std) == (0.9, None)
    assert one.text == "validation/loss 0.9 with 1 other seed (0.9 to 0.9), 2 failed"
    assert "confirm/mean" not in none.metrics
    assert none.text == "none of 3 runs with other seeds came to its end"
