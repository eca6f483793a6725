"""`train.changes`: what may change in the course of a run, and the settings of each part of it.

A model is a function of all of them in order. What they say of steps to come changes nothing that
was computed: so a checkpoint is that of every run whose settings were the same up to its step, and
of two runs that differ from there on one can take up the other's.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from distrain.config.assignment import with_values
from distrain.config.digest import resolved_dict
from distrain.config.settings import Settings
from distrain.config.train import ChangeSettings, RmspropSettings

CHANGES: Final = "train.changes"
CHANGEABLE: Final = (
    "model.dropout",
    "train.gradient_clip_norm",
    "train.optimizer.alpha",
    "train.optimizer.betas",
    "train.optimizer.eps",
    "train.optimizer.lr",
    "train.optimizer.momentum",
    "train.optimizer.nesterov",
    "train.optimizer.weight_decay",
)
"""Keys that can change while a model trains: what was learnt, and kept beside it, still fits."""

_OTHER_MODEL: Final = "the model and what the optimizer keeps of it would be others"
_OTHER_ROWS: Final = "which rows make up a step depends on it"
_OTHER_RULE: Final = "a run has it from its first step to its last"
_REASONS: Final[Mapping[str, str]] = {
    "model": _OTHER_MODEL,
    "train.optimizer": "what one optimizer keeps of the parameters is of no use to another",
    "train.optimizer.name": "what one optimizer keeps of the parameters is of no use to another",
    "seed": _OTHER_ROWS,
    "train.global_batch_size": _OTHER_ROWS,
    "train.logical_shards": _OTHER_ROWS,
}


def why_fixed(key: str, settings: Settings) -> str:
    """Return why a key cannot change in the course of a run; nothing where it can.

    Args:
        key: dotted.
        settings: of the run.
    """
    optimizer = settings.train.optimizer
    if key == "train.optimizer.momentum" and isinstance(optimizer, RmspropSettings):
        return "rmsprop keeps a momentum only where it began with one"
    if key == "model.dropout" and settings.train.compile:
        return "a model that torch has compiled (train.compile) keeps the one it has"
    if key in CHANGEABLE:
        return ""
    return _REASONS.get(key) or _REASONS.get(key.partition(".")[0], _OTHER_RULE)


def parts_of(settings: Settings) -> Iterator[tuple[int, dict[str, Any], Settings]]:
    """Yield the parts of a run, each with settings of its own.

    Args:
        settings: resolved; checked, or at least each value by itself.

    Yields:
        The committed steps before the part, the plain values that hold in it, and the settings of a
        run that ended with it: those without the changes that come later.
    """
    changes = settings.train.changes or []
    plain = resolved_dict(settings)
    values: dict[str, Any] = {}
    yield 0, with_values(plain, {CHANGES: None}), _with_changes(settings, [])
    for index, change in enumerate(changes):
        values |= change.values
        in_force = with_values(plain, {**values, CHANGES: None})
        yield change.step, in_force, _with_changes(settings, changes[: index + 1])


def current_values(assignment: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an assignment gives its keys in the last part of the run.

    Args:
        assignment: dotted key to value; `train.changes` may be among the keys.
    """
    values = {key: value for key, value in assignment.items() if key != CHANGES}
    for change in changes_of(assignment):
        values |= change["values"]
    return values


def changes_of(assignment: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return what an assignment changes in the course of the run: `step` and `values`, in order."""
    return list(assignment.get(CHANGES, ()))


def with_change(
    assignment: Mapping[str, Any], step: int, values: Mapping[str, Any]
) -> dict[str, Any]:
    """Return an assignment that gives its keys other values from a step on.

    Args:
        assignment: as for `current_values`; its last change is before the step.
        step: committed steps before the first that has them.
        values: dotted key to value; none: it stays as it is.
    """
    if not values:
        return dict(assignment)
    earlier = changes_of(assignment)
    return {**assignment, CHANGES: [*earlier, {"step": step, "values": dict(values)}]}


def _with_changes(settings: Settings, changes: list[ChangeSettings]) -> Settings:
    train = settings.train.model_copy(update={"changes": changes or None})
    return settings.model_copy(update={"train": train})
