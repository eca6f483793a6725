"""A small classifier of which a few planted trials fail, and one has its process killed."""

import os
import signal
from typing import Final

import torch
from torch import nn

RAISES: Final = (0.125, 0.25)
"""What `leak` is in the trials that fail."""
KILLED: Final = 0.375
"""What it is in the one that is killed: no other is drawn to be exactly that."""


class Reviewed(nn.Module):
    """One hidden layer over the digits; its planted faults come at the third training step.

    Args:
        width: of the layer.
        leak: slope of the activation below zero.
    """

    def __init__(self, width: int = 16, leak: float = 0.01) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(64, width), nn.LeakyReLU(leak), nn.Linear(width, 10)
        )
        self.leak = leak
        self.num_steps = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits, `(rows, 10)`."""
        self.num_steps += self.training
        if self.num_steps >= 12 and self.leak in RAISES:
            raise ValueError(f"no such thing as a leak of {self.leak}")
        if self.num_steps >= 12 and self.leak == KILLED:
            os.kill(os.getpid(), signal.SIGKILL)
        outputs: torch.Tensor = self.layers(x)
        return outputs
