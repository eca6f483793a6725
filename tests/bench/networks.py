"""Networks that distrain has no family for, as a user would write them."""

import torch
from torch import nn


class TokenClassifier(nn.Module):
    """A transformer encoder over tokens, averaged to one row of scores."""

    def __init__(
        self,
        num_tokens: int = 256,
        width: int = 512,
        num_layers: int = 3,
        num_heads: int = 8,
        num_classes: int = 10,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(num_tokens, width)
        layer = nn.TransformerEncoderLayer(
            width, num_heads, 4 * width, dropout=0.0, batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, num_layers, enable_nested_tensor=False)
        self.head = nn.Linear(width, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return scores `(rows, classes)` of tokens `(rows, length)`, whole numbers as float32."""
        scores: torch.Tensor = self.head(self.layers(self.embedding(x.long())).mean(dim=1))
        return scores
