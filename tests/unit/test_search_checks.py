"""What a search is refused for, and what may change in one that has begun."""

from pathlib import Path

import pytest

from distrain.config.load import settings_from_dict
from distrain.config.settings import Settings
from distrain.config.train import ChangeSettings
from distrain.errors import ConfigError
from distrain.run_folder import JOURNAL
from distrain.search_checks import check_changes, check_search
from distrain.track.trials import AUDITS_FROM
from distrain.tune.events import writing_events


def search_by(scheduler: str) -> Settings:
    space = {"train.optimizer.lr": {"loguniform": [1e-4, 1e-1]}}
    return settings_from_dict(
        {
            "data": {"source": "a.csv", "target": "y"},
            "train": {"epochs": 20},
            "tune": {"space": space, "num_trials": 8, "scheduler": scheduler},
        }
    )


def begun(folder: Path, num_trials: int) -> Path:
    """Give the folder of a search with so many trials, one of which was audited."""
    run_dir = folder / "houses" / "one"
    with writing_events(run_dir / JOURNAL, lambda: True) as log:
        for trial in [*range(num_trials), AUDITS_FROM]:
            log.add("suggested", trial=trial, assignment={}, batch=[trial, 1])
    return run_dir


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
        {"tune.num_trials": "12 -> 8"},
        {"tune.max_concurrent": '"auto" -> 4', "tune.budget.wall_s": "null -> 60.0"},
        {"tune.confirm": "null -> 3"},
        {"tune.workers_per_trial": "1 -> 2"},
        {"train.num_workers": '"auto" -> 2', "track.drain_s": "120.0 -> 1.0"},
    ],
)
def test_what_changes_no_decision_may_change(changed: dict[str, str], tmp_path: Path) -> None:
    check_changes(search_by("asha"), changed, begun(tmp_path, num_trials=8))


@pytest.mark.parametrize(
    ("scheduler", "key", "change", "told"),
    [
        ("asha", "tune.num_trials", "12 -> 7", "8 trials have begun"),
        ("sha", "tune.num_trials", "12 -> 8", "sha compares its trials with each other"),
        ("sha", "tune.num_trials", "8 -> 16", "sha compares its trials with each other"),
        ("pbt", "tune.num_trials", "8 -> 16", "pbt compares its trials with each other"),
        ("asha", "tune.scheduler.reduction_factor", "4 -> 3", "what was decided depends on it"),
        ("asha", "tune.metric", '"a" -> "b"', "what was decided depends on it"),
        ("asha", "tune.audit_fraction", "null -> 0.1", "what was decided depends on it"),
        ("asha", "train.epochs", "20 -> 40", "what was decided depends on it"),
    ],
)
def test_what_was_decided_by_is_kept(
    scheduler: str, key: str, change: str, told: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=told) as raised:
        check_changes(search_by(scheduler), {key: change}, begun(tmp_path, num_trials=8))

    assert raised.value.mend.startswith(("Leave it out", "Set tune.budget"))


@pytest.mark.parametrize(
    "key", ["tune.space.model.dropout.uniform", "tune.constraints", "tune.start_from"]
)
def test_who_wants_another_space_is_led_to_a_search_that_takes_over(
    key: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="what was proposed depends on it") as raised:
        check_changes(search_by("asha"), {key: "[0, 1] -> [0, 0.5]"}, begun(tmp_path, 8))

    assert raised.value.mend.endswith("what this one has found: tune.start_from=houses/one")
