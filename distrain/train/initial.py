"""What a model begins with: alike on all workers, and what training leaves alone at each restart.

Training starts from the weights that each worker makes for itself, and a checkpoint holds what
training changes alone. Of the rest there are fingerprints, which are compared.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Final

import numpy as np
from torch import nn

from distrain.errors import ModelError
from distrain.models.weights import same_bits, weights_sha256
from distrain.train.collective import gather_rows
from distrain.train.world import World

# Building a model of so many elements a second time takes about half a second.
MOST_BUILT_TWICE: Final = 1 << 25
_MOST_SHOWN: Final = 4
_MEND: Final = (
    "Let it draw from torch, numpy.random or random, which are seeded, and not from os.urandom, "
    "the time, numpy.random.default_rng() without a seed, a generator that outlives the model, or "
    "memory that nothing was written to (torch.empty)"
)


def fingerprints(module: nn.Module, *, with_trained: bool = True) -> dict[str, str]:
    """Return the SHA-256 (hex) of each entry of a model's state dict.

    Buffers that are not in it (`persistent=False`) may hold anything between two forwards.

    Args:
        module: the network, whole.
        with_trained: whether parameters that are trained are among them.
    """
    left_out = set() if with_trained else _trained(module)
    return {
        name: weights_sha256({name: value})
        for name, value in module.state_dict().items()
        if name not in left_out
    }


def still_digest(module: nn.Module, found: Mapping[str, str], moving: set[str]) -> str:
    """Return a SHA-256 (hex) of what training leaves alone: frozen parameters and still buffers.

    Args:
        module: the network; it may be cut up by now.
        found: its fingerprints from before.
        moving: names of the buffers that move in training.
    """
    changing = _trained(module) | moving
    return _digest({name: sha256 for name, sha256 in found.items() if name not in changing})


def check_built_twice(first: nn.Module, second: nn.Module) -> None:
    """Return where a model was made twice with the same weights.

    Args:
        first: the network.
        second: another, from the same seed.

    Raises:
        ModelError: they differ.
    """
    ones, others = first.state_dict(), second.state_dict()
    differing = [
        name
        for name in {**ones, **others}
        if not (name in ones and name in others and same_bits(ones[name], others[name]))
    ]
    if not differing:
        return
    more = len(differing) - _MOST_SHOWN
    raise ModelError(
        f"made twice from the same seed, it begins with other values of "
        f"{', '.join(differing[:_MOST_SHOWN])}" + (f" and {more} more" if more > 0 else ""),
        where=f"model {type(first).__name__}",
        expected="a model that each worker, and each restart, makes alike",
        mend=_MEND,
    )


def check_alike(found: Mapping[str, str], model: str, world: World) -> None:
    """Return where all workers have made the model alike; all must call.

    Args:
        found: this worker's fingerprints of all of it.
        model: what it is called.
        world: sizes and ranks.

    Raises:
        ModelError: some differ from rank zero's; on every worker.
    """
    own = np.frombuffer(bytes.fromhex(_digest(found)), np.int64).reshape(1, -1).copy()
    every = gather_rows(own, [1] * world.world_size, world)
    others = [str(rank) for rank, one in enumerate(every) if (one != every[0]).any()]
    if not others:
        return
    who = f"{'worker' if len(others) == 1 else 'workers'} of rank {', '.join(others)}"
    raise ModelError(
        f"{who} made it with other weights than rank zero, from the same seed",
        where=f"model {model}",
        expected="a model that each worker makes alike",
        mend=f"{_MEND}, or a file that is not the same on every node. Nodes with other kinds of "
        "processors may also round otherwise: then train on like ones",
    )


def _trained(module: nn.Module) -> set[str]:
    """Return the names of the parameters that are trained, all of each that has several."""
    named = module.named_parameters(remove_duplicate=False)
    return {name for name, parameter in named if parameter.requires_grad}


def _digest(found: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()
