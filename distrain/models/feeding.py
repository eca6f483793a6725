"""How a user's forward is called: with one tensor, with several, or by the names that it asks for.

Of columns, `forward(x)` gets all features in one tensor. `forward(age, colour)` and
`forward(**batch)` get those of the columns that they name, each float32 `(rows, width)`, or the
image `(rows, channels, height, width)`; `x` among the names is the one tensor again.

Of a batch of the user's Dataset, it gets a tensor as its one argument, a tuple as all of its
arguments in order, and of a dict what it names, or the dict itself where it names nothing of it.
"""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, final

import torch
from torch import nn

from distrain.errors import ModelError, did_you_mean

Network = Callable[[Any], Any]
Columns = Sequence[tuple[str, int | None]]
"""Names of columns, in order, and how many features each has; None: it is the whole input."""

Parameter = inspect.Parameter


def fed(module: nn.Module, x: Any, call: Network | None = None) -> Network:
    """Return what calls a module with batches such as this one.

    Args:
        module: the network.
        x: a batch, as it comes; only its form is looked at.
        call: what is called in the module's stead, such as its compiled form; None: itself.

    Raises:
        ModelError: `forward` needs what the dict does not have.
    """
    network = call or module
    if isinstance(x, Mapping):
        names = _named_in(module, x)
        return network if names is None else partial(_by_name, network, names)
    return partial(_in_order, network) if isinstance(x, tuple | list) else network


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
    """Let a model whose forward asks for columns by name take the one tensor; else do nothing.

    Args:
        model: changed in place; the names of parameters and buffers stay what they are.
        columns: of the data.

    Raises:
        ModelError: it asks for what the data does not have.
    """
    names = _named_among(model, columns)
    if names is not None:
        keys = {"x": (0, None), **keys_of(columns)}
        # The module's own __call__ finds this before the class's method.
        model.forward = _Columns(model.forward, {name: keys[name] for name in names})


@final
class _Columns:
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


def _by_name(network: Callable[..., Any], names: tuple[str, ...], x: Mapping[str, Any]) -> Any:
    return network(**{name: x[name] for name in names})


def _in_order(network: Callable[..., Any], x: tuple[Any, ...]) -> Any:
    return network(*x)


@final
@dataclass(frozen=True)
class _Signature:
    """What a forward can be called with.

    Attributes:
        named: its parameters but for `*` and `**`, in order.
        takes_any: whether it has `*`.
        takes_any_name: whether it has `**`.
    """

    named: list[inspect.Parameter]
    takes_any: bool
    takes_any_name: bool

    @property
    def needed(self) -> list[inspect.Parameter]:
        """Return the parameters that have no default."""
        return [one for one in self.named if one.default is Parameter.empty]


def _signature_of(module: nn.Module) -> _Signature:
    parameters = list(inspect.signature(module.forward).parameters.values())
    kinds = {one.kind for one in parameters}
    any_kinds = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
    named = [one for one in parameters if one.kind not in any_kinds]
    return _Signature(named, Parameter.VAR_POSITIONAL in kinds, Parameter.VAR_KEYWORD in kinds)


def _named_in(module: nn.Module, x: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Return the keys of a dict that a forward is called with; None: it takes the dict."""
    forward = _signature_of(module)
    if forward.takes_any_name:
        return tuple(x)
    needed = [one.name for one in forward.needed]
    if len(needed) <= 1 and not any(one.name in x for one in forward.named):
        return None
    absent = [name for name in needed if name not in x]
    if absent:
        raise ModelError(
            f"forward needs {', '.join(map(repr, absent))}, which the batch does not have",
            where=f"model {type(module).__name__}",
            expected=f"arguments among the batch's keys: {', '.join(map(repr, x))}",
            mend="Let the Dataset's items have them, or give them a default",
        )
    return tuple(one.name for one in forward.named if one.name in x)


def _named_among(model: nn.Module, columns: Columns) -> list[str] | None:
    """Return the names of columns that a forward asks for; None: it takes one tensor."""
    try:
        forward = _signature_of(model)
    except (TypeError, ValueError):  # one that torch has compiled
        return None
    named, needed = forward.named, forward.needed
    takes_one = len(needed) == 1 and needed[0].kind is not Parameter.KEYWORD_ONLY
    if takes_one or forward.takes_any or (named and not needed):
        return None
    keys = keys_of(columns)
    known = {"x": None, **keys}
    if not forward.takes_any_name and not named:
        raise _unanswered(model, "takes nothing", keys, "")
    for parameter in needed:
        if parameter.name not in known or parameter.kind is Parameter.POSITIONAL_ONLY:
            raise _unanswered(model, f"asks for {parameter.name!r}", keys, parameter.name)
    if forward.takes_any_name:
        return list(dict.fromkeys([*(one.name for one in needed), *keys]))
    return [one.name for one in named if one.name in known]


def _unanswered(model: nn.Module, what: str, keys: Mapping[str, Any], name: str) -> ModelError:
    return ModelError(
        f"forward {what}",
        where=f"model {type(model).__name__}",
        expected="one argument, which gets all features in one tensor; or arguments with the names "
        "of columns, as `distrain prepare` prints them; or **batch, which gets all of these",
        mend=did_you_mean(name, keys, listed="There are"),
    )
