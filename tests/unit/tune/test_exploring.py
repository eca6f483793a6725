"""What a trial that takes over from another goes on with."""

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distrain.config.course import current_values
from distrain.config.domains import Domain, Interval, Listed, LogWhole, Normal, Stepped
from distrain.config.load import settings_from_dict
from distrain.config.settings import Settings
from distrain.tune.exploring import Explorer, neighbour
from distrain.tune.space import Space
from distrain.tune.verdicts import Verdict

SPACE: dict[str, Any] = {
    "train.optimizer.lr": {"loguniform": [1e-4, 1e-1]},
    "train.optimizer.weight_decay": {"choice": [0.0, 0.01, 0.1]},
    "model.dropout": {"uniform": [0, 0.5]},
}
NOW = {
    "train.optimizer.lr": 0.01,
    "train.optimizer.weight_decay": 0.01,
    "model.dropout": 0.25,
}


def settings_of(**tune: Any) -> Settings:
    return settings_from_dict(
        {
            "data": {"source": "a.csv", "target": "y"},
            "model": {"name": "mlp"},
            "train": {"epochs": 8},
            "tune": {"space": SPACE, "scheduler": {"name": "pbt"}, **tune},
        }
    )


def explorer_of(probability: float = 0.25, seed: int = 0, **tune: Any) -> Explorer:
    asked = settings_of(**tune)
    space = Space.of(asked)
    return Explorer(space, space.as_written(asked), seed, probability)


def verdict(trial: int = 3, rung: int = 1) -> Verdict:
    return Verdict(
        trial=trial, action="copy", time=2, value=0.1, rung=rung, cut=0.2, rank=4, num_rivals=4,
        num_kept=3, text="It takes over from trial 0.", source=0,
    )  # fmt: skip


def neighbours(domain: Domain, value: Any) -> list[Any]:
    found = [neighbour(domain, value, random.Random(seed)) for seed in range(50)]
    return sorted({repr(one): one for one in found}.values())


@pytest.mark.parametrize(
    ("domain", "value", "near"),
    [
        (Interval(0.0, 1.0, is_log=False), 0.5, [0.4, 0.6]),
        (Interval(0.001, 0.1, is_log=True), 0.01, [0.008, 0.012]),
        (Interval(0.45, 0.55, is_log=False), 0.5, [0.45, 0.55]),
        (Interval(0.0, 0.5, is_log=False), 0.0, [0.0, 0.05]),
        (Interval(0.1, 1.0, is_log=False), 10.0, [1.0]),
        (Stepped(0, 10, 11), 50, [40, 60]),
        (Stepped(0, 1, 9), 1, [0, 2]),
        (Stepped(0.0, 0.25, 5), 1.0, [0.75, 1.0]),
        (LogWhole(1, 100), 50, [40, 60]),
        (LogWhole(1, 100), 1, [1, 2]),
        (LogWhole(1, 100), 99, [79, 99]),
        (Normal(0.0, 1.0), -2.0, [-2.4, -1.6]),
        (Normal(0.0, 1.0), 0.0, [-0.1, 0.1]),
        (Listed((1, 2, 3)), 2, [1, 3]),
        (Listed((1, 2, 3)), 3, [2]),
        (Listed((1,)), 1, [1]),
    ],
)
def test_neighbours(domain: Domain, value: Any, near: list[Any]) -> None:
    assert neighbours(domain, value) == pytest.approx(near)


@given(seed=st.integers(0, 10_000), at=st.floats(0, 0.999), which=st.sampled_from(range(5)))
@settings(max_examples=200)
def test_a_neighbour_is_in_the_domain(seed: int, at: float, which: int) -> None:
    domains: list[Domain] = [
        Interval(0.0, 0.5, is_log=False),
        Interval(1e-5, 1e-1, is_log=True),
        Stepped(0.1, 0.1, 7),
        LogWhole(2, 40),
        Listed(("a", None, [1])),
    ]
    domain = domains[which]

    found = neighbour(domain, domain.value_at(at), random.Random(seed))

    assert domain.position_of(found) is not None


