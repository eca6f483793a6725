"""Which runs are listed, and in which order: `--where`, `--name`, `--last` and `--sort`. Pure."""

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final, final

from distrain.errors import ConfigError, did_you_mean
from distrain.track.runs import RunSummary

NEWEST: Final = "-started"
_FORM: Final = re.compile(
    r"\s*(?P<key>[^\s=<>!]+)\s*(?P<sign>>=|<=|!=|==?|>|<)\s*(?P<value>.*?)\s*"
)
_COMPARE: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_NOT_KEYS: Final = ("metrics", "model", "live")
_WORDS: Final[Mapping[bool, str]] = {True: "true", False: "false"}


@final
@dataclass(frozen=True)
class Choice:
    """Which runs are listed, and in which order.

    Attributes:
        where: conditions that all hold, such as `outcome=failed` or `test/accuracy>0.9`.
        name: of the experiment, `*` and `?` stand for anything; None: of any.
        last: only so many, the newest that are left; None: all.
        sort: a key, `-` before it: the greatest first.
    """

    where: Sequence[str] = ()
    name: str | None = None
    last: int | None = None
    sort: str = NEWEST

    @property
    def sort_key(self) -> str:
        """Return the key that runs are put in order by."""
        return self.sort.removeprefix("-")

    def of(self, runs: Sequence[RunSummary]) -> list[RunSummary]:
        """Return those runs that are listed, in their order.

        Args:
            runs: the newest first.

        Raises:
            ConfigError: a condition cannot be read, or a key is not known.
        """
        conditions = [_Condition.of(text) for text in self.where]
        keys = dict.fromkeys(key for run in runs for key in fields_of_run(run))
        _check_keys([condition.key for condition in conditions], keys, "--where")
        _check_keys([self.sort_key], keys, "--sort")
        kept = [
            run
            for run in runs
            if (self.name is None or fnmatchcase(run.name, self.name))
            and all(condition.holds(fields_of_run(run)) for condition in conditions)
        ]
        return self._in_order(kept[: self.last])

    def _in_order(self, runs: list[RunSummary]) -> list[RunSummary]:
        """Return runs in order; those without a value come last either way."""
        found = [(fields_of_run(run).get(self.sort_key), run) for run in runs]
        known = [(value, run) for value, run in found if not _is_missing(value)]
        numbers = [(value, run) for value, run in known if isinstance(value, int | float)]
        texts = [(str(value), run) for value, run in known if not isinstance(value, int | float)]
        is_falling = self.sort.startswith("-")
        return [
            *(run for _, run in sorted(numbers, key=lambda one: one[0], reverse=is_falling)),
            *(run for _, run in sorted(texts, key=lambda one: one[0], reverse=is_falling)),
            *(run for value, run in found if _is_missing(value)),
        ]


@final
@dataclass(frozen=True)
class _Condition:
    """One condition on a run.

    Attributes:
        key: of what.
        sign: how it is compared.
        value: with what, as it was written.
    """

    key: str
    sign: str
    value: str
    number: float | None = field(default=None)

    @classmethod
    def of(cls, text: str) -> "_Condition":
        found = _FORM.fullmatch(text)
        if found is None:
            raise ConfigError(
                f"{text!r} is no condition",
                where="--where",
                expected="a key, one of = != < <= > >=, and a value",
                mend="For example: --where outcome=failed --where 'test/accuracy>0.9'",
            )
        return cls(found["key"], found["sign"], found["value"], _number(found["value"]))

    def holds(self, fields: Mapping[str, Any]) -> bool:
        """Return whether a run is meant; what it has no value of is only unlike others."""
        given = fields.get(self.key)
        if self.sign in ("=", "==", "!="):
            return (self.sign == "!=") != self._is_alike(given)
        if _is_missing(given):
            return False
        if isinstance(given, int | float):
            return self.number is not None and _COMPARE[self.sign](given, self.number)
        return _COMPARE[self.sign](str(given), self.value)

    def _is_alike(self, given: Any) -> bool:
        if isinstance(given, bool):
            return _WORDS[given] == self.value.lower()
        if isinstance(given, int | float):
            return self.number is not None and given == self.number
        return fnmatchcase("none" if given is None else str(given), self.value)


def fields_of_run(run: RunSummary) -> dict[str, Any]:
    """Return what a run can be chosen and put in order by: its fields, and its metrics by name."""
    own = {key: value for key, value in vars(run).items() if key not in _NOT_KEYS}
    model = run.model or {}
    version = str(model.get("version", ""))
    number = int(version) if version.isdecimal() else None  # 10 comes behind 9
    return {**own, "model": model.get("name"), "version": number, **run.metrics}


def _check_keys(asked: Sequence[str], keys: Mapping[str, None], option: str) -> None:
    for key in asked if keys else ():
        if key not in keys:
            raise ConfigError(
                f"no run has {key!r}",
                where=option,
                expected="a field of runs, or a metric of one of them",
                mend=did_you_mean(key, keys),
            )


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))
