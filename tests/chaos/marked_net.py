"""A small network that writes down each pass that it is trained with, past all of our own records.

The configuration gives each trial a mark of its own. A line of `$MARKED_NET_LOG` is the mark, the
process, and the time in milliseconds since 1970; without the variable nothing is written. Passes
without a gradient only find out which buffers move (`train/buffers.py`), and train nothing.
"""

import os
import time

import torch
from torch import nn


class MarkedNet(nn.Module):
    """Dropout and batch norm: what is random or has a state of its own must be taken up exactly.

    Args:
        mark: the trial's.
        width: of its layer.
    """

    def __init__(self, mark: int = 0, width: int = 16) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Linear(64, width),
            nn.BatchNorm1d(width),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.Linear(width, 10),
        )
        self.mark = mark
        self.part_s = float(os.environ.get("MARKED_NET_PART_S", "0"))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training and torch.is_grad_enabled():
            self._write_down()
            time.sleep(self.part_s)
        outputs: torch.Tensor = self.layers(x)
        return outputs

    def _write_down(self) -> None:
        path = os.environ.get("MARKED_NET_LOG")
        if not path:
            return
        line = f"{self.mark} {os.getpid()} {time.time_ns() // 1_000_000}\n"
        log = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(log, line.encode())
        finally:
            os.close(log)
