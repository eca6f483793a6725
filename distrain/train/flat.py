"""A model whose trained parameters lie in one vector: sums and updates are one operation."""

from collections.abc import Sequence
from typing import Final, final

import torch
from torch import nn

from distrain.train.buffers import MovingBuffers

# Each parameter begins at a multiple of 256 bytes: kernels see the alignment that they would see
# in memory of its own, as in the packaged model.
ALIGNMENT: Final = 64


@final
class FlatModel:
    """A module on its device, with its trained parameters as views of one vector.

    Args:
        module: the network; its trained parameters are moved into the vector.
        probe: rows as the network is fed them, to find out which buffers move in training.
    """

    def __init__(self, module: nn.Module, probe: torch.Tensor) -> None:
        self.module = module
        self.trained = [p for p in module.parameters() if p.requires_grad]
        self.num_parameters = sum(p.numel() for p in module.parameters())
        self.vector = nn.Parameter(_joined(self.trained))
        for parameter, view in zip(self.trained, self.cut(self.vector.data), strict=True):
            parameter.data = view
        self.buffers = MovingBuffers(module, probe)

    def cut(self, vector: torch.Tensor) -> list[torch.Tensor]:
        """Return the views of a vector that correspond to the trained parameters.

        Args:
            vector: at least as long as the parameters' own.
        """
        views, offset = [], 0
        for parameter in self.trained:
            views.append(vector[offset : offset + parameter.numel()].view(parameter.shape))
            offset += _room(parameter)
        return views

    def snapshot(self) -> dict[str, torch.Tensor]:
        """Return a copy of all that training changes in the model, on its device."""
        return {**self.tensors(), "parameters": self.vector.detach().clone()}

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return what `snapshot` does, but the parameters themselves."""
        buffers = {f"buffer.{name}": value for name, value in self.buffers.snapshot().items()}
        return {"parameters": self.vector.detach(), **buffers}

    def load(self, snapshot: dict[str, torch.Tensor]) -> None:
        """Go back to a snapshot."""
        self.vector.data.copy_(snapshot["parameters"])
        self.buffers.load(
            {
                name.removeprefix("buffer."): value
                for name, value in snapshot.items()
                if name.startswith("buffer.")
            }
        )

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return the module's state dict as copies on the CPU, each in memory of its own."""
        return {
            name: tensor.detach().to("cpu", copy=True).contiguous()
            for name, tensor in self.module.state_dict().items()
        }


def _room(parameter: torch.Tensor) -> int:
    return -(-parameter.numel() // ALIGNMENT) * ALIGNMENT


def _joined(parameters: Sequence[torch.Tensor]) -> torch.Tensor:
    size = sum(_room(parameter) for parameter in parameters)
    vector = torch.zeros(size, device=parameters[0].device)
    offset = 0
    for parameter in parameters:
        vector[offset : offset + parameter.numel()] = parameter.detach().flatten()
        offset += _room(parameter)
    return vector
