"""Constraints that are functions of the user's own: what they get, and what is told of them."""

import importlib
import random
from pathlib import Path
from typing import Any

import pytest

from distrain import api
from distrain.config.digest import dump_yaml
from distrain.config.load import load_settings, settings_from_dict
from distrain.config.settings import Settings
from distrain.config.targets import user_targets
from distrain.errors import ConfigError, ModelError
from distrain.search_checks import check_own_constraints
from distrain.tune.own_constraint import import_path_of
from distrain.tune.replay import replay
from distrain.tune.space import Space
from distrain.tune.sweep import new_search
from tests import user_rules
from tests.simulated_trials import EPOCHS, MemoryLog, Simulation, curves_of

LR = "train.optimizer.lr"
RULES = "tests.user_rules"
NUM = 12


def search_of(*constraints: str, **sections: Any) -> Settings:
    tune = {"space": {LR: {"loguniform": [1e-4, 1e-1]}}, "num_trials": NUM}
    given = sections.pop("tune", {})
    return settings_from_dict(
        {
            "data": {"source": "a.csv", "target": "y"},
            "model": {"name": "mlp"},
            "train": {"epochs": EPOCHS},
            **sections,
            "tune": {**tune, **given, "constraints": [*constraints]},
        }
    )


@pytest.mark.parametrize(("lr", "is_allowed"), [(0.005, True), (0.05, False)])
def test_a_function_decides_by_what_varies(lr: float, is_allowed: bool) -> None:
    assert Space.of(search_of(f"{RULES}:is_slow")).allows({LR: lr}) is is_allowed


def test_a_function_sees_all_values_of_the_trial() -> None:
    assert Space.of(search_of(f"{RULES}:is_plain")).allows({LR: 0.005})


def test_constraints_that_are_written_before_a_function_guard_it() -> None:
    space = {"seed": {"randint": [0, 9]}}
    settings = search_of("seed > 0", f"{RULES}:divides", tune={"space": space})

    assert not Space.of(settings).allows({"seed": 0})


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (
            "divides",
            "tune.constraints: tests.user_rules:divides raised ZeroDivisionError: division by "
            "zero, in a trial with train.optimizer.lr = 0.005. Expected a function of a trial's "
            "values that returns True or False. Mend the function; `trial.get(key)` is None where "
            "a trial has no such key.",
        ),
        (
            "mistakes_a_key",
            "tune.constraints: tests.user_rules:mistakes_a_key raised KeyError: "
            "'train.learning_rate', in a trial with train.optimizer.lr = 0.005. Expected",
        ),
        (
            "counts",
            "tune.constraints: tests.user_rules:counts returned int, in a trial with "
            "train.optimizer.lr = 0.005. Expected a function of a trial's values that returns True "
            "or False. Return a comparison, or bool(...) of what NumPy compares.",
        ),
    ],
)
def test_a_function_that_fails_is_told_with_the_trial(name: str, told: str) -> None:
    space = Space.of(search_of(f"{RULES}:{name}"))

    with pytest.raises(ConfigError) as raised:
        space.allows({LR: 0.005})

    assert str(raised.value).startswith(told)


def test_a_function_gets_no_secret() -> None:
    env = {"PLANTED_TOKEN": "abcd1234efgh5678"}
    space = Space.of(search_of(f"{RULES}:tells_no_secret", cluster={"env": env}))

    with pytest.raises(ConfigError, match="raised ValueError") as raised:
        space.allows({})

    assert "abcd1234" not in str(raised.value)


def test_a_function_that_is_not_there_is_told_by_its_name() -> None:
    with pytest.raises(ModelError, match="Did you mean 'is_slow'"):
        Space.of(search_of(f"{RULES}:is_slo")).allows({})


def test_it_stands_in_the_stored_configuration(tmp_path: Path) -> None:
    settings = search_of(f"{RULES}:is_slow", "train.epochs > 1")
    (tmp_path / "config.yaml").write_text(dump_yaml(settings))

    assert load_settings([tmp_path / "config.yaml"]).tune == settings.tune


