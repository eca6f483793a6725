"""Models and losses as a user might write them, some of them wrong."""

import os
import random
from typing import Any

import numpy as np
import torch
from torch import nn


class TwoLayers(nn.Module):
    def __init__(self, features: int, width: int = 8, outputs: int = 3) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(features, width), nn.ReLU(), nn.Linear(width, outputs)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        outputs: torch.Tensor = self.layers(x)
        return outputs


class Lazy(TwoLayers):
    def __init__(self) -> None:
        super().__init__(1)
        self.layers = nn.Sequential(nn.LazyLinear(4), nn.ReLU(), nn.Linear(4, 3))


class LazyImages(TwoLayers):
    def __init__(self) -> None:
        super().__init__(1)
        self.layers = nn.Sequential(nn.LazyConv2d(4, 3), nn.Flatten(), nn.LazyLinear(3))


class DrawnByNumPy(TwoLayers):
    def __init__(self) -> None:
        super().__init__(6)
        self.layers[0].weight.data = torch.from_numpy(np.random.randn(8, 6)).float()


class DrawnByPython(TwoLayers):
    def __init__(self) -> None:
        super().__init__(6)
        self.layers[0].bias.data = torch.tensor([random.random() for _ in range(8)])


class DrawnByTheSystem(TwoLayers):
    """Begins with other weights each time, whatever the seed."""

    def __init__(self) -> None:
        super().__init__(6)
        self.layers[2].bias.data = torch.tensor(list(os.urandom(3))) / 255


class Reads(TwoLayers):
    """Scales its input by what is in a file, which it keeps frozen or as a buffer."""

    def __init__(self, path: str, kept: str) -> None:
        super().__init__(6)
        scale = torch.load(path)
        if kept == "frozen":
            self.scale = nn.Parameter(scale, requires_grad=False)
        else:
            self.register_buffer("scale", scale)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x * self.scale)


class Drops(TwoLayers):
    def __init__(self, p: str) -> None:
        super().__init__(6)
        self.layers.append(nn.Dropout(float(p)))


class Frozen(TwoLayers):
    def __init__(self) -> None:
        super().__init__(6)
        self.requires_grad_(False)


class Doubles(TwoLayers):
    def __init__(self) -> None:
        super().__init__(6)
        self.double()


class NamesInsteadOfScores(TwoLayers):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x).argmax(dim=1)


class ExtraState(TwoLayers):
    def get_extra_state(self) -> Any:
        return {"seen": 3}


class Unsaved(TwoLayers):
    def get_extra_state(self) -> Any:
        raise OSError("no such place")


class TwoInputs(TwoLayers):
    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        return super().forward(x) * mask


class TwoBlocks(nn.Module):
    """Two blocks of one size, which are run one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 64)
        self.blocks = nn.ModuleList([nn.Linear(64, 64), nn.Linear(64, 64)])
        self.last = nn.Linear(64, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.first(x))
        for block in self.run_blocks():
            x = torch.tanh(block(x))
        outputs: torch.Tensor = self.last(x)
        return outputs

    def run_blocks(self) -> list[nn.Module]:
        return list(self.blocks)


class BlocksInAnyOrder(TwoBlocks):
    def run_blocks(self) -> list[nn.Module]:
        is_turned = self.training and torch.rand(()) < 0.5
        return list(reversed(self.blocks)) if is_turned else list(self.blocks)


class BlocksLeftOut(TwoBlocks):
    def run_blocks(self) -> list[nn.Module]:
        return [block for block in self.blocks if not self.training or torch.rand(()) < 0.5]


class UsesWeightsOfABlock(TwoBlocks):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        outputs: torch.Tensor = self.last(torch.relu(self.first(x)) @ self.blocks[0].weight)
        return outputs


class InfiniteAt(TwoBlocks):
    """Makes an infinity of rows that begin with a certain number."""

    def __init__(self, number: float) -> None:
        super().__init__()
        self.number = number

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(torch.where(x[:, :1] == self.number, torch.inf, x))


class Tied(nn.Module):
    """Uses the weights of a layer twice, and leaves others unused or frozen."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 64)
        self.blocks = nn.ModuleList(nn.Linear(64, 64) for _ in range(3))
        self.again = nn.Linear(64, 64)
        self.again.weight = self.blocks[0].weight
        self.unused = nn.Sequential(nn.Linear(64, 64), nn.Linear(64, 2))
        self.frozen = nn.Sequential(nn.Linear(64, 64).requires_grad_(False))
        self.scale = nn.Parameter(torch.ones(1))
        self.last = nn.Linear(64, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        for block in self.blocks:
            x = x + torch.tanh(block(x))
        outputs: torch.Tensor = self.last(self.frozen(torch.tanh(self.again(x))) * self.scale)
        return outputs


class SingleNumber(TwoLayers):
    def __init__(self) -> None:
        super().__init__(6)
        self.scale = nn.Parameter(torch.tensor(1.0))


def make_model(width: int) -> nn.Module:
    return TwoLayers(6, width)


class Narrow(nn.Module):
    """Three logits of six features."""

    def __init__(self, width: int) -> None:
        super().__init__()
        if width < 1:
            raise ValueError(f"{width} is no width")
        self.layers = nn.Sequential(nn.Linear(6, width), nn.Linear(width, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        outputs: torch.Tensor = self.layers(x)
        return outputs


def no_model() -> str:
    return "no model"


NOT_CALLABLE = 3


def first_output(outputs: torch.Tensor, _targets: torch.Tensor) -> torch.Tensor:
    return outputs[:, 0]


def mean_output(outputs: torch.Tensor, _targets: torch.Tensor) -> torch.Tensor:
    return outputs.mean()


def each_output(outputs: torch.Tensor, _targets: torch.Tensor) -> torch.Tensor:
    return outputs


def sum_of_outputs(outputs: torch.Tensor, _targets: torch.Tensor) -> torch.Tensor:
    return outputs.sum()


def late_rows(outputs: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Count the rows of later classes alone: a sum and its weight."""
    is_late = targets > 0
    losses = nn.functional.cross_entropy(outputs, targets, reduction="none")
    return losses[is_late].sum(), is_late.sum()


class Focal(nn.Module):
    """The focal loss (Lin et al. 2017) as tutorials write it: its mean over the rows."""

    def __init__(self, gamma: float = 2.0, weight: torch.Tensor | None = None) -> None:
        super().__init__()
        self.gamma = gamma
        self.register_buffer("weight", weight)

    def forward(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        cross_entropy = nn.functional.cross_entropy(outputs, targets, reduction="none")
        shares = ((1 - (-cross_entropy).exp()) ** self.gamma) * cross_entropy
        return shares.mean()


class Scaled(nn.Module):
    """A loss with a parameter of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))


def share_of_yes(targets: Any, predictions: Any) -> float:
    return float((targets == "yes").mean() + (predictions == "yes").mean())


def not_a_number(_targets: Any, _predictions: Any) -> float:
    return float("nan")


def broken_metric(_targets: Any, _predictions: Any) -> float:
    raise ValueError("no such column")


def root_of_distance(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """A loss whose gradient is infinite where it is zero."""
    del targets
    return (outputs[:, 0] - outputs[:, 0].detach()).abs().sqrt()
