"""Checks on the domain of one parameter of a search: one kind, with bounds that hold something."""

import math
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from distrain.config.domains import MAX_STEPS, key_of, num_steps
from distrain.config.faults import Fault, KeyPath
from distrain.config.tune import DOMAIN_KINDS, ParameterSettings

_LOGARITHMIC = ("loguniform", "lograndint")


def domain_faults(key: str, parameter: ParameterSettings) -> Iterator[Fault]:
    """Yield what is wrong with one entry of `tune.space` by itself, but for its values."""
    kinds, here = parameter.kinds, ("tune", "space", key)
    told = f"tune.space.{key}"
    if not kinds:
        mend = f"Give one of {', '.join(DOMAIN_KINDS)}"
        yield Fault(f"{told} does not say what values it takes", (here,), mend=mend)
    elif len(kinds) > 1:
        yield Fault(
            f"{told} is {' and '.join(kinds)} at once",
            tuple((*here, kind) for kind in kinds),
            mend="Keep one of them",
        )
    elif parameter.choice is not None or parameter.grid is not None:
        yield from _listed_faults(f"{told}.{kinds[0]}", (*here, kinds[0]), parameter)
    elif parameter.normal is not None:
        yield from _normal_faults(f"{told}.normal", (*here, "normal"), parameter.normal)
    else:
        bounds = getattr(parameter, kinds[0])
        faults = [*_bounds_faults(f"{told}.{kinds[0]}", (*here, kinds[0]), bounds)]
        yield from faults
        if parameter.quniform is not None and not faults:
            yield from _step_faults(f"{told}.quniform", (*here, "quniform"), parameter.quniform)


def _listed_faults(told: str, here: KeyPath, parameter: ParameterSettings) -> Iterator[Fault]:
    listed: list[Any] = parameter.choice if parameter.choice is not None else parameter.grid or []
    if not listed:
        yield Fault(f"{told} has no values", (here,), mend="List at least one, such as [1, 2]")
    for text, count in Counter(key_of(value) for value in listed).items():
        if count > 1:
            yield Fault(f"{told} has {text} {count} times", (here,), mend="Keep one of them")


def _normal_faults(told: str, here: KeyPath, normal: tuple[float, float]) -> Iterator[Fault]:
    mean, sd = normal
    if sd <= 0:
        yield Fault(
            f"{told} = [{mean:g}, {sd:g}] has no spread",
            (here,),
            expected="[mean, sd] with sd above 0",
        )


def _bounds_faults(told: str, here: KeyPath, bounds: tuple[float, ...]) -> Iterator[Fault]:
    low, high = bounds[:2]
    told = f"{told} = {key_of(bounds)}"
    if low == high:
        mend = f"Set the key to {low:g} outside tune, or widen the range"
        yield Fault(f"{told} holds nothing that varies", (here,), mend=mend)
    elif low > high:
        mend = f"Write [{high:g}, {low:g}{', ...' if len(bounds) > 2 else ''}]"
        yield Fault(f"{told} has its bounds the wrong way round", (here,), mend=mend)
    elif math.isinf(high - low):
        yield Fault(f"{told} is wider than numbers reach", (here,), mend="Narrow the range")
    if here[-1] in _LOGARITHMIC and min(low, high) <= 0:
        yield Fault(
            f"{told} has no logarithm at {min(low, high):g}",
            (here,),
            expected="bounds above 0",
            mend="Begin above 0, or use " + str(here[-1]).removeprefix("log"),
        )


def _step_faults(told: str, here: KeyPath, bounds: tuple[float, float, float]) -> Iterator[Fault]:
    low, high, step = bounds
    told = f"{told} = {key_of(bounds)}"
    if step <= 0:
        yield Fault(f"{told} has q = {step:g}", (here,), expected="[low, high, q] with q above 0")
        return
    steps = num_steps(low, high, step)
    if steps == MAX_STEPS:
        yield Fault(f"{told} has too many steps", (here,), mend="Use uniform, or a wider q")
        return
    if steps == 0:
        mend = f"Use a q of at most {high - low:g}"
        yield Fault(f"{told} has a q that is wider than the range", (here,), mend=mend)
        return
    last = float(Decimal(str(low)) + steps * Decimal(str(step)))
    if last != high:
        yield Fault(
            f"{told} does not come to {high:g} in steps of {step:g}",
            (here,),
            mend=f"Use high = {last:g}, or another q",
        )
