"""Buffers that a training forward changes, such as batch norm's running values.

Each part of a step starts from the step's values. Afterwards the float buffers take the mean over
the parts, by rows, and the integer ones (counters) advance once. Both travel in the step's vector.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, final

import torch
from torch import nn

from distrain.errors import ModelError
from distrain.models.feeding import Network
from distrain.models.weights import same_bits


@dataclass(frozen=True)
class _Place:
    """Where a buffer is; a module may put another tensor there, so it is looked up when needed."""

    name: str
    module: nn.Module
    key: str

    @property
    def tensor(self) -> torch.Tensor:
        found = self.module._buffers[self.key]
        assert found is not None
        return found


@final
class MovingBuffers:
    """The buffers of a module that move in training.

    Args:
        module: the network, on its device.
        probe: rows as the network is fed them; one training forward finds out which buffers move.
            The module and the random state are left as they were.
        network: what runs the module with such rows.

    Attributes:
        names: those of the buffers.
        size: their elements, which are their places in the step's vector.
    """

    def __init__(self, module: nn.Module, probe: Any, network: Network) -> None:
        places = _places(module)
        moving = _moving_names(module, places, partial(network, probe))
        self._floats = [p for p in places if p.name in moving and p.tensor.is_floating_point()]
        self._counters = [
            p for p in places if p.name in moving and not p.tensor.is_floating_point()
        ]
        self._still = [(p, p.tensor, p.tensor._version) for p in places if p.name not in moving]
        self._saved = [p.tensor.clone() for p in self._moving]
        self._num_floats = sum(p.tensor.numel() for p in self._floats)
        self.names = {place.name for place in self._moving}
        self.size = sum(p.tensor.numel() for p in self._moving)

    def restore(self) -> None:
        """Put the buffers back to where the step began."""
        if self._saved:
            torch._foreach_copy_([p.tensor for p in self._moving], self._saved)

    def write(self, out: torch.Tensor, *, add: bool, fraction: float, is_first: bool) -> None:
        """Write or add a part's values to its place in the step's vector.

        Args:
            out: shape `(size,)`.
            add: whether to add to what is there or to overwrite it.
            fraction: the part's share of the step's rows.
            is_first: whether this is the step's first part, whose counters count.
        """
        if not self._saved:
            return
        floats = [p.tensor.detach().float().mul(fraction) for p in self._floats]
        values = torch.cat([*map(torch.flatten, floats), *self._advances(is_first)])
        if add:
            out.add_(values)
        else:
            out.copy_(values)

    def take(self, total: torch.Tensor) -> None:
        """Let the buffers take the step's values.

        Args:
            total: the sum over all parts, shape `(size,)`.
        """
        if not self._saved:
            return
        offset = 0
        for place, saved in zip(self._moving, self._saved, strict=True):
            values = total[offset : offset + saved.numel()].view(saved.shape)
            offset += saved.numel()
            if not place.tensor.is_floating_point():
                values = saved.double() + values.round()
            saved.copy_(values)
        self.restore()

    def check_still(self, step: int) -> None:
        """Refuse a model that changes a buffer which its first forward had left alone.

        Raises:
            ModelError: the buffer would differ between workers from here on; it may be found by
                one of them alone.
        """
        for place, tensor, version in self._still:
            if place.tensor is not tensor or tensor._version != version:
                raise ModelError(
                    f"the model changed its buffer {place.name!r}, which its first forward had "
                    "left alone",
                    where=f"step {step}",
                    expected="buffers that change in every training forward, or never",
                    mend="Let the model write to it in every forward, or keep the value in an "
                    "attribute that is no buffer",
                )

    def snapshot(self) -> dict[str, torch.Tensor]:
        """Return copies of the buffers by name, on their device."""
        return {p.name: p.tensor.detach().clone() for p in self._moving}

    def load(self, snapshot: dict[str, torch.Tensor]) -> None:
        """Go back to a snapshot."""
        for place, saved in zip(self._moving, self._saved, strict=True):
            saved.copy_(snapshot[place.name])
        self.restore()

    @property
    def _moving(self) -> list[_Place]:
        return self._floats + self._counters

    def _advances(self, is_first: bool) -> Sequence[torch.Tensor]:
        old = self._saved[len(self._floats) :]
        return [
            ((p.tensor.double() - before.double()) * is_first).float().flatten()
            for p, before in zip(self._counters, old, strict=True)
        ]


def _places(module: nn.Module) -> list[_Place]:
    places = []
    for name, _ in module.named_buffers():
        prefix, _, key = name.rpartition(".")
        places.append(_Place(name, module.get_submodule(prefix), key))
    return places


def _moving_names(module: nn.Module, places: list[_Place], run: Callable[[], object]) -> set[str]:
    if not places:
        return set()
    before = {place.name: place.tensor.clone() for place in places}
    was_training = module.training
    device = places[0].tensor.device
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), torch.no_grad():
        module.train()
        run()
    module.train(was_training)
    moving = {place.name for place in places if not same_bits(place.tensor, before[place.name])}
    for place in places:
        if place.name in moving:
            place.tensor.copy_(before[place.name])
    return moving
