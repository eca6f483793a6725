"""Which parameters matter, and from which trials that is told."""

import math
import random
from collections.abc import Callable

from distrain.config.tune import ParameterSettings
from distrain.report.search.dimension import dimension_of
from distrain.report.search.importance import FEWEST, MOST, Basis, importance, thinned_basis
from distrain.report.search.surface import surface
from distrain.report.search.trial import TrialView

X = dimension_of("model.x", ParameterSettings(uniform=(0, 1)), [])
Y = dimension_of("model.y", ParameterSettings(choice=["a", "b"]), [])


def trial(number: int, **values: object) -> TrialView:
    return TrialView(
        number=number,
        values=(own := {f"model.{name}": value for name, value in values.items()}),
        first_values=own,
        changes=(),
        state="finished",
        outcome="finished",
        curve=(),
        score=None,
        epochs=1,
        train_s=1.0,
        spans=(),
        ended_s=1.0,
        verdicts=(),
        error=None,
        num_lost=0,
    )


def basis(count: int, value: Callable[[float, str], float]) -> Basis:
    chance = random.Random(0)
    points = [(chance.random(), chance.choice("ab")) for _ in range(count)]
    trials = tuple(trial(at, x=x, y=y) for at, (x, y) in enumerate(points))
    return Basis(trials, tuple(value(x, y) for x, y in points), None, "trials")


def test_what_the_score_depends_on_matters_and_the_rest_does_not() -> None:
    found = importance(basis(60, lambda x, _: x * x), [X, Y])

    assert [path for path, _ in found.shares] == ["model.x", "model.y"]
    assert found.shares[0][1] > 0.9
    assert found.num_trials == 60


def test_importance_is_the_same_for_the_same_trials() -> None:
    known = basis(40, lambda x, y: x + (y == "a"))

    assert importance(known, [X, Y]) == importance(known, [X, Y])


def test_of_few_trials_nothing_is_said() -> None:
    found = importance(basis(FEWEST - 1, lambda x, _: x), [X, Y])

    assert found.shares == ()
    assert f"it takes {FEWEST}" in found.reason


def test_what_does_not_vary_in_every_trial_is_left_out() -> None:
    known = basis(20, lambda x, _: x)
    trials = (trial(20, x=0.5), *known.trials[1:])

    found = importance(Basis(trials, known.values, None, ""), [X, Y])

    assert found.left_out == ("model.y",)
    assert "fewer than two parameters" in found.reason


def test_of_many_trials_some_are_taken_at_equal_distances() -> None:
    found = thinned_basis(basis(MOST + 100, lambda x, _: x))

    assert len(found.trials) == MOST
    assert found.trials[1].number - found.trials[0].number in (1, 2)


def test_a_surface_follows_the_trials_and_is_blank_where_there_are_none() -> None:
    known = basis(200, lambda x, y: x if y == "a" else -x)
    pairs = zip(known.trials, known.values, strict=True)
    near = [(one, value) for one, value in pairs if one.values["model.x"] < 0.5]
    trials, values = zip(*near, strict=True)

    found = surface(Basis(trials, values, None, ""), X, Y)

    row_a, row_b = found.cells
    assert row_a[-1] is None
    assert row_a[24] is not None
    assert row_b[24] is not None
    assert math.isclose(row_a[24], 24.5 / 96, abs_tol=0.05)
    assert math.isclose(row_b[24], -24.5 / 96, abs_tol=0.05)
