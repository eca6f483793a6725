"""torch Datasets, collate functions and steps as a user might write them, some of them wrong."""

import os
import random
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset, IterableDataset

FEATURES = 6


class Plain(Dataset[Any]):
    """Points of three classes; nothing is drawn."""

    def __init__(self, num_rows: int = 60, seed: int = 0) -> None:
        made = np.random.default_rng(seed)
        self.x = made.standard_normal((num_rows, FEATURES)).astype(np.float32)
        self.y = (np.abs(self.x[:, 0]) * 2).astype(np.int64) % 3

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, index: int) -> Any:
        return self.x[index], int(self.y[index])


class Named(Plain):
    classes = ("red", "green", "blue")


class Noisy(Plain):
    """Draws from all three generators, and more for some rows than for others."""

    def __getitem__(self, index: int) -> Any:
        x = torch.from_numpy(self.x[index]) + 0.1 * torch.randn(FEATURES)
        x = x * float(np.random.uniform(0.9, 1.1))
        for _ in range(index % 3):
            x = x + random.gauss(0.0, 0.1)
        return x, int(self.y[index])


class SometimesNoisy(Plain):
    """Draws for one row in many alone."""

    def __getitem__(self, index: int) -> Any:
        x = torch.from_numpy(self.x[index])
        return (x + torch.randn(FEATURES) if index % 20 == 7 else x), int(self.y[index])


class Mixed(Plain):
    """Draws from torch for each row, and for some from another generator, after that."""

    def __getitem__(self, index: int) -> Any:
        x = torch.from_numpy(self.x[index]) + torch.rand(())
        if index % 20 == 7:
            x = x + float(np.random.standard_normal())
        return (x + random.random() if index % 20 == 13 else x), int(self.y[index])


class AtOnce(Plain):
    """Several rows in one call, as torch's DataLoader asks for them; counts such calls."""

    calls = 0

    def __getitems__(self, numbers: list[int]) -> list[Any]:
        self.calls += 1
        return [(self.x[number], int(self.y[number])) for number in numbers]


class AtOnceAllButOne(AtOnce):
    def __getitems__(self, numbers: list[int]) -> list[Any]:
        return super().__getitems__(numbers)[1:]


class AtOnceNoisy(AtOnce):
    def __getitem__(self, index: int) -> Any:
        return torch.from_numpy(self.x[index]) + torch.rand(()), int(self.y[index])

    def __getitems__(self, numbers: list[int]) -> list[Any]:
        return [self[number] for number in numbers]


class Around:
    """Adds to what a Dataset within gives, and has all else from it."""

    def __init__(self) -> None:
        self.inner = AtOnce()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def __len__(self) -> int:
        return len(self.inner)

    def __getitem__(self, index: int) -> Any:
        x, y = self.inner[index]
        return x + 1, y


class Numbers(Plain):
    """A target that is a number, in an item that is a dict of several inputs."""

    def __getitem__(self, index: int) -> Any:
        x = torch.from_numpy(self.x[index])
        return {"left": x[:4], "right": x[4:], "label": float(x.sum()), "key": index}


class Sentences(Plain):
    """Token numbers of any length, to be padded."""

    def __getitem__(self, index: int) -> Any:
        tokens = torch.arange(1 + index % 5) + index % 7
        return {"tokens": tokens, "label": int(self.y[index])}


def padded(items: list[Any]) -> dict[str, torch.Tensor]:
    tokens = nn.utils.rnn.pad_sequence([item["tokens"] for item in items], batch_first=True)
    return {"tokens": tokens, "label": torch.tensor([item["label"] for item in items])}


class OfSystem(Plain):
    """Draws what nobody can seed."""

    def __getitem__(self, index: int) -> Any:
        return self.x[index] + os.urandom(1)[0], int(self.y[index])


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Any:
        return iter([(torch.zeros(FEATURES), 0)])


class Lengthless:
    def __getitem__(self, index: int) -> Any:
        return torch.zeros(FEATURES), 0


class Broken(Plain):
    """Raises for a row in the middle."""

    def __init__(self, row: int) -> None:
        super().__init__()
        self.row = row

    def __getitem__(self, index: int) -> Any:
        if index == self.row:
            raise OSError(f"photo-{index}.png is truncated")
        return super().__getitem__(index)


class Unlucky(Plain):
    """Raises where a number that it has drawn is small."""

    def __getitem__(self, index: int) -> Any:
        drawn = float(torch.rand(()))
        if drawn < 0.15:
            raise ValueError(f"drew {drawn}")
        return super().__getitem__(index)


class BrokenAtOnce(Broken):
    def __getitems__(self, numbers: list[int]) -> list[Any]:
        return [self[number] for number in numbers]


class Ragged(Plain):
    def __getitem__(self, index: int) -> Any:
        return torch.zeros(1 + index), 0


class Alone(Plain):
    """Items without a target."""

    def __getitem__(self, index: int) -> Any:
        return torch.from_numpy(self.x[index])


class OutOfRange(Plain):
    def __getitem__(self, index: int) -> Any:
        return self.x[index], int(self.y[index]) + 1


class TwoSided(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(FEATURES, 1)

    def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        outputs: torch.Tensor = self.layer(torch.cat([left, right], dim=1))
        return outputs


class Bag(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(16, 8)
        self.layer = nn.Linear(8, 3)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        outputs: torch.Tensor = self.layer(self.embedding(tokens).mean(dim=1))
        return outputs


class Layerwise(torch.optim.Optimizer):
    """Steps as long as a parameter is (as in LARS), with momentum."""

    def __init__(self, params: Any, lr: float, trust: float) -> None:
        super().__init__(params, {"lr": lr, "trust": trust})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                kept = self.state[parameter].setdefault("momentum", torch.zeros_like(parameter))
                kept.mul_(0.9).add_(parameter.grad)
                length = group["trust"] * parameter.norm() / (parameter.grad.norm() + 1e-6)
                parameter.sub_(group["lr"] * length.clamp(0.01, 1.0) * kept)


def halving(step: int, total_steps: int) -> float:
    return 0.5 ** (4 * step / total_steps)


class Autoencoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(FEATURES, 4), nn.BatchNorm1d(4), nn.Dropout(0.2), nn.Linear(4, FEATURES)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        outputs: torch.Tensor = self.layers(x)
        return outputs


def denoising(model: nn.Module, batch: Any) -> Any:
    noisy = batch + 0.1 * torch.randn_like(batch)
    errors = (model(noisy) - batch).square().sum(dim=1)
    return errors.sum(), len(batch), {"worst": (errors.max(), 1), "mean": errors.mean()}


def without_metrics(model: nn.Module, batch: Any) -> Any:
    return (model(batch) - batch).square().sum(), len(batch)


def detached(model: nn.Module, batch: Any) -> Any:
    return (model(batch).detach() - batch).square().sum(), len(batch)


def by_row(model: nn.Module, batch: Any) -> Any:
    return (model(batch) - batch).square().sum(dim=1), len(batch)


def alone(model: nn.Module, batch: Any) -> Any:
    return (model(batch) - batch).square().sum()


def odd_metric(model: nn.Module, batch: Any) -> Any:
    return (model(batch) - batch).square().sum(), len(batch), {"loss": 1.0}


def raising(model: nn.Module, batch: Any) -> Any:
    return model(batch["image"]).sum(), 1
