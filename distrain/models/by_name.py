"""What a user's forward is given: all features in one tensor, or a tensor for each column by name.

`forward(x)` gets the one tensor. `forward(age, colour)` and `forward(**batch)` get those of the
columns that they name, each float32 `(rows, width)`, or the image `(rows, channels, height,
width)`; `x` among the names is the one tensor again.
"""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

import torch
from torch import nn

from distrain.errors import ModelError, did_you_mean

Columns = Sequence[tuple[str, int | None]]
"""Names of columns, in order, and how many features each has; None: it is the whole input."""

Parameter = inspect.Parameter


def keys_of(columns: Columns) -> dict[str, tuple[int, int | None]]:
    """Return the name by which a forward can ask for each column, and where its features are.

    A letter that no name in Python can have becomes `_`; of two columns that become one name, the
    first counts.
    """
    keys: dict[str, tuple[int, int | None]] = {}
    stop = 0
    for column, width in columns:
        start, stop = stop, stop + (width or 0)
        name = re.sub(r"\W", "_", column)
        keys.setdefault(name if name.isidentifier() else f"_{name}", (start, width))
    return keys


def take_by_name(model: nn.Module, columns: Columns) -> None:
    """Let a model whose forward asks for tensors by name take the one tensor; else do nothing.

    Args:
        model: changed in place; the names of parameters and buffers stay what they are.
        columns: of the data.

    Raises:
        ModelError: it asks for what the data does not have.
    """
    names = _asked(model, columns)
    if names is not None:
        keys = {"x": (0, None), **keys_of(columns)}
        # The module's own __call__ finds this before the class's method.
        model.forward = _ByName(model.forward, {name: keys[name] for name in names})


def _asked(model: nn.Module, columns: Columns) -> list[str] | None:
    """Return the names that a forward asks for; None: it takes one tensor."""
    try:
        parameters = list(inspect.signature(model.forward).parameters.values())
    except (TypeError, ValueError):  # one that torch has compiled
        return None
    kinds = {parameter.kind for parameter in parameters}
    named = [
        p for p in parameters if p.kind not in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
    ]
    needed = [parameter for parameter in named if parameter.default is Parameter.empty]
    takes_one = len(needed) == 1 and needed[0].kind is not Parameter.KEYWORD_ONLY
    if takes_one or Parameter.VAR_POSITIONAL in kinds or (named and not needed):
        return None
    keys = keys_of(columns)
    known = {"x": None, **keys}
    if Parameter.VAR_KEYWORD not in kinds and not named:
        raise _unanswered(model, "takes nothing", keys, "")
    for parameter in needed:
        if parameter.name not in known or parameter.kind is Parameter.POSITIONAL_ONLY:
            raise _unanswered(model, f"asks for {parameter.name!r}", keys, parameter.name)
    if Parameter.VAR_KEYWORD in kinds:
        return list(dict.fromkeys([*(p.name for p in needed), *keys]))
    return [parameter.name for parameter in named if parameter.name in known]


@final
class _ByName:
    """A forward of one tensor that hands on parts of it by name."""

    def __init__(
        self, forward: Callable[..., Any], keys: Mapping[str, tuple[int, int | None]]
    ) -> None:
        self._forward = forward
        self._keys = dict(keys)

    def __call__(self, x: torch.Tensor) -> Any:
        return self._forward(
            **{
                name: x if width is None else x[:, start : start + width]
                for name, (start, width) in self._keys.items()
            }
        )


def _unanswered(model: nn.Module, what: str, keys: Mapping[str, Any], name: str) -> ModelError:
    return ModelError(
        f"forward {what}",
        where=f"model {type(model).__name__}",
        expected="one argument, which gets all features in one tensor; or arguments with the names "
        "of columns, as `distrain prepare` prints them; or **batch, which gets all of these",
        mend=did_you_mean(name, keys, listed="There are"),
    )