@pytest.mark.parametrize("domain", [Interval(0.5, 2.0, is_log=False), Listed((0.5, 1.0))])
def test_of_what_is_not_in_the_domain_any_value_is_near(domain: Domain) -> None:
    assert domain.position_of(neighbour(domain, None, random.Random(0))) is not None


def test_what_it_goes_on_with_is_drawn_by_seed_trial_and_rung() -> None:
    def found(seed: int = 0, trial: int = 3, rung: int = 1) -> Any:
        return explorer_of(1.0, seed).taken_over(verdict(trial, rung), NOW, 16).assignment

    assert found() == found()
    assert len({repr(one) for one in (found(), found(1), found(trial=4), found(rung=2))}) == 4


def test_the_assignment_is_that_of_the_source_with_a_change() -> None:
    made = explorer_of(probability=0.0).taken_over(verdict(), NOW, 16)

    assert made.assignment is not None
    assert {key: made.assignment[key] for key in NOW} == NOW
    (change,) = made.assignment["train.changes"]
    assert change["step"] == 16
    assert set(change["values"]) == set(NOW)
    assert change["values"]["train.optimizer.lr"] in (0.008, 0.012)
    assert change["values"]["train.optimizer.weight_decay"] in (0.0, 0.1)


def test_changes_follow_each_other() -> None:
    explorer = explorer_of(probability=0.0)
    once = explorer.taken_over(verdict(), NOW, 16).assignment
    assert once is not None

    twice = explorer.taken_over(verdict(rung=2), once, 32).assignment

    assert twice is not None
    assert twice["train.changes"][0] == once["train.changes"][0]
    lr = current_values(twice)["train.optimizer.lr"] / current_values(once)["train.optimizer.lr"]
    assert lr == pytest.approx(0.8) or lr == pytest.approx(1.2)


def test_the_sentence_says_what_has_changed() -> None:
    asked = {"space": {"train.optimizer.lr": {"loguniform": [1e-4, 1e-1]}}}
    explorer = explorer_of(probability=0.0, **asked)

    text = explorer.taken_over(verdict(), {"train.optimizer.lr": 0.01}, 16).text

    change = "0.008" if "0.008" in text else "0.012"
    assert text == (
        f"It takes over from trial 0, at step 16, with train.optimizer.lr 0.01 -> {change}."
    )


def test_a_point_that_lacks_a_parameter_has_the_configurations_own() -> None:
    made = explorer_of(probability=0.0).taken_over(verdict(), {"train.optimizer.lr": 0.01}, 16)

    assert made.assignment is not None
    assert made.assignment["train.changes"][0]["values"]["model.dropout"] in (0.0, 0.05)


def test_constraints_hold_of_what_it_goes_on_with() -> None:
    explorer = explorer_of(constraints=["train.optimizer.lr <= 0.01"])
    for trial in range(30):
        made = explorer.taken_over(verdict(trial), NOW, 16)
        assert made.assignment is not None
        assert current_values(made.assignment)["train.optimizer.lr"] <= 0.01


def test_where_nothing_is_allowed_the_settings_stay() -> None:
    only = {"space": {"train.optimizer.weight_decay": {"choice": [0.0, 0.01]}}}
    explorer = explorer_of(
        probability=0.0, constraints=["train.optimizer.weight_decay >= 0.01"], **only
    )
    now = {"train.optimizer.weight_decay": 0.01}

    made = explorer.taken_over(verdict(), now, 16)

    assert made.assignment == now
    assert made.text.endswith("at step 16, with its settings.")


def test_the_trial_has_the_configuration_of_its_whole_course() -> None:
    asked = settings_of()
    space = Space.of(asked)
    made = explorer_of().taken_over(verdict(), NOW, 16)
    assert made.assignment is not None

    found = space.settings_of(asked, made.assignment)

    assert found.train.optimizer.lr == 0.01
    assert found.train.changes is not None
    assert [change.step for change in found.train.changes] == [16]
