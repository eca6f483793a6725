"""One small batch through a model before anything is launched, so that a misfit is told at once."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import nn

from distrain.errors import ModelError

Loss = Callable[[torch.Tensor], torch.Tensor]
Forward = Callable[[Any], torch.Tensor]


def try_batch(
    model: nn.Module,
    x: Any,
    *,
    num_outputs: int,
    num_rows: int | None = None,
    loss: Loss,
    forward: Forward | None = None,
) -> None:
    """Run a forward and a backward pass on a few rows; the model is left as it was.

    Args:
        model: the network, in training mode or not.
        x: rows as the model will be fed them, `(rows, ...)`, or several tensors of such.
        num_outputs: classes or targets: the width that the outputs must have.
        num_rows: how many rows there are; None: as many as `x` has.
        loss: outputs to a scalar.
        forward: how the model is run, such as in half precision; None: it is called.

    Raises:
        ModelError: the forward pass, the loss or the backward pass fails, the outputs have another
            shape than `(rows, num_outputs)`, or nothing can be trained. The message names the
            shapes.
    """
    with in_training_mode(model), torch.random.fork_rng(devices=[]):
        shape = (len(x) if num_rows is None else num_rows, num_outputs)
        _try(model, x, shape, loss, forward or model)


@contextlib.contextmanager
def in_training_mode(model: nn.Module) -> Iterator[None]:
    """Put a model in training mode for a while; afterwards its mode and buffers are as before."""
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    was_training = model.training
    try:
        model.train()
        yield
    finally:
        model.train(was_training)
        for name, buffer in model.named_buffers():
            if name in buffers:
                buffer.data.copy_(buffers[name])


def _try(model: nn.Module, x: Any, shape: tuple[int, int], loss: Loss, forward: Forward) -> None:
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    _check_parameters(model)
    given = described(x)
    try:
        outputs = forward(x)
    except Exception as fault:  # the user's code may raise anything; told with its cause
        raise ModelError(
            f"forward failed on {given}: {type(fault).__name__}: {fault}",
            where=_name(model),
            expected=f"outputs of shape {shape}",
            mend=f"Let the model take rows of shape {tuple(x.shape[1:])}"
            if isinstance(x, torch.Tensor)
            else "Let the model take what the Dataset's items have beside the target",
        ) from fault
    _check_outputs(model, outputs, shape, given)
    try:
        gradients = torch.autograd.grad(loss(outputs), trained, allow_unused=True)
    except ModelError:
        raise
    except Exception as fault:  # the user's code may raise anything; told with its cause
        raise ModelError(
            f"the loss failed on outputs of shape {tuple(outputs.shape)}: "
            f"{type(fault).__name__}: {fault}",
            where="train.loss",
            expected="a loss that depends on the outputs and can be differentiated",
            mend="Correct train.loss, or let the model return what it takes",
        ) from fault
    if any(gradient is not None and gradient.is_sparse for gradient in gradients):
        raise ModelError(
            "a gradient is sparse",
            where=_name(model),
            expected="dense gradients",
            mend="Make embeddings with sparse=False",
        )


def _check_parameters(model: nn.Module) -> None:
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if not trained:
        raise ModelError(
            "the model has no parameter to train",
            where=_name(model),
            expected="at least one parameter with requires_grad",
            mend="Give it a layer, or leave some of it unfrozen",
        )
    for name, parameter in trained.items():
        if parameter.dtype != torch.float32:
            raise ModelError(
                f"parameter {name} is of type {_dtype(parameter)}",
                where=_name(model),
                expected="float32",
                mend="Convert the model with .float() at the end of its constructor",
            )


def _check_outputs(model: nn.Module, outputs: object, shape: tuple[int, int], given: str) -> None:
    if isinstance(outputs, torch.Tensor) and tuple(outputs.shape) == shape:
        return
    returned = (
        f"shape {tuple(outputs.shape)}"
        if isinstance(outputs, torch.Tensor)
        else f"a {type(outputs).__name__}"
    )
    raise ModelError(
        f"forward was given {given} and returned {returned}",
        where=_name(model),
        expected=f"a tensor of shape {shape}: (rows, classes or targets)",
        mend=f"Let the last layer have {shape[1]} outputs",
    )


def described(x: Any) -> str:
    """Return what a model is fed, in words: names, shapes and types."""
    if isinstance(x, torch.Tensor):
        return f"x of shape {tuple(x.shape)} and type {_dtype(x)}"
    named = x.items() if isinstance(x, Mapping) else enumerate(x)
    return ", ".join(described(value).replace("x of", f"{name} of", 1) for name, value in named)


def _dtype(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _name(model: nn.Module) -> str:
    return f"model {type(model).__name__}"
