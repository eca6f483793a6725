"""From the model section to a `torch.nn.Module`, and from a batch to what it is fed."""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, final

import numpy as np
import torch
from torch import nn
from torch.nn.parameter import is_lazy

from distrain.config.environment import expanded
from distrain.errors import ModelError, did_you_mean
from distrain.models.cnn import build_cnn
from distrain.models.feeding import Columns, take_by_name
from distrain.models.linear import build_linear
from distrain.models.mlp import build_mlp
from distrain.models.target import load_target

Builder = Callable[[Mapping[str, Any], tuple[int, ...], int], nn.Module]

FAMILIES: Final[Mapping[str, Builder]] = {
    "linear": build_linear,
    "mlp": build_mlp,
    "cnn": build_cnn,
}


def build_model(
    spec: Mapping[str, Any],
    *,
    input_shape: tuple[int, ...],
    num_outputs: int,
    seed: int,
    columns: Columns | None = None,
) -> nn.Module:
    """Return the network that a model section describes, on the CPU, initialised from the seed.

    A user's class may draw from torch, `numpy.random` or `random`.

    Args:
        spec: `{"name": family, ...}` or `{"target": "package.module:Class", "args": {...}}`. The
            user's class gets its args alone.
        input_shape: shape of one row of the input.
        num_outputs: classes or targets.
        seed: what initialises the parameters. The caller's random states are left as they were.
        columns: of the data, which a user's forward may ask for by name; None: it has none.

    Raises:
        ModelError: there is no such family, or the user's class cannot be found or constructed, or
            its forward asks for what there is not.
    """
    with seeded(seed):
        model = _construct(spec, input_shape, num_outputs)
        if "target" in spec and columns is not None:
            take_by_name(model, columns)
        if any(is_lazy(parameter) for parameter in model.parameters()):
            _materialize(model, input_shape)
    return model


def shapes_of(
    spec: Mapping[str, Any], input_shape: tuple[int, ...], num_outputs: int
) -> dict[str, tuple[int, ...]]:
    """Return the shape of each entry of the state dict of a family's network; makes no entry.

    Args:
        spec: `{"name": family, ...}`.
        input_shape: as in `build_model`.
        num_outputs: as in `build_model`.

    Raises:
        ModelError: there is no such family, or it cannot be built.
    """
    with torch.device("meta"):
        state = _construct(spec, input_shape, num_outputs).state_dict()
    return {name: tuple(value.shape) for name, value in state.items()}


