"""The peer "torchrun DDP": DistributedDataParallel and a DataLoader, as PyTorch's tutorials do it.

Run as a script: `torchrun --nproc-per-node 2 tests/bench/peer_ddp.py FOLDER SPEC_JSON`, where the
folder holds `x.npy` and `y.npy`. Rank zero prints one JSON line with the steady rows per second.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.data.distributed import DistributedSampler


def make_model(spec: dict[str, Any]) -> nn.Module:
    """Return the same network as distrain's `mlp`."""
    layers: list[nn.Module] = []
    inputs = spec["num_features"]
    for outputs in spec["hidden"]:
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
        inputs = outputs
    return nn.Sequential(*layers, nn.Linear(inputs, spec["num_classes"]))


def main() -> None:
    """Train, and print the rows per second past the warm-up."""
    folder, spec = Path(sys.argv[1]), json.loads(sys.argv[2])
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    world_size = dist.get_world_size()
    torch.manual_seed(0)
    rows = TensorDataset(
        torch.from_numpy(np.load(folder / "x.npy")), torch.from_numpy(np.load(folder / "y.npy"))
    )
    sampler: DistributedSampler[Any] = DistributedSampler(rows, shuffle=True)
    loader = DataLoader(
        rows,
        batch_size=spec["batch"] // world_size,
        sampler=sampler,
        num_workers=spec["loader_workers"],
        persistent_workers=spec["loader_workers"] > 0,
    )
    model = DistributedDataParallel(make_model(spec))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    loss_of = nn.CrossEntropyLoss()
    started, step, counted = 0.0, 0, 0
    for epoch in range(spec["epochs"]):
        sampler.set_epoch(epoch)
        for x, y in loader:
            loss = loss_of(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
            if step == spec["warmup_steps"]:
                started = time.perf_counter()
            elif step > spec["warmup_steps"]:
                counted += len(y) * world_size
    seconds = time.perf_counter() - started
    if dist.get_rank() == 0:
        print(json.dumps({"rows_per_s": counted / seconds}), flush=True)
    dist.barrier()
    sys.stdout.flush()
    # gloo's threads may abort a process that ends in the usual way.
    os._exit(0)


if __name__ == "__main__":
    main()
