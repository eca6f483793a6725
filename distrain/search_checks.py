"""What a search is refused for, before it begins and when it goes on."""

from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Final

from distrain.config.checks_constraints import NUM_TRIED
from distrain.config.constraints import is_own
from distrain.config.digest import resolved_dict
from distrain.config.settings import Settings
from distrain.config.tuning import points_of
from distrain.errors import ConfigError
from distrain.run_folder import JOURNAL
from distrain.stored_run import LENGTHS
from distrain.track.trials import AUDITS_FROM
from distrain.tune.events import read_events
from distrain.tune.space import Space

_COMPARING: Final = ("sha", "hyperband", "pbt")
_TAKEN_OVER: Final = ("tune.space.", "tune.constraints", "tune.start_from")
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


def check_own_constraints(settings: Settings) -> None:
    """Try the user's own functions among `tune.constraints` on trials, before any begins.

    Args:
        settings: of a search; the user's code can be imported.

    Raises:
        ModelError: a function cannot be imported.
        ConfigError: a function fails; or a point to start from, or all that is tried, is excluded.
    """
    assert settings.tune is not None
    own = [text for text in settings.tune.constraints if is_own(text)]
    if not own:
        return
    space, told = Space.of(settings), ", ".join(own)
    for index, point in enumerate(settings.tune.points):
        if not space.allows(point):
            raise ConfigError(
                "the point breaks a constraint",
                where=f"tune.start_from[{index}]",
                expected=f"a point of which {told} is True",
                mend="Change the point, or loosen the constraint",
            )
    space.allows(space.as_written(settings))  # it may be no trial, but must not fail
    points = points_of(settings, resolved_dict(settings), NUM_TRIED)
    first = [space.allows(point) for point in islice(points, NUM_TRIED)]
    if not any(first) and not any(map(space.allows, points)):
        raise ConfigError(
            f"no trial was found of which {told} is True, beside what else is asked for",
            where="tune.constraints",
            expected="a space that has some",
            mend="Loosen one of the constraints, or move the space to where they hold",
        )


def check_changes(settings: Settings, changed: Mapping[str, str], run_dir: Path) -> None:
    """Refuse what would make another search of one that has begun.

    Args:
        settings: the sweep's, as they shall be from now on.
        changed: dotted key to `old -> new`.
        run_dir: the sweep's folder, which tells how far it has come.

    Raises:
        ConfigError: something that was decided depends on what is changed.
    """
    assert settings.tune is not None
    for key, change in changed.items():
        if key == "tune.num_trials":
            _check_num_trials(settings.tune.scheduler.name, change, run_dir)
        elif key.startswith(_TAKEN_OVER):
            raise ConfigError(
                f"{key}: {change} in a search that has begun: what was proposed depends on it",
                where="command line",
                expected="the space and the constraints that it began with",
                mend="Start a new search with `distrain tune` that begins with what this one has "
                f"found: tune.start_from={run_dir.parent.name}/{run_dir.name}",
            )
        elif key.startswith(("tune.", *LENGTHS)) and not key.startswith(_FREE):
            raise ConfigError(
                f"{key}: {change} in a search that has begun: what was decided depends on it",
                where="command line",
                expected="a change of tune.max_concurrent, tune.workers_per_trial, tune.budget, "
                "tune.confirm or tune.num_trials, or of what changes no result",
                mend="Leave it out, or start a new search with `distrain tune`",
            )


def _check_num_trials(scheduler: str, change: str, run_dir: Path) -> None:
    _, new = (int(text) for text in change.split(" -> "))
    num_suggested = _num_suggested(run_dir)
    if scheduler in _COMPARING:
        why = f"{scheduler} compares its trials with each other"
    elif new < num_suggested:
        why = f"{num_suggested} trials have begun"
    else:
        return
    raise ConfigError(
        f"tune.num_trials: {change} in a search that has begun: {why}",
        where="command line",
        expected="at least as many trials as have begun, and a scheduler that takes them one by "
        "one",
        mend="Set tune.budget to end it earlier, or start a new search with `distrain tune`",
    )


def _num_suggested(run_dir: Path) -> int:
    """Return how many trials a sweep has; what comes after its search is no part of them."""
    events = read_events(run_dir / JOURNAL)
    return sum(one["event"] == "suggested" and one["trial"] < AUDITS_FROM for one in events)
