"""Checks on the constraints of a search: readable, about keys that are there, and satisfiable."""

from collections.abc import Iterator, Mapping
from typing import Any

from distrain.config.assignment import exists, path_of, with_values
from distrain.config.constraints import Constraint, is_own, read_constraint
from distrain.config.explain import known_keys
from distrain.config.faults import Fault, KeyPath, dotted
from distrain.config.settings import Settings
from distrain.config.tuning import has_few_points, points_of
from distrain.errors import ConfigError, nearest

NUM_TRIED = 200
_CONSTRAINTS: KeyPath = ("tune", "constraints")


def constraint_faults(settings: Settings, values: Mapping[str, Any] | None) -> Iterator[Fault]:
    """Yield what is wrong with `tune.constraints`.

    Functions of the user's own are left out: nothing is imported here.

    Args:
        settings: the whole configuration.
        values: plain values of the resolved configuration, None where the space is at fault, so
            that nothing can be drawn from it.
    """
    assert settings.tune is not None
    constraints: dict[int, Constraint] = {}
    texts = {i: text for i, text in enumerate(settings.tune.constraints) if not is_own(text)}
    for index, text in texts.items():
        here: KeyPath = (*_CONSTRAINTS, index)
        try:
            constraint = read_constraint(text)
        except ConfigError as error:
            told = f"{dotted(here)}: {error.message}"
            yield Fault(told, (here,), expected=error.expected, mend=error.mend)
            continue
        unknown = [path for path in constraint.paths if not exists(path_of(path))]
        for path in unknown:
            told = f"{dotted(here)}: the configuration has no key {path!r}"
            yield Fault(told, (here,), mend=_near(path))
        if not unknown:
            constraints[index] = constraint
    is_readable = len(constraints) == len(texts)
    if constraints and is_readable and values is not None:
        yield from _broken_starts(settings, constraints, values)
        yield from _never_held(settings, constraints, values)


def _broken_starts(
    settings: Settings, constraints: Mapping[int, Constraint], values: Mapping[str, Any]
) -> Iterator[Fault]:
    assert settings.tune is not None
    for index, point in enumerate(settings.tune.points):
        trial = with_values(values, point)
        for place, constraint in constraints.items():
            if not constraint.holds(trial):
                here: KeyPath = ("tune", "start_from", index)
                told = f"{dotted(here)} breaks the constraint {constraint.text!r}"
                mend = "Change the point, or loosen the constraint"
                yield Fault(told, (here, (*_CONSTRAINTS, place)), mend=mend)


def _never_held(
    settings: Settings, constraints: Mapping[int, Constraint], values: Mapping[str, Any]
) -> Iterator[Fault]:
    assert settings.tune is not None
    is_small = has_few_points(settings.tune.space)
    tried = "of the space's points" if is_small else f"of {NUM_TRIED} trials drawn from the space"
    never = {*constraints}
    for point in points_of(settings, values, NUM_TRIED):
        trial = with_values(values, point)
        held = {index for index, constraint in constraints.items() if constraint.holds(trial)}
        if len(held) == len(constraints):
            return
        never -= held
    for index in sorted(never):
        yield Fault(
            f"{dotted((*_CONSTRAINTS, index))}: {constraints[index].text!r} held in none {tried}",
            ((*_CONSTRAINTS, index),),
            mend="Loosen it, or move the space to where it holds",
        )
    if not never:
        yield Fault(
            f"tune.constraints held together in none {tried}, though each held in some",
            (_CONSTRAINTS,),
            mend="Loosen one of them",
        )


def _near(path: str) -> str:
    if "." not in path:
        return f"Put text in quotes: '{path}'"
    close = nearest(path, [dotted(known) for known in known_keys()])
    return f"Did you mean {close!r}?" if close else "Write keys out, as in train.optimizer.lr"
