"""The peer "Lightning": a LightningModule under its Trainer, run by torchrun as `peer_ddp` is."""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import lightning
import torch
from torch import nn

from tests.bench.peer_rows import Network, open_loader, open_rows


class Module(lightning.LightningModule):
    """The work's network and optimizer; counts rows past the warm-up."""

    def __init__(self, work: dict[str, Any]) -> None:
        super().__init__()
        self.model = Network(work)
        self._work = work
        self._loss_of = nn.CrossEntropyLoss()
        self.step, self.counted, self.started = 0, 0, 0.0

    def training_step(self, batch: Any, _index: int) -> torch.Tensor:
        """Return the loss of a batch."""
        x, y = batch
        loss: torch.Tensor = self._loss_of(self.model(x), y)
        return loss

    def on_train_batch_end(self, _outputs: Any, batch: Any, _index: int) -> None:
        """Count."""
        self.step += 1
        if self.step == self._work["warmup_steps"]:
            self.started = time.perf_counter()
        elif self.step > self._work["warmup_steps"]:
            self.counted += len(batch[1]) * self._work["num_workers"]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the optimizer."""
        return torch.optim.AdamW(self.parameters(), lr=1e-3)


def main() -> None:
    """Train, and print the rows per second past the warm-up."""
    folder, work = Path(sys.argv[1]), json.loads(sys.argv[2])
    torch.set_num_threads(1)
    torch.manual_seed(0)
    module = Module(work)
    trainer = lightning.Trainer(
        accelerator="cpu",
        strategy="ddp",
        devices=work["num_workers"],
        max_epochs=work["epochs"],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, open_loader(open_rows(folder), work))
    seconds = time.perf_counter() - module.started
    if trainer.is_global_zero:
        print(json.dumps({"rows_per_s": module.counted / seconds}), flush=True)
    trainer.strategy.barrier()
    sys.stdout.flush()
    # gloo's threads may abort a process that ends in the usual way.
    os._exit(0)


if __name__ == "__main__":
    main()
