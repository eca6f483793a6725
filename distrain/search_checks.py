"""What a search is refused for, before it begins and when it goes on."""

from collections.abc import Mapping
from typing import Final

from distrain.config.settings import Settings
from distrain.errors import ConfigError
from distrain.stored_run import LENGTHS

_FREE: Final = ("tune.max_concurrent", "tune.workers_per_trial", "tune.budget.", "tune.confirm")


def check_search(settings: Settings) -> None:
    """Refuse a configuration that says nothing of a search, or of one whose trials cannot run."""
    if settings.tune is None:
        raise ConfigError(
            "there is no section tune",
            where="the configuration",
            expected="a search space, and how it is searched",
            mend="Add for example: tune: {space: {train.optimizer.lr: {loguniform: [1e-4, 1e-1]}}}",
        )
    if settings.train.strategy == "fsdp":
        raise ConfigError(
            "train.strategy = fsdp, but every worker of a trial holds the model whole",
            where="train.strategy",
            expected="ddp",
            mend="Leave it out of a search's configuration",
        )
    if settings.train.changes is not None and settings.tune.scheduler.name == "pbt":
        raise ConfigError(
            "train.changes stands beside tune.scheduler = pbt, which changes settings by itself",
            where="train.changes",
            expected="one of them; `distrain train` takes the changes, and leaves tune alone",
            mend="Leave it out of the search's configuration",
        )


def check_changes(settings: Settings, changed: Mapping[str, str]) -> None:
    """Refuse what would make another search of one that has begun.

    Args:
        settings: the sweep's, as they shall be from now on.
        changed: dotted key to `old -> new`.

    Raises:
        ConfigError: something that was decided depends on what is changed.
    """
    assert settings.tune is not None
    for key, change in changed.items():
        if key == "tune.num_trials":
            _check_extended(settings.tune.scheduler.name, change)
        elif key.startswith(("tune.", *LENGTHS)) and not key.startswith(_FREE):
            raise ConfigError(
                f"{key}: {change} in a search that has begun: what was decided depends on it",
                where="command line",
                expected="a change of tune.max_concurrent, tune.workers_per_trial, tune.budget, "
                "tune.confirm or tune.num_trials, or of what changes no result",
                mend="Leave it out, or start a new search with `distrain tune`",
            )


def _check_extended(scheduler: str, change: str) -> None:
    old, new = (int(text) for text in change.split(" -> "))
    if new < old or scheduler in ("sha", "hyperband", "pbt"):
        why = (
            f"{scheduler} compares its trials with each other" if new > old else "trials have begun"
        )
        raise ConfigError(
            f"tune.num_trials: {change} in a search that has begun: {why}",
            where="command line",
            expected="more trials, and a scheduler that takes them one by one",
            mend="Set tune.budget to end it earlier, or start a new search with `distrain tune`",
        )
