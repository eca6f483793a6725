"""Networks of other families than distrain's own, on rows of six numbers."""

import pytest
import torch
from torch import nn

STEPS, WIDTH = 3, 2

# oneDNN has an LSTM in fp16 on no CPU, and one in bf16 on those that compute in it (torch 2.13.0).
needs_bf16 = pytest.mark.skipif(
    not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="this CPU has no LSTM in bf16"
)


class Recurrent(nn.Module):
    """Reads a row as three time steps."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(WIDTH, 8, num_layers=2, dropout=0.2, batch_first=True)
        self.last = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        states, _ = self.lstm(x.view(len(x), STEPS, WIDTH))
        outputs: torch.Tensor = self.last(states[:, -1])
        return outputs


class Transformer(nn.Module):
    """Attends over a row as three tokens."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.embed = nn.Linear(WIDTH, width)
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(width, 2, 2 * width, dropout=0.1, batch_first=True)
            for _ in range(2)
        )
        self.last = nn.Linear(width, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = self.embed(x.view(len(x), STEPS, WIDTH))
        for block in self.blocks:
            tokens = block(tokens)
        outputs: torch.Tensor = self.last(tokens.mean(dim=1))
        return outputs
