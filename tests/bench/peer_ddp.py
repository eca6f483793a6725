"""The peer "torchrun DDP": DistributedDataParallel and a DataLoader, as PyTorch's tutorials do it.

Run by torchrun: `torchrun --nproc-per-node 2 -m tests.bench.peer_ddp FOLDER WORK_JSON`, where the
folder holds `x.npy` and `y.npy`. Rank zero prints one JSON line with the steady rows per second.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data.distributed import DistributedSampler

from tests.bench.peer_rows import Network, open_loader, open_rows


def main() -> None:
    """Train, and print the rows per second past the warm-up."""
    folder, work = Path(sys.argv[1]), json.loads(sys.argv[2])
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    world_size = dist.get_world_size()
    torch.manual_seed(0)
    rows = open_rows(folder, work)
    sampler: DistributedSampler[Any] = DistributedSampler(rows, shuffle=True)
    loader = open_loader(rows, work, sampler)
    model = DistributedDataParallel(Network(work))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    loss_of = nn.CrossEntropyLoss()
    started, step, counted = 0.0, 0, 0
    for epoch in range(work["epochs"]):
        sampler.set_epoch(epoch)
        for x, y in loader:
            loss = loss_of(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
            if step == work["warmup_steps"]:
                started = time.perf_counter()
            elif step > work["warmup_steps"]:
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
