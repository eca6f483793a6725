"""A small gated network for tables: each layer decides which of its units pass."""

import torch
from torch import nn


class GatedNet(nn.Module):
    """Two gated linear layers (Dauphin et al. 2017) and a linear one.

    Args:
        num_features: numbers per row; `distrain prepare wine.yaml` prints how many there are.
        num_classes: classes to tell apart.
        width: units per hidden layer.
    """

    def __init__(self, num_features: int, num_classes: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(num_features, 2 * width),
            nn.GLU(),
            nn.Linear(width, 2 * width),
            nn.GLU(),
            nn.Linear(width, num_classes),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits `(rows, num_classes)` for features `(rows, num_features)`."""
        logits: torch.Tensor = self.layers(x)
        return logits
