"""Code as a notebook runs it: its source is known, and stands in no file."""

import linecache
import textwrap
from typing import Any

CELL = """
import math as m
import torch
import torch.nn.functional as F
from typing import Optional
from torch import nn, Tensor

WIDTH = 3
SIZES = {"small": [1, 2.5], "none": None}
DEVICE = torch.device("cpu")
x = torch.zeros(2)
table = object()

def double(value):
    return 2 * value

class Base(nn.Module):
    def more(self):
        return 1

@torch.no_grad()
def scaled(x, by=WIDTH):
    return F.relu(x) * double(by) + m.pi

class Net(Base):
    scale = WIDTH

    def __init__(self, size: str = "small", limit: Optional[int] = None) -> None:
        super().__init__()
        self.layer = nn.Linear(len(SIZES[size]), WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        table = self.layer(x.to(DEVICE))
        return scaled(table)
"""


def run_as_main(text: str, filename: str = "<cell 1>", **before: Any) -> dict[str, Any]:
    """Run text as a notebook runs a cell, and return what its names stand for."""
    text = textwrap.dedent(text)
    # As IPython keeps the source of its cells.
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    names: dict[str, Any] = {"__name__": "__main__", **before}
    exec(compile(text, filename, "exec"), names)
    return names
