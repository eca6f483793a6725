"""Checks on `train.changes`: in order, of what can change, and to values that the rest allows."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from distrain.config.course import CHANGEABLE, parts_of, why_fixed
from distrain.config.defaults import resolve_defaults
from distrain.config.faults import Fault, KeyPath, dotted
from distrain.config.settings import Settings
from distrain.config.train import ChangeSettings
from distrain.config.trials import trial_settings
from distrain.errors import nearest

_CHANGES: KeyPath = ("train", "changes")

Check = Callable[[Settings], list[Fault]]


def course_faults(settings: Settings, check_run: Check) -> Iterator[Fault]:
    """Yield what is wrong with `train.changes`.

    Args:
        settings: the whole configuration.
        check_run: returns what is wrong between the values of one run.
    """
    changes = settings.train.changes
    if changes is None:
        return
    if not changes:
        yield Fault("train.changes is empty", (_CHANGES,), mend="Leave it out")
    faults = [
        *_step_faults(settings, changes),
        *(
            fault
            for index, change in enumerate(changes)
            for fault in _key_faults(settings, index, change)
        ),
    ]
    yield from faults
    if not faults:
        yield from _value_faults(settings, check_run)


def changeable_text() -> str:
    """Return in words what may change in the course of a run."""
    return f"one of {', '.join(CHANGEABLE)}"


def _step_faults(settings: Settings, changes: Sequence[ChangeSettings]) -> Iterator[Fault]:
    for index, change in enumerate(changes):
        here: KeyPath = (*_CHANGES, index, "step")
        told = f"{dotted(here)} = {change.step} "
        before = changes[index - 1].step if index else 0
        if change.step <= before:
            yield Fault(
                f"{told}does not come after {before}",
                (here,),
                expected="steps in rising order",
                mend="Put the changes in order, one for each step",
            )
        if settings.train.steps is not None and change.step >= settings.train.steps:
            yield Fault(
                f"{told}is not less than train.steps = {settings.train.steps}, so no step has it",
                (here, ("train", "steps")),
                mend="Leave it out, or train longer",
            )


def _key_faults(settings: Settings, index: int, change: ChangeSettings) -> Iterator[Fault]:
    above: KeyPath = (*_CHANGES, index, "values")
    if not change.values:
        yield Fault(f"{dotted(above)} is empty", (above,), mend="Leave the change out")
    for key in change.values:
        why = why_fixed(key, settings)
        if why:
            close = nearest(key, CHANGEABLE)
            yield Fault(
                f"{dotted(above)}: {key} cannot change in the course of a run: {why}",
                ((*above, key),),
                expected=changeable_text(),
                mend=f"Did you mean {close!r}?" if close else f"Set {key} for the whole run",
            )


def _value_faults(settings: Settings, check_run: Check) -> Iterator[Fault]:
    alone = settings.model_copy(update={"tune": None})
    parts = [values for _, values, _ in parts_of(resolve_defaults(alone))]
    known = {fault.message for fault in trial_settings(parts[0], check_run)[1]}
    for index, values in enumerate(parts[1:]):
        here: KeyPath = (*_CHANGES, index, "values")
        for fault in trial_settings(values, check_run)[1]:
            if fault.message not in known:
                known.add(fault.message)
                told = f"{dotted(here)}: {fault.message}"
                yield replace(fault, message=told, keys=(here, *fault.keys))
