"""The training loop on a device, without Ray: the same bits again, after a stop, and on workers.

    python -m tests.bench.device_check [--device cuda:0] [--steps 300]

Needs torch, numpy, pyarrow and safetensors. Prints one JSON object: for each network whether the
final weights have one hash when it is trained again, when it is stopped and taken up, and on two
workers that share the device (gloo); and rows per second beside a plain PyTorch loop on the same
rows, network and optimizer.
"""

import argparse
import json
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

import torch
from torch import nn

from distrain.data.prepared import PreparedDataset
from distrain.train.loop import TrainJob, train
from distrain.train.world import World
from tests.bench.works import MLP, write_work
from tests.prepared_examples import write_classified, write_images
from tests.training_group import Group, train_in_groups


def check_bits(job: TrainJob, device: str, folder: Path) -> dict[str, Any]:
    """Return which of the ways to train it lead to the same weights."""
    world = World.single(device)
    first = train(replace(job, run_dir=str(folder / "first")), world)
    again = train(replace(job, run_dir=str(folder / "again")), world)
    stopped = replace(job, run_dir=str(folder / "stopped"))
    asked = iter([False] * (first.total_steps // 2) + [True])
    train(stopped, world, stop_requested=lambda: next(asked))
    resumed = train(stopped, world)
    shared = replace(job, run_dir=str(folder / "shared"))
    group = Group(2, [shared], is_near=False, device=device)
    on_two = train_in_groups([group], folder)[0][0][0]
    return {
        "again": again.weights_sha256 == first.weights_sha256,
        "stopped and taken up": resumed.weights_sha256 == first.weights_sha256,
        "two workers": on_two.get("weights_sha256") == first.weights_sha256,
        "weights_sha256": first.weights_sha256,
    }


def plain_rows_per_s(folder: Path, device: str, steps: int) -> float:
    """Train the same network in a plain loop on tensors that are on the device already."""
    rows = PreparedDataset.open(folder / "prepared").split("train").slice(0, MLP["num_rows"])
    x, y = torch.from_numpy(rows["x"]).to(device), torch.from_numpy(rows["y"]).to(device)
    wide, classes = MLP["hidden"], MLP["num_classes"]
    model = nn.Sequential(
        nn.Linear(MLP["num_features"], wide[0]), nn.ReLU(),
        nn.Linear(wide[0], wide[1]), nn.ReLU(), nn.Linear(wide[1], classes),
    ).to(device)  # fmt: skip
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    started = time.perf_counter()
    for step in range(steps + 20):
        if step == 20:
            _wait_for(device)
            started = time.perf_counter()
        chosen = torch.randint(0, len(x), (MLP["batch"],), device=device)
        loss = nn.functional.cross_entropy(model(x[chosen]), y[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    _wait_for(device)
    return steps * float(MLP["batch"]) / (time.perf_counter() - started)


def _wait_for(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def main() -> None:
    """Check and measure; print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda:0" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--steps", type=int, default=300)
    options = parser.parse_args()
    device = options.device
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = {"train": 1003, "validation": 200}
        table = write_classified(folder / "table", rows)
        images = write_images(folder / "images", {"train": 403, "validation": 60})
        mlp = {"name": "mlp", "hidden": [64, 64], "dropout": 0.2}
        cnn = {"name": "cnn", "channels": [8, 16], "hidden": [32], "dropout": 0.2}
        shared: dict[str, Any] = {"epochs": 4, "global_batch_size": 64, "metrics": ["accuracy"]}
        jobs = {
            "mlp": TrainJob("", str(table), mlp, **shared),
            "cnn": TrainJob("", str(images), cnn, restore_best=True, **shared),
        }
        bits = {}
        for kind, job in jobs.items():
            (folder / kind).mkdir()
            bits[kind] = check_bits(job, device, folder / kind)
        data = write_work(folder / "steady", MLP)
        job = TrainJob(
            run_dir=str(folder / "fast"),
            prepared_dir=str(data / "prepared"),
            model={"name": "mlp", "hidden": MLP["hidden"]},
            global_batch_size=MLP["batch"],
            steps=options.steps,
        )
        outcome = train(job, World.single(device))
        speed = {
            "distrain": outcome.samples_per_second,
            "plain loop": plain_rows_per_s(data, device, options.steps),
            "waits": outcome.waits,
        }
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else "CPU"
    figures = {"device": name, "torch": torch.__version__, "same bits": bits, "rows_per_s": speed}
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
