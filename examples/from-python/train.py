"""An ordinary PyTorch model, a loss and a DataFrame, trained from a script."""

import sys

import torch
from sklearn.datasets import load_wine
from torch import nn
from torch.nn import functional

import distrain


class Net(nn.Module):
    """Two hidden layers."""

    def __init__(self, num_features: int, num_classes: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(num_features)
        self.hidden = nn.Linear(num_features, 64)
        self.dropout = nn.Dropout(0.2)
        self.head = nn.Linear(64, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits."""
        x = functional.relu(self.hidden(self.norm(x)))
        logits: torch.Tensor = self.head(self.dropout(x))
        return logits


def smoothed(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the cross entropy of each row, a tenth of the label spread over all classes."""
    return functional.cross_entropy(logits, labels, reduction="none", label_smoothing=0.1)


torch.manual_seed(7)
model = Net(num_features=13, num_classes=3)

result = distrain.train(
    overrides=sys.argv[1:],
    name="wine-from-python",
    data=load_wine(as_frame=True).frame,
    target="target",
    model=model,
    loss=smoothed,
    train={"epochs": 60, "global_batch_size": 32, "optimizer": {"lr": 5e-3}},
    evaluate={"goals": {"test/accuracy": ">= 0.9"}},
    show=True,
)
if result.error is not None:
    raise result.error
print(f"{result.status}: test accuracy {result.metrics['test/accuracy']:.3f}")
print(f"weights {result.weights_sha256}")
