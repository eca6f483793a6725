"""What a way to spread a model over workers has to offer; the loop and the step know no more of it.

ddp     every worker holds the model whole: `flat.py`
fsdp    every worker holds a share of every parameter: `sharded.py`
"""

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

import torch
from torch import nn

from distrain.data.loader import StepBatch
from distrain.train.buffers import MovingBuffers

Strategy = Literal["ddp", "fsdp"]


class TrainedModel(Protocol):
    """A module on its device, with all that training changes in it.

    Attributes:
        is_sharded: whether a worker holds but a share of it, and so saves and loads its share.
        module: the network.
        num_parameters: of the whole network, frozen ones included.
        parameters: what the optimizer is over.
        prefixes: how the names of the optimizer's state of each of them begin.
        buffers: what moves in training beside the parameters.
    """

    is_sharded: bool
    module: nn.Module
    num_parameters: int
    parameters: list[nn.Parameter]
    prefixes: Sequence[str]
    buffers: MovingBuffers

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return what training changes in the model, its parameters not copied."""

    def snapshot(self) -> dict[str, torch.Tensor]:
        """Return a copy of what `tensors` gives, on its device."""

    def load(self, snapshot: Mapping[str, torch.Tensor]) -> None:
        """Go back to a snapshot."""

    def is_finite(self) -> bool:
        """Return whether all trained parameters are finite; all workers must call."""

    def final_weights(self) -> tuple[dict[str, torch.Tensor], str]:
        """Return the whole state dict, copied to the CPU, and its fingerprint.

        All workers must call, and get the fingerprint; rank zero gets the state dict.
        """


class Gradients(Protocol):
    """How the gradients of a step's parts become one sum, and the sum an update.

    Call order: `start`; `put` for each part; `checksum`; perhaps `is_finite`; perhaps, for a step
    out of the ordinary, `is_finite_alone` or `look_on` at each of its `turns`; perhaps `update`.

    Attributes:
        length: elements they take at the beginning of the step's vector.
        clip_norm: greatest L2 norm of the gradient; None: no limit. It may be set between steps.
    """

    length: int
    clip_norm: float | None

    def start(self, batch: StepBatch, nothing: "Nothing") -> None:
        """Begin a step; all workers must call.

        Args:
            batch: this worker's parts.
            nothing: runs a forward pass that counts nothing.
        """

    def put(self, loss_sum: torch.Tensor, out: torch.Tensor, add: bool) -> None:
        """Run the backward pass of a part.

        Args:
            loss_sum: its sum of losses.
            out: the vector.
            add: whether to add to the vector or to overwrite it.
        """

    def checksum(self, total: torch.Tensor) -> torch.Tensor:
        """Return one number, `(1,)`, that is finite only if the whole gradient is.

        All workers must call, and get the same.

        Args:
            total: the vector's sum over all parts.
        """

    def is_finite(self, total: torch.Tensor) -> bool:
        """Return whether every element of the gradient is finite; all workers must call."""

    def turns(self, batch: StepBatch) -> Sequence[int]:
        """Return the parts that are looked at one by one, in order, this worker's among them."""

    def is_finite_alone(self, loss_sum: torch.Tensor) -> bool:
        """Return whether the gradient of one part is finite; the step's sum stays as it is."""

    def look_on(self) -> None:
        """Do what others need while they look at a part that is not this worker's."""

    def update(self, total: torch.Tensor, divisor: float, lr: float) -> None:
        """Divide the sum of gradients, clip it and update the model once."""


class Nothing(Protocol):
    """A forward pass that counts nothing."""

    def __call__(self) -> torch.Tensor:
        """Return its loss, which is zero, or not a number; its gradient is for nobody."""
