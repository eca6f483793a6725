"""What a search's settings amount to: which parameters vary together, the points of its grid.

Pure; shared by the checks, the defaults and the search itself.
"""

import itertools
import random
from collections.abc import Iterator, Mapping
from typing import Any

from distrain.config.assignment import path_of, value_in, with_values
from distrain.config.domains import domain_of, is_fulfilled, key_of, values_of
from distrain.config.settings import Settings
from distrain.config.tune import ParameterSettings

MAX_POINTS = 100_000
"""The largest grid: its points are counted, one by one, before a search begins."""

MAX_GONE_THROUGH = 10_000
"""So many points of a space are gone through, where chance finds none that is wanted."""

LISTED_KINDS = ("choice", "grid", "quniform", "randint", "lograndint")
"""The domains whose values can be gone through."""

Space = Mapping[str, ParameterSettings]


def grid_size(space: Space, values: Mapping[str, Any]) -> int | None:
    """Return how many different points a checked grid has, None where more than MAX_POINTS.

    Args:
        space: entries whose values can all be gone through.
        values: plain values of the resolved configuration.
    """
    product = 1
    for parameter in space.values():
        product *= domain_of(parameter).num_values or 0
        if product > MAX_POINTS:
            return None
    if not any(parameter.when for parameter in space.values()):
        return product
    return len({key_of(point) for point in grid_points(space, values)})


def grid_points(space: Space, values: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield every combination of values, the last key changing fastest.

    Keys whose `when` is not met are left out, so a point may come more than once.

    Args:
        space: entries whose values can all be gone through.
        values: plain values of the resolved configuration.
    """
    domains = {key: [*values_of(domain_of(parameter))] for key, parameter in space.items()}
    for combined in itertools.product(*domains.values()):
        yield met(space, values, dict(zip(domains, combined, strict=True)))


def met(space: Space, values: Mapping[str, Any], assignment: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of an assignment whose `when` is met, in the order of the space.

    Args:
        space: the space.
        values: plain values of the resolved configuration, which hold where nothing is assigned.
        assignment: dotted key -> value.
    """
    chosen: dict[str, Any] = {}
    for key in conditions_first(space):
        if key in assignment and is_met(space[key], with_values(values, chosen)):
            chosen[key] = assignment[key]
    return {key: chosen[key] for key in space if key in chosen}


def is_met(parameter: ParameterSettings, values: Mapping[str, Any]) -> bool:
    """Return whether a parameter varies in a trial with these plain values."""
    found = ((wanted, *value_in(values, path_of(key))) for key, wanted in parameter.when.items())
    return all(is_there and is_fulfilled(wanted, value) for wanted, is_there, value in found)


def conditions_first(space: Space) -> list[str]:
    """Return the keys of the space, each behind those that its `when` speaks of.

    Keys in a circle, which the checks refuse, come last.
    """
    ordered: list[str] = []
    rest = list(space)
    while rest:
        ready = [key for key in rest if not _waits_for(space[key], rest)]
        ordered += ready or rest
        rest = [key for key in rest if key not in ordered]
    return ordered


def circle_in(space: Space) -> list[str]:
    """Return keys whose conditions wait for each other or for themselves, if there are any."""
    rest = list(space)
    while True:
        waiting = [key for key in rest if _waits_for(space[key], rest)]
        if len(waiting) == len(rest):
            return waiting
        rest = waiting


def _waits_for(parameter: ParameterSettings, rest: list[str]) -> bool:
    """Return whether a condition speaks of one of the rest, or of what is above or below it."""
    return any(overlap(path_of(other), path_of(mine)) for other in parameter.when for mine in rest)


def overlap(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    """Return whether two paths are of one key, or of one that lies below the other."""
    size = min(len(one), len(other))
    return one[:size] == other[:size]


def has_few_points(space: Space) -> bool:
    """Return whether all of a checked space can be gone through in a moment."""
    product = 1
    for parameter in space.values():
        count = domain_of(parameter).num_values
        if count is None or product * count > MAX_GONE_THROUGH:
            return False
        product *= count
    return True


def points_of(
    settings: Settings, values: Mapping[str, Any], count: int
) -> Iterator[dict[str, Any]]:
    """Yield points of `start_from`, then all that a space with few of them has, else drawn ones.

    The configuration as written is none of them, unless it is a point of the space.

    Args:
        settings: a configuration with a sound space.
        values: its resolved plain values.
        count: how many are drawn.
    """
    assert settings.tune is not None
    space = settings.tune.space
    is_small = has_few_points(space)
    points = grid_points(space, values) if is_small else _drawn(settings, values, count)
    yield from itertools.chain(settings.tune.points, points)


def _drawn(settings: Settings, values: Mapping[str, Any], count: int) -> Iterator[dict[str, Any]]:
    assert settings.tune is not None
    space = settings.tune.space
    domains = {key: domain_of(parameter) for key, parameter in space.items()}
    chance = random.Random(settings.seed)
    for _ in range(count):
        point = {key: domain.value_at(chance.random()) for key, domain in domains.items()}
        yield met(space, values, point)
