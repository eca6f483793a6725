"""A small network that takes its time, so that faults can be put into the middle of a run."""

import os
import time

import torch
from torch import nn


class SlowNet(nn.Module):
    """Dropout and batch norm: what is random or has a state of its own must be taken up exactly."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Linear(64, width),
            nn.BatchNorm1d(width),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.Linear(width, 10),
        )
        self.part_s = float(os.environ.get("SLOW_NET_PART_S", "0"))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            time.sleep(self.part_s)
        outputs: torch.Tensor = self.layers(x)
        return outputs
