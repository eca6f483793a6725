import pytest

from distrain.evaluate.comparison import Comparison
from distrain.evaluate.gate import (
    Contest,
    Costs,
    Equal,
    judge,
    judge_again,
    judge_alone,
    judge_unseen,
    level_of,
)
from distrain.evaluate.goals import GoalOutcome

MET = GoalOutcome("test/accuracy", ">= 0.8", 0.9, True)
UNMET = GoalOutcome("test/f1", ">= 0.8", 0.75, False)
NOT_COMPUTED = GoalOutcome("test/roc_auc", ">= 0.8", None, False)


def contest(p: float = 0.01, low: float = 0.005, num_rows: int = 1_000, **more: object) -> Contest:
    found = Comparison("accuracy", 0.92, 0.9, 0.02, low, 0.035, p, 0.05, num_rows)
    return Contest("3", found, **more)  # type: ignore[arg-type]


def test_without_a_holder_the_goals_decide() -> None:
    verdict = judge_alone((MET,))
    assert verdict.may_move
    assert verdict.text == "no version has the alias yet; of 1 stated goals all are met"
    assert verdict.tags()["distrain.gate.holder"] == "none"


def test_unmet_goals_are_told_with_what_was_reached() -> None:
    verdict = judge_alone((MET, UNMET, NOT_COMPUTED))
    assert not verdict.may_move
    assert verdict.reasons == (
        "test/f1 is 0.75, the goal >= 0.8",
        "test/roc_auc is not computed, the goal >= 0.8",
    )


def test_a_better_model_may_move_and_says_by_how_much() -> None:
    verdict = judge(contest(), num_versions=2)
    assert verdict.may_move
    assert "better than version 3 on 1,000 test rows" in verdict.text
    assert "test/accuracy 0.92 against 0.9: a gain of 0.02" in verdict.text
    assert "which is 1/2 of the stated one: it is number 2 of the versions" in verdict.text
    assert verdict.tags() == {
        "distrain.gate": "passed",
        "distrain.gate.why": verdict.text,
        "distrain.gate.holder": "3",
        "distrain.gate.metric": "test/accuracy",
        "distrain.gate.gain": "0.02",
        "distrain.gate.interval": "[0.005, 0.035]",
        "distrain.gate.p": "0.01",
        "distrain.gate.level": "0.05",
    }


def test_a_gain_that_may_be_chance_is_refused() -> None:
    verdict = judge(contest(p=0.2), num_versions=2)
    assert not verdict.may_move
    assert verdict.text.startswith("not better than version 3 by more than chance")


def test_every_further_version_on_the_same_rows_makes_the_level_stricter_and_is_told() -> None:
    assert [level_of(0.06, versions) for versions in (1, 2, 3, 4)] == [0.03, 0.03, 0.01, 0.005]
    verdict = judge(contest(), num_versions=4)
    assert (
        "1/12 of the stated one: it is number 4 of the versions that were measured" in verdict.text
    )


def test_the_levels_of_all_versions_add_up_to_no_more_than_the_stated_one() -> None:
    assert sum(level_of(0.05, versions) for versions in range(2, 10_000)) < 0.05


def test_a_version_that_has_the_alias_keeps_what_it_got_it_by() -> None:
    got_it_by = {"distrain.gate": "passed", "distrain.gate.p": "0.01"}
    verdict = judge_again({**got_it_by, "distrain.seed": "0"})
    assert verdict.may_move
    assert verdict.tags() == got_it_by


def test_what_could_not_be_compared_does_not_move() -> None:
    verdict = judge(Contest("3", None, "it was not made by distrain"), num_versions=2)
    assert not verdict.may_move
    assert verdict.text == (
        "version 3 has the alias, and could not be compared with: it was not made by distrain"
    )


def test_a_handful_of_rows_decides_nothing() -> None:
    verdict = judge(contest(num_rows=19, notes=("900 rows were left out",)), num_versions=2)
    assert not verdict.may_move
    assert verdict.reasons[0].startswith("19 test rows are left")
    assert "900 rows were left out" in verdict.reasons


@pytest.mark.parametrize(
    ("but", "low", "may_move", "why"),
    [
        ("smaller", -0.001, True, "within 0.01 of the holder and smaller: 10 parameters"),
        ("smaller", -0.02, False, "neither better, nor surely within 0.01"),
        ("faster", -0.001, False, "within 0.01 of the holder and not faster: 0.95 s"),
    ],
)
def test_an_equal_model_may_move_where_it_costs_less(
    but: str, low: float, may_move: bool, why: str
) -> None:
    equal = contest(p=0.4, low=low, costs=Costs((10, 20), (0.95, 1.0)))
    verdict = judge(equal, num_versions=2, equal=Equal(0.01, but))  # type: ignore[arg-type]
    assert verdict.may_move is may_move
    assert why in verdict.reasons[0]


def test_an_equal_model_does_not_move_unless_that_is_asked_for() -> None:
    assert not judge(contest(p=0.4, costs=Costs((10, 20), (0.1, 1.0))), num_versions=2).may_move


def test_while_the_server_is_away_only_a_free_alias_can_move() -> None:
    assert judge_unseen((MET,)).tags()["distrain.gate.holder"] == "none"
    assert not judge_unseen((UNMET,)).may_move