def test_it_is_of_the_user_s_code_where_a_search_is_meant() -> None:
    settings = search_of("train.epochs > 1", f"{RULES}:is_slow")

    assert user_targets(settings, is_search=True) == [("tune.constraints", f"{RULES}:is_slow")]
    assert user_targets(settings) == []


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (
            search_of(f"{RULES}:is_nothing"),
            "tune.constraints: no trial was found of which tests.user_rules:is_nothing is True",
        ),
        (
            search_of(f"{RULES}:is_slow", train={"optimizer": {"lr": 0.5}, "epochs": 2},
                      tune={"space": {LR: {"choice": [0.02, 0.5]}}}),
            "tune.constraints: no trial was found of which tests.user_rules:is_slow is True",
        ),
        (
            search_of(f"{RULES}:is_slow", tune={"start_from": [{LR: 0.001}, {LR: 0.05}]}),
            r"tune.start_from\[1\]: the point breaks a constraint",
        ),
        (
            search_of(f"{RULES}:divides", tune={"space": {"seed": {"randint": [0, 9]}}}),
            "raised ZeroDivisionError: division by zero, in a trial with seed = 0",
        ),
    ],
)  # fmt: skip
def test_functions_are_tried_before_a_search(settings: Settings, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        check_own_constraints(settings)


@pytest.mark.parametrize(
    "settings",
    [
        search_of("train.epochs > 1"),
        search_of(f"{RULES}:is_slow"),
        search_of(f"{RULES}:is_slow", train={"optimizer": {"lr": 0.05}}),
        search_of(f"{RULES}:is_one_point", tune={"space": {"seed": {"randint": [0, 1000]}}}),
    ],
)
def test_functions_that_allow_some_of_the_space_are_let_through(settings: Settings) -> None:
    check_own_constraints(settings)


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (user_rules.nameless, "<lambda> is a lambda, so a search that goes on would not find it"),
        (user_rules.made(), "made.<locals>.within is defined within a function"),
        (user_rules.Rules().is_bound, "Rules.is_bound is no function"),
        (print, "print is no function"),
    ],
)
def test_what_cannot_be_found_again_is_no_constraint(function: Any, told: str) -> None:
    with pytest.raises(ConfigError) as raised:
        import_path_of(function)

    assert told in str(raised.value)
    assert "such as rules.py, and import it" in raised.value.mend


def test_a_function_of_the_script_itself_is_no_constraint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user_rules.is_slow, "__module__", "__main__")

    with pytest.raises(ConfigError, match="is_slow is defined in the script itself, __main__"):
        import_path_of(user_rules.is_slow)


def test_a_function_whose_name_leads_to_another_is_no_constraint(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = user_rules.is_slow
    monkeypatch.setattr(user_rules, "is_slow", user_rules.is_plain)

    with pytest.raises(ConfigError, match=r"is_slow is not what tests\.user_rules:is_slow"):
        import_path_of(before)


def test_from_python_functions_come_beside_what_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(api, "run_tune", lambda *given, **_: asked.append(given))
    (tmp_path / "rules_of_one.py").write_text("def fits(trial):\n    return True\n")
    monkeypatch.syspath_prepend(tmp_path)
    rules = importlib.import_module("rules_of_one")

    api.tune(search_of("train.epochs > 1"), constraints=[rules.fits])

    [(settings, _, folders)] = asked
    assert settings.tune.constraints == ["train.epochs > 1", "rules_of_one:fits"]
    assert folders[-1] == str(tmp_path)


def test_a_function_of_a_class_is_found_again() -> None:
    assert import_path_of(user_rules.Rules.is_even) == f"{RULES}:Rules.is_even"


def run_on(log: MemoryLog) -> None:
    settings = search_of(f"{RULES}:is_slow", tune={"search_alg": "sobol"})
    search = new_search(settings, Space.of(settings), log)
    replay(search, list(log.events))
    search.begin()
    Simulation(curves_of(1, NUM), 1, random.Random(0)).run(search)


def test_a_search_that_goes_on_from_any_event_suggests_the_same_trials() -> None:
    whole = MemoryLog()
    run_on(whole)
    expected = [e["assignment"] for e in whole.events if e["event"] == "suggested"]

    for room in range(0, len(whole.events), 7):
        log = MemoryLog(whole.events[:room])
        run_on(log)
        assert [e["assignment"] for e in log.events if e["event"] == "suggested"] == expected

    assert len(expected) == NUM
    assert all(assignment[LR] < 0.01 for assignment in expected)