@contextmanager
def random_states_kept() -> Iterator[None]:
    """Put back the states of torch (on the CPU), `numpy.random` and `random` at the block's end."""
    of_random, of_numpy = random.getstate(), np.random.get_state(legacy=False)
    with torch.random.fork_rng(devices=[]):
        try:
            yield
        finally:
            random.setstate(of_random)
            np.random.set_state(of_numpy)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch, `numpy.random` and `random`, and put back their states at the end of the block.

    Args:
        seed: the run's; of a longer one, NumPy takes the last 32 bits.
    """
    with random_states_kept():
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)
        random.seed(seed)
        yield


def min_part_rows(model: nn.Module) -> int:
    """Return the fewest rows that a training forward can take: 2 with batch norm, else 1."""
    has_batch_norm = any(
        isinstance(module, nn.modules.batchnorm._BatchNorm) for module in model.modules()
    )
    return 2 if has_batch_norm else 1


@final
class InputNormalizer:
    """Turns a batch into what a model is fed: images as `(x / scale - mean) / std`, else as it is.

    The same code stands before the model in training, evaluation and prediction.

    Args:
        image: the transform's `image` entry: `mean` and `std` by channel, and `scale`; None where
            rows are no images.
        device: where batches will be.
    """

    def __init__(self, image: Mapping[str, Any] | None, device: torch.device | str = "cpu") -> None:
        self._image = image
        if image is not None:
            # A channel's numbers stand against its rows and columns of pixels.
            self._mean = _by_channel(image["mean"], device)
            self._std = _by_channel(image["std"], device)

    def __call__(self, x: Any) -> Any:
        """Return what the model is fed, float32, of the shape of `x`.

        Args:
            x: `(rows, features)` float32, or `(rows, channels, height, width)` uint8; where rows
                are no images, whatever they are.
        """
        if self._image is None:
            return x
        scaled = x.to(torch.float32).div_(float(self._image["scale"]))
        return scaled.sub_(self._mean).div_(self._std)


def _by_channel(values: Sequence[float], device: torch.device | str) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32, device=device).view(-1, 1, 1)


def _construct(
    spec: Mapping[str, Any], input_shape: tuple[int, ...], num_outputs: int
) -> nn.Module:
    if "target" in spec:
        return construct_target(str(spec["target"]), spec.get("args") or {})
    name = str(spec["name"])
    if name not in FAMILIES:
        raise ModelError(
            f"no model is called {name!r}", where="model.name", mend=did_you_mean(name, FAMILIES)
        )
    try:
        return FAMILIES[name](spec, input_shape, num_outputs)
    except (RuntimeError, MemoryError) as fault:
        raise ModelError(
            f"{name} cannot be built: {fault}",
            where="model",
            expected="a model that fits into the memory of one process",
            mend="Make its layers smaller",
        ) from fault


def construct_target(target: str, args: Mapping[str, Any]) -> nn.Module:
    """Return the user's network, constructed; its parameters come from the random states.

    Args:
        target: `package.module:Class`, or a function that builds a module.
        args: what it is called with, once `${VAR}` in it is filled in.

    Raises:
        ConfigError: a variable in them is not set.
        ModelError: it cannot be found or constructed, is no `torch.nn.Module`, or cannot be saved.
    """
    maker = load_target(target, where="model.target")
    filled = expanded(args)
    try:
        model = maker(**filled)
    except (Exception, SystemExit) as fault:  # the user's code may raise anything, or leave
        raise ModelError(
            f"{target}({_shown(args)}) failed: {type(fault).__name__}: {fault}",
            where="model.args",
            expected="arguments that the class can be constructed with",
            mend="Correct model.args or the class",
        ) from fault
    if not isinstance(model, nn.Module):
        raise ModelError(
            f"{target!r} gives a {type(model).__name__}",
            where="model.target",
            expected="a class derived from torch.nn.Module, or a function that builds one",
            mend="Derive the class from torch.nn.Module, or name another one",
        )
    _check_state(target, model)
    return model


def _check_state(target: str, model: nn.Module) -> None:
    """Refuse a model that could be trained, and then not be saved."""
    try:
        state = model.state_dict()
    except Exception as fault:  # the user's code may raise anything; told with its cause
        raise ModelError(
            f"the state_dict of {target!r} failed: {type(fault).__name__}: {fault}",
            where="model.target",
            expected="a model whose state can be saved",
            mend="Correct the class",
        ) from fault
    for name, value in state.items():
        if not isinstance(value, torch.Tensor):
            raise ModelError(
                f"the state of {target!r} holds a {type(value).__name__}, {name!r}",
                where="model.target",
                expected="tensors only, which can be saved without pickle",
                mend="Keep other state out of state_dict (get_extra_state)",
            )


def _shown(args: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in args.items())


def _materialize(model: nn.Module, input_shape: tuple[int, ...]) -> None:
    """Run a lazy module once, so that its parameters get their shapes and values."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            model(torch.zeros(2, *input_shape))
    except Exception as fault:  # the user's code may raise anything; told with its cause
        raise ModelError(
            f"the model failed on rows of shape {input_shape}: {type(fault).__name__}: {fault}",
            where="model.target",
            expected="a forward that takes (rows, *shape) float32, which its lazy layers get their "
            "sizes from",
            mend="Correct the class, or give the sizes of its layers instead of lazy ones",
        ) from fault
    model.train(was_training)
