"""Rows per second on a torch Dataset of the user's own: distrain against torchrun DDP + DataLoader.

    python -m tests.bench.own_dataset [--works table ...] [--rounds 3] [--out FILE.json]

Both read the same Dataset with as many reading processes. One case draws nothing; in the other each
item is augmented, with random numbers that distrain keys by seed, epoch and row.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from distrain.config.data import DataSettings
from distrain.data.prepare import prepare
from distrain.train.job import TrainJob
from tests.bench.steady import compare, ratios, run_torchrun
from tests.bench.works import CNN, MLP, Work, write_work
from tests.training_group import Group, train_in_groups

REQUIRED = 0.95
PEER = "ddp, DataLoader"
WORKS: dict[str, Work] = {
    "table": {**MLP, "num_rows": 200_000, "epochs": 1, "dataset": "Rows"},
    "augmented images": {**CNN, "kind": "table", "num_rows": 20_000, "dataset": "Augmented"},
    "augmented images, 1 loader process each": {
        **CNN, "kind": "table", "num_rows": 20_000, "dataset": "Augmented", "loader_workers": 1,
    },
}  # fmt: skip


class Rows(Dataset[Any]):
    """The rows of a work, one by one."""

    def __init__(self, folder: str) -> None:
        self.x, self.y = np.load(f"{folder}/x.npy"), np.load(f"{folder}/y.npy")

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return torch.from_numpy(self.x[index]), int(self.y[index])


class Augmented(Rows):
    """Images, shifted by some pixels and turned round, half of the time."""

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        image = torch.from_numpy(self.x[index]).to(torch.float32) / 255.0
        left, up = torch.randint(-2, 3, (2,)).tolist()
        image = torch.roll(image, (up, left), dims=(1, 2))
        return (image.flip(2) if torch.rand(()) < 0.5 else image), int(self.y[index])


def run_distrain(folder: Path, work: Work) -> float:
    """Train with distrain's loop on a work's Dataset, without Ray; return its rows per second."""
    own = {"target": f"tests.bench.own_dataset:{work['dataset']}", "args": {"folder": str(folder)}}
    asked = {"dataset": own, "split": {"validation": 0.0, "test": 0.0}}
    asked["num_classes"] = work["num_classes"]
    data = prepare(DataSettings.model_validate(asked), cache=folder / "cache").dataset
    with tempfile.TemporaryDirectory() as run_dir:
        job = TrainJob(
            run_dir=run_dir,
            prepared_dir=str(data.path),
            model=work["model"],
            global_batch_size=work["batch"],
            epochs=work["epochs"],
            loader_workers=work.get("loader_workers", 0),
        )
        outcome = train_in_groups([Group(work["num_workers"], [job])], Path(run_dir))[0][0][0]
    return float(outcome["samples_per_second"])


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--works", nargs="+", choices=list(WORKS), default=list(WORKS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    told = {}
    for name in options.works:
        work = WORKS[name]
        print(name)
        with tempfile.TemporaryDirectory() as temporary:
            # The Dataset gives images as they are fed: nothing stands before the network.
            kind = "images" if "shape" in work else "table"
            written = write_work(Path(temporary), {**work, "kind": kind})
            figures = compare(
                {
                    "distrain": lambda folder=written, work=work: run_distrain(folder, work),
                    PEER: lambda folder=written, work=work: run_torchrun("peer_ddp", folder, work),
                },
                options.rounds,
            )
        told[name] = {"rows_per_s": figures, "ratios": ratios(figures, {PEER: REQUIRED})}
    for name, found in told.items():
        ratio = found["ratios"][PEER]["ratio"]
        print(f"{name:42} against {PEER:18} {ratio:6.2f} (required: {REQUIRED:.2f})")
    if options.out is not None:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
