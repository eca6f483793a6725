"""The values that a parameter of a search takes, each with its position between 0 and 1.

What proposes trials works on positions alone: a domain says which value lies at one, and where a
value lies. Pure arithmetic; a value is the same wherever it is computed.
"""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from statistics import NormalDist
from typing import Any, Protocol

from distrain.config.tune import ParameterSettings

MAX_STEPS = 10**9
_LAST = 1 - 2**-53  # the greatest number below 1


class Domain(Protocol):
    """What every domain can tell."""

    @property
    def num_values(self) -> int | None:
        """How many values there are, None where there is no end of them."""

    def value_at(self, position: float) -> Any:
        """Return the value at a position in [0, 1)."""

    def position_of(self, value: Any) -> float | None:
        """Return a position in (0, 1) at which the value lies; None: it is not in the domain."""


@dataclass(frozen=True)
class Listed:
    """Values in no order, each as large as another. Of `choice` and `grid`."""

    values: tuple[Any, ...]

    @property
    def num_values(self) -> int:
        """How many values there are."""
        return len(self.values)

    def value_at(self, position: float) -> Any:
        """Return the value at a position in [0, 1)."""
        return self.values[_index(position, len(self.values))]

    def position_of(self, value: Any) -> float | None:
        """Return the middle of the value's part of [0, 1), None where it is not listed."""
        same = (index for index, own in enumerate(self.values) if is_same(own, value))
        index = next(same, None)
        return None if index is None else (index + 0.5) / len(self.values)


@dataclass(frozen=True)
class Stepped:
    """low, low + step, low + 2 step, ...: of `quniform` and `randint`."""

    low: float
    step: float
    num_values: int

    def value_at(self, position: float) -> int | float:
        """Return the value at a position in [0, 1); a whole number where low and step are whole."""
        return self._value(_index(position, self.num_values))

    def position_of(self, value: Any) -> float | None:
        """Return the middle of the value's part of [0, 1), None where it is not one of them."""
        if not _is_number(value):
            return None
        low, step = Decimal(str(self.low)), Decimal(str(self.step))
        index = int((Decimal(str(value)) - low) / step)
        is_there = 0 <= index < self.num_values and self._value(index) == value
        return (index + 0.5) / self.num_values if is_there else None

    def _value(self, index: int) -> int | float:
        if _is_whole(self.low) and _is_whole(self.step):
            return int(self.low) + index * int(self.step)
        return float(Decimal(str(self.low)) + index * Decimal(str(self.step)))  # 0.3, not 0.1 * 3


@dataclass(frozen=True)
class LogWhole:
    """Whole numbers from low to below high, even in their logarithm: of `lograndint`."""

    low: int
    high: int

    @property
    def num_values(self) -> int:
        """How many values there are."""
        return self.high - self.low

    def value_at(self, position: float) -> int:
        """Return the value at a position in [0, 1)."""
        number = int(_log_between(position, self.low, self.high))
        return min(max(number, self.low), self.high - 1)

    def position_of(self, value: Any) -> float | None:
        """Return a position inside the value's part of [0, 1), None where it is not there."""
        if not _is_number(value) or value != int(value) or not self.low <= value < self.high:
            return None
        return _log_share(value + 0.5, self.low, self.high)


@dataclass(frozen=True)
class Interval:
    """Any number from low to high: of `uniform` and, even in the logarithm, `loguniform`."""

    low: float
    high: float
    is_log: bool
    num_values: None = None

    def value_at(self, position: float) -> float:
        """Return the number at a position in [0, 1)."""
        between = _log_between if self.is_log else _between
        return min(max(between(position, self.low, self.high), self.low), self.high)

    def position_of(self, value: Any) -> float | None:
        """Return where the number lies, None where it is outside."""
        if not _is_number(value) or not self.low <= value <= self.high:
            return None
        share = _log_share if self.is_log else _share
        return min(max(share(value, self.low, self.high), 0.0), _LAST)


@dataclass(frozen=True)
class Normal:
    """Any number, as from a normal distribution: of `normal`."""

    mean: float
    sd: float
    num_values: None = None

    def value_at(self, position: float) -> float:
        """Return the number below which such a share of a normal distribution lies."""
        inside = min(max(position, 1e-12), 1 - 1e-12)
        return NormalDist(self.mean, self.sd).inv_cdf(inside)

    def position_of(self, value: Any) -> float | None:
        """Return the share of a normal distribution below the number."""
        if not _is_number(value):
            return None
        return min(NormalDist(self.mean, self.sd).cdf(value), _LAST)


def domain_of(parameter: ParameterSettings) -> Domain:
    """Return the domain of a checked entry of `tune.space`."""
    listed = parameter.choice if parameter.choice is not None else parameter.grid
    if listed is not None:
        return Listed(tuple(listed))
    if parameter.uniform is not None:
        return Interval(*parameter.uniform, is_log=False)
    if parameter.loguniform is not None:
        return Interval(*parameter.loguniform, is_log=True)
    if parameter.quniform is not None:
        low, high, step = parameter.quniform
        return Stepped(low, step, num_steps(low, high, step) + 1)
    if parameter.randint is not None:
        low, high = parameter.randint
        return Stepped(low, 1, high - low)
    if parameter.lograndint is not None:
        return LogWhole(*parameter.lograndint)
    assert parameter.normal is not None
    return Normal(*parameter.normal)


def values_of(domain: Domain) -> Iterator[Any]:
    """Yield every value of a domain that has an end, in order."""
    if isinstance(domain, LogWhole):
        yield from range(domain.low, domain.high)
        return
    count = domain.num_values
    assert count is not None
    for index in range(count):
        yield domain.value_at((index + 0.5) / count)


def num_steps(low: float, high: float, step: float) -> int:
    """Return how many whole steps fit between two bounds in decimals, at most MAX_STEPS."""
    if (high - low) / step >= MAX_STEPS:
        return MAX_STEPS
    return int((Decimal(str(high)) - Decimal(str(low))) // Decimal(str(step)))


def is_same(one: Any, other: Any) -> bool:
    """Return whether two plain values are equal; true is not 1, but 1.0 is."""
    return bool(one == other) and (
        isinstance(one, bool) == isinstance(other, bool)
        if not isinstance(one, list | dict)
        else key_of(one) == key_of(other)
    )


def key_of(value: Any) -> str:
    """Return a text that equal plain values share, and no others."""
    return json.dumps(_whole(value), sort_keys=True)


def is_fulfilled(wanted: Any, value: Any) -> bool:
    """Return whether a value is the one that `when` asks for, or one of a list of them."""
    one_of: Sequence[Any] = wanted if isinstance(wanted, list) else [wanted]
    return any(is_same(each, value) for each in one_of)


def _whole(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _whole(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_whole(inner) for inner in value]
    is_whole = isinstance(value, float) and value.is_integer() and abs(value) < 2**53
    return int(value) if is_whole else value


def _index(position: float, count: int) -> int:
    return min(max(int(position * count), 0), count - 1)


def _between(position: float, low: float, high: float) -> float:
    return low + position * (high - low)


def _share(value: float, low: float, high: float) -> float:
    return (value - low) / (high - low)


def _log_between(position: float, low: float, high: float) -> float:
    return math.exp(_between(position, math.log(low), math.log(high)))


def _log_share(value: float, low: float, high: float) -> float:
    return _share(math.log(value), math.log(low), math.log(high))


def _is_whole(value: float) -> bool:
    return float(value).is_integer()


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
