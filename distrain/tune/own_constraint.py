"""A constraint that is a function of the user's own: of a trial's values, true or false.

It is known by its import path, `package.module:function`, as all of the user's code is: so it
stands in `config.yaml`, and a search that goes on finds it again.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

from distrain.config.assignment import path_of, value_in
from distrain.config.constraints import is_own
from distrain.config.digest import masked_dict
from distrain.config.settings import Settings
from distrain.errors import ConfigError, first_line
from distrain.models.target import load_target

WHERE = "tune.constraints"
_EXPECTED = "a function of a trial's values that returns True or False"


@final
class TrialValues(Mapping[str, Any]):
    """A trial's resolved values by dotted key, such as `trial["train.optimizer.lr"]`.

    A section or a list can be looked up as a whole, too; iteration gives single values alone. What
    the trial does not have is missing, so `trial.get("model.kernel_size")` is None for an mlp.

    Args:
        values: plain values of the trial's configuration.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def __getitem__(self, key: str) -> Any:
        """Return the value at a dotted key."""
        is_there, value = value_in(self._values, path_of(key))
        if not is_there:
            raise KeyError(key)
        return value

    def __iter__(self) -> Iterator[str]:
        """Yield the dotted keys of values that are no sections."""
        return _leaves(self._values, "")

    def __len__(self) -> int:
        """Return how many of them there are."""
        return sum(1 for _ in self)


@final
@dataclass(frozen=True)
class OwnConstraint:
    """A function that has to return True of a trial.

    Attributes:
        text: its import path.
    """

    text: str

    def holds(self, settings: Settings) -> bool:
        """Return whether a trial may be so.

        Args:
            settings: the trial's, resolved; the function gets no secret of them.

        Raises:
            ModelError: the function cannot be imported.
            ConfigError: it raised, or returned something else than True or False.
        """
        function = self._function
        try:
            held = function(TrialValues(masked_dict(settings)))
        except Exception as error:  # goes through, with the function's name
            raise ConfigError(
                f"{self.text} raised {type(error).__name__}: {first_line(error)}",
                where=WHERE,
                expected=_EXPECTED,
                mend="Mend the function; `trial.get(key)` is None where a trial has no such key",
            ) from error
        if not isinstance(held, bool):
            raise ConfigError(
                f"{self.text} returned {type(held).__name__}",
                where=WHERE,
                expected=_EXPECTED,
                mend="Return a comparison, or bool(...) of what NumPy compares",
            )
        return held

    @cached_property
    def _function(self) -> Callable[[Mapping[str, Any]], Any]:
        found: Callable[[Mapping[str, Any]], Any] = load_target(self.text, where=WHERE)
        return found


def import_path_of(function: Callable[..., Any]) -> str:
    """Return the import path by which a function is found again, by another process, too.

    Raises:
        ConfigError: it cannot be found again.
    """
    why = _why_lost(function)
    if why:
        raise ConfigError(
            f"{getattr(function, '__qualname__', function)!s} {why}, so a search that goes on "
            "would not find it",
            where=WHERE,
            expected="functions from the top of a module",
            mend="Write it with `def` in a module of its own, such as rules.py, and import it",
        )
    return _path_of(function)


def _why_lost(function: Callable[..., Any]) -> str:
    """Return why a function is not found by its import path; nothing: it is."""
    if not inspect.isfunction(function):
        return "is no function"
    if function.__name__ == "<lambda>":
        return "is a lambda"
    if function.__module__ == "__main__":
        return "is defined in the script itself, __main__"
    path = _path_of(function)
    if not is_own(path):
        return "is defined within a function"
    return "" if load_target(path, where=WHERE) is function else f"is not what {path} names"


def _path_of(function: Callable[..., Any]) -> str:
    return f"{function.__module__}:{function.__qualname__}"


def _leaves(values: Mapping[str, Any], above: str) -> Iterator[str]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{above}{key}.")
        else:
            yield f"{above}{key}"
