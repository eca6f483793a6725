"""What the peers share: the same network and rows as distrain's, in PyTorch's own loader."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset
from torch.utils.data.distributed import DistributedSampler

from distrain.models.build import InputNormalizer, build_model
from tests.bench import own_dataset
from tests.bench.works import Work, image_entry


class Network(nn.Module):
    """The work's network, with what stands before it."""

    def __init__(self, work: Work) -> None:
        super().__init__()
        shape = tuple(work.get("shape") or (work["num_features"],))
        self.network = build_model(
            work["model"], input_shape=shape, num_outputs=work["num_classes"], seed=0
        )
        self._normalize = InputNormalizer(image_entry(work))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return scores `(rows, classes)`."""
        scores: torch.Tensor = self.network(self._normalize(x))
        return scores


def open_rows(folder: Path, work: Work | None = None) -> Dataset[Any]:
    """Return the rows of a work, in memory; or the Dataset that it names."""
    if work is not None and "dataset" in work:
        own: Dataset[Any] = getattr(own_dataset, work["dataset"])(str(folder))
        return own
    x, y = np.load(folder / "x.npy"), np.load(folder / "y.npy")
    return TensorDataset(torch.from_numpy(x), torch.from_numpy(y))


def open_loader(
    rows: Dataset[Any], work: Work, sampler: DistributedSampler[Any] | None = None
) -> DataLoader[Any]:
    """Return the loader of one worker; without a sampler, one that a framework may replace."""
    return DataLoader(
        rows,
        batch_size=work["batch"] // work["num_workers"],
        sampler=sampler,
        shuffle=sampler is None,
        num_workers=work.get("loader_workers", 0),
        persistent_workers=work.get("loader_workers", 0) > 0,
    )
