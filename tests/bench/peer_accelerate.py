"""The peer "Accelerate": Hugging Face's loop, run by torchrun as `peer_ddp` is."""

import json
import os
import sys
import time
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import nn

from tests.bench.peer_rows import Network, open_loader, open_rows


def main() -> None:
    """Train, and print the rows per second past the warm-up."""
    folder, work = Path(sys.argv[1]), json.loads(sys.argv[2])
    torch.set_num_threads(1)
    torch.manual_seed(0)
    accelerator = Accelerator(cpu=True)
    model = Network(work)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    model, optimizer, loader = accelerator.prepare(
        model, optimizer, open_loader(open_rows(folder), work)
    )
    loss_of = nn.CrossEntropyLoss()
    started, step, counted = 0.0, 0, 0
    for _ in range(work["epochs"]):
        for x, y in loader:
            loss = loss_of(model(x), y)
            optimizer.zero_grad()
            accelerator.backward(loss)
            optimizer.step()
            step += 1
            if step == work["warmup_steps"]:
                started = time.perf_counter()
            elif step > work["warmup_steps"]:
                counted += len(y) * accelerator.num_processes
    seconds = time.perf_counter() - started
    if accelerator.is_main_process:
        print(json.dumps({"rows_per_s": counted / seconds}), flush=True)
    accelerator.wait_for_everyone()
    sys.stdout.flush()
    # gloo's threads may abort a process that ends in the usual way.
    os._exit(0)


if __name__ == "__main__":
    main()
