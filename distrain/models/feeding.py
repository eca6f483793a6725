"""How a module is called with a batch of the user's Dataset: one tensor, several, or by name."""

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from torch import nn

from distrain.errors import ModelError

Network = Callable[[Any], Any]


def fed(module: nn.Module, x: Any, call: Network | None = None) -> Network:
    """Return what calls a module with batches such as this one.

    A tensor is its one argument, a tuple all of its arguments in order. Of a dict, `forward` gets
    what its signature names, or the dict itself where that names nothing of it.

    Args:
        module: the network.
        x: a batch, as it comes; only its form is looked at.
        call: what is called in the module's stead, such as its compiled form; None: itself.

    Raises:
        ModelError: `forward` needs what the dict does not have.
    """
    network = call or module
    if isinstance(x, Mapping):
        names = _names_of(module, x)
        return network if names is None else partial(_by_name, network, names)
    return partial(_in_order, network) if isinstance(x, tuple | list) else network


def _by_name(network: Callable[..., Any], names: tuple[str, ...], x: Mapping[str, Any]) -> Any:
    return network(**{name: x[name] for name in names})


def _in_order(network: Callable[..., Any], x: tuple[Any, ...]) -> Any:
    return network(*x)


def _names_of(module: nn.Module, x: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Return the keys that `forward` is called with; None: it takes the dict."""
    parameters = inspect.signature(module.forward).parameters.values()
    if any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters):
        return tuple(x)
    named = [one for one in parameters if one.kind is not inspect.Parameter.VAR_POSITIONAL]
    needed = [one.name for one in named if one.default is inspect.Parameter.empty]
    if len(needed) <= 1 and not any(one.name in x for one in named):
        return None
    absent = [name for name in needed if name not in x]
    if absent:
        raise ModelError(
            f"forward needs {', '.join(map(repr, absent))}, which the batch does not have",
            where=f"model {type(module).__name__}",
            expected=f"arguments among the batch's keys: {', '.join(map(repr, x))}",
            mend="Let the Dataset's items have them, or give them a default",
        )
    return tuple(one.name for one in named if one.name in x)
