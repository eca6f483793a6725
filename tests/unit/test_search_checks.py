"""What a search is refused for, and what may change in one that has begun."""

import pytest

from distrain.config.load import settings_from_dict
from distrain.config.settings import Settings
from distrain.config.train import ChangeSettings
from distrain.errors import ConfigError
from distrain.search_checks import check_changes, check_search


def search_by(scheduler: str) -> Settings:
    space = {"train.optimizer.lr": {"loguniform": [1e-4, 1e-1]}}
    return settings_from_dict(
        {
            "data": {"source": "a.csv", "target": "y"},
            "train": {"epochs": 20},
            "tune": {"space": space, "num_trials": 8, "scheduler": scheduler},
        }
    )


def test_changes_of_ones_own_are_for_other_schedulers_and_for_a_run_alone() -> None:
    def asked(scheduler: str) -> Settings:
        changes = [ChangeSettings(step=5, values={"train.optimizer.lr": 0.5})]
        settings = search_by(scheduler)
        train = settings.train.model_copy(update={"changes": changes})
        return settings.model_copy(update={"train": train})

    check_search(asked("sha"))
    check_search(search_by("pbt"))
    with pytest.raises(ConfigError, match=r"train.changes stands beside tune.scheduler = pbt"):
        check_search(asked("pbt"))


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"tune.num_trials": "8 -> 16"},
        {"tune.max_concurrent": '"auto" -> 4', "tune.budget.wall_s": "null -> 60.0"},
        {"tune.confirm": "null -> 3"},
        {"tune.workers_per_trial": "1 -> 2"},
        {"train.num_workers": '"auto" -> 2', "track.drain_s": "120.0 -> 1.0"},
    ],
)
def test_what_changes_no_decision_may_change(changed: dict[str, str]) -> None:
    check_changes(search_by("asha"), changed)


@pytest.mark.parametrize(
    ("scheduler", "key", "change", "told"),
    [
        ("asha", "tune.num_trials", "8 -> 4", "trials have begun"),
        ("sha", "tune.num_trials", "8 -> 16", "sha compares its trials with each other"),
        ("pbt", "tune.num_trials", "8 -> 16", "pbt compares its trials with each other"),
        ("asha", "tune.scheduler.reduction_factor", "4 -> 3", "what was decided depends on it"),
        ("asha", "tune.space.model.dropout.uniform", "null -> [0, 1]", "what was decided"),
        ("asha", "tune.metric", '"a" -> "b"', "what was decided depends on it"),
        ("asha", "tune.audit_fraction", "null -> 0.1", "what was decided depends on it"),
        ("asha", "train.epochs", "20 -> 40", "what was decided depends on it"),
    ],
)
def test_what_was_decided_by_is_kept(scheduler: str, key: str, change: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told) as raised:
        check_changes(search_by(scheduler), {key: change})

    assert raised.value.mend.startswith(("Leave it out", "Set tune.budget"))
