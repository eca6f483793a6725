"""Checks on population-based training: what varies has to be able to change in the midst of it."""

from collections.abc import Iterator

from distrain.config.checks_course import changeable_text
from distrain.config.course import CHANGEABLE, why_fixed
from distrain.config.faults import Fault, KeyPath
from distrain.config.settings import Settings
from distrain.config.tune import TuneSettings
from distrain.errors import nearest

_SCHEDULER: KeyPath = ("tune", "scheduler")


def population_faults(settings: Settings, tune: TuneSettings) -> Iterator[Fault]:
    """Yield what keeps the trials of a search from taking over from each other."""
    if tune.num_trials == 1:
        yield Fault(
            "tune.num_trials = 1 is no population: there is none to take over from",
            (("tune", "num_trials"), _SCHEDULER),
            mend="Use at least 2, better 8 or more",
        )
    for key in tune.space:
        yield from _key_faults(settings, tune, key)


def _key_faults(settings: Settings, tune: TuneSettings, key: str) -> Iterator[Fault]:
    here: KeyPath = ("tune", "space", key)
    why = why_fixed(key, settings)
    if why:
        close = nearest(key, CHANGEABLE)
        guess = f"Did you mean {close!r}? " if close else ""
        yield Fault(
            f"tune.space.{key} stands beside tune.scheduler = pbt, which changes settings in the "
            f"course of a run: {why}",
            (here, _SCHEDULER),
            expected=changeable_text(),
            mend=f"{guess}Set {key} for all trials, or use another scheduler",
        )
    elif tune.space[key].when:
        yield Fault(
            f"tune.space.{key}.when stands beside tune.scheduler = pbt, by which all of the space "
            "varies in every trial",
            ((*here, "when"), _SCHEDULER),
            mend="Leave `when` out, or use another scheduler",
        )
