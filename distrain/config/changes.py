"""What `distrain resume` may change: whatever leaves all that was computed and recorded as it was.

Keys outside the digest may change, and so may the length of the run where the learning rate does
not depend on it; it can only grow. Everything else asks for a run of its own.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from distrain.config.digest import (
    LENGTH,
    NOT_IN_DIGEST,
    has_schedule_of_any_length,
    masked_dict,
    resolved_dict,
)
from distrain.config.faults import Fault, KeyPath, Place, dotted, raise_faults
from distrain.config.settings import EITHER_OR, Settings
from distrain.config.tree import tree_of_override

_KEPT: Mapping[KeyPath, str] = {
    ("name",): "the run's folder and its record are called by it",
    ("storage",): "the run's folder lies there",
    ("train", "ledger"): "it would hold the rows of a part of the run alone",
    ("evaluate", "goals"): "goals are stated before training, and decide which alias moves",
    **dict.fromkeys(
        (("track", "register", key) for key in ("metric", "mode", "level", "or_equal")),
        "what a version has to be better by is stated before training",
    ),
}
"""Keys outside the digest that a run keeps all the same, and why."""

_PART_OF_RESULT = "the result depends on it, and what was computed so far was computed without it"


def changed_keys(stored: Settings, wanted: Settings) -> dict[str, str]:
    """Return what is changed in a run that goes on: dotted key to `old -> new`.

    Args:
        stored: what the run was doing.
        wanted: what it shall do from now on.

    Raises:
        ConfigError: some of it cannot change; its text has one line for each key.
    """
    old, new = _leaves(resolved_dict(stored)), _leaves(resolved_dict(wanted))
    shown_old, shown_new = _leaves(masked_dict(stored)), _leaves(masked_dict(wanted))
    changed = [path for path in {**old, **new} if old.get(path) != new.get(path)]
    texts = {path: (_text(shown_old.get(path)), _text(shown_new.get(path))) for path in changed}
    faults = [
        _refused(path, texts[path], why)
        for path in changed
        if (why := _why_kept(path, old.get(path), new.get(path), wanted))
    ]
    if faults:
        raise_faults(faults)
    return {dotted(path): f"{before} -> {after}" for path, (before, after) in texts.items()}


def with_counterparts(overrides: Sequence[str]) -> list[str]:
    """Return overrides that also take back the value that each replaces.

    Of two keys that say the same in two ways, such as checkpoint.every_s and every_steps, the
    stored configuration has one; who gives the other means it instead.
    """
    trees = [tree_of_override(override, 0)[0].values for override in overrides]
    given = {path for tree in trees for path, value in _leaves(tree).items() if value is not None}
    taken_back = [
        f"{dotted(theirs)}=null"
        for pair in EITHER_OR
        for mine, theirs in (pair, pair[::-1])
        if mine in given
    ]
    return [*taken_back, *overrides]


def _why_kept(path: KeyPath, old: Any, new: Any, wanted: Settings) -> str:
    """Return why a key cannot change so, nothing where it can."""
    if path in LENGTH:
        return _why_no_length(old, new, wanted)
    kept = [why for key, why in _KEPT.items() if path[: len(key)] == key]
    if kept:
        return kept[0]
    is_free = any(path[: len(free)] == free for free in NOT_IN_DIGEST)
    return "" if is_free else _PART_OF_RESULT


def _why_no_length(old: Any, new: Any, wanted: Settings) -> str:
    schedule = wanted.train.lr_schedule
    if not has_schedule_of_any_length(wanted):
        name = getattr(schedule, "name", None) or getattr(schedule, "target", "")
        return f"the learning rate of lr_schedule = {name} depends on the number of steps"
    if old is None or new is None:
        return "a run goes on to be counted in what it began with, epochs or steps"
    return "" if new > old else "a run can only be made longer"


def _refused(path: KeyPath, texts: tuple[str, str], why: str) -> Fault:
    old, new = texts
    return Fault(
        f"{dotted(path)} = {new} cannot take the place of {old} in a run that has begun: {why}",
        (path,),
        mend="Leave it out, or start a new run with `distrain train`",
        place=Place("command line", 0, Path.cwd()),
    )


def _leaves(values: Any, path: KeyPath = ()) -> dict[KeyPath, Any]:
    if not isinstance(values, dict):
        return {path: values}
    return {
        below: leaf
        for key, inner in values.items()
        for below, leaf in _leaves(inner, (*path, key)).items()
    }


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
