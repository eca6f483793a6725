"""A loss that was handed over -> the section `train.loss`, from which it is made again."""

import functools
import inspect
import json
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from distrain.errors import ModelError
from distrain.train.own_loss import as_asked


def target_of(value: Any) -> tuple[Callable[..., Any], dict[str, Any]]:
    """Return the class or function that a loss comes from, and its keyword arguments.

    Args:
        value: a function, a class, or an object of a `torch.nn.Module`'s class, such as
            `nn.CrossEntropyLoss(label_smoothing=0.1)`; of a `functools.partial`, what it holds.

    Raises:
        ModelError: the arguments that an object was made with are not told by its attributes.
    """
    if isinstance(value, functools.partial) and not value.args:
        return value.func, {name: _plain(one) for name, one in value.keywords.items()}
    if isinstance(value, nn.Module):
        return type(value), _arguments(value)
    return value, {}


def _arguments(loss: nn.Module) -> dict[str, Any]:
    kind = type(loss)
    found = {
        name: _plain(getattr(loss, name))
        for name, parameter in inspect.signature(kind).parameters.items()
        if hasattr(loss, name) and getattr(loss, name) is not parameter.default
    }
    try:
        again = kind(**as_asked(kind, json.loads(json.dumps(found)), torch.device("cpu")))
    except Exception as fault:  # the user's code may raise anything; told with its cause
        raise _untold(kind, f"{type(fault).__name__}: {fault}") from fault
    if _state(again) != _state(loss):
        raise _untold(kind, f"made with {', '.join(found) or 'no arguments'}, it is another")
    return found


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, torch.Tensor) else value


def _state(loss: nn.Module) -> str:
    attributes = {name: str(one) for name, one in vars(loss).items() if not name.startswith("_")}
    named = (*loss.named_buffers(), *loss.named_parameters())
    tensors = {name: one.tolist() for name, one in named}
    return str((attributes, tensors))


def _untold(kind: type, why: str) -> ModelError:
    return ModelError(
        f"a {kind.__name__} cannot be made again for the workers ({why})",
        where="loss",
        expected="attributes named and valued as the arguments that it was made with",
        mend="Hand over functools.partial(its class, argument=value, ...), or a function",
    )
