"""An ordinary torch Dataset, split by random_split, and a training step, from a script."""

import random
import sys

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional
from torch.utils.data import Dataset, random_split

import distrain


class Shift:
    """Moves an image by up to so many pixels."""

    def __init__(self, most):
        self.most = most

    def __call__(self, image):
        """Return the image, moved."""
        return np.roll(image, random.randint(-self.most, self.most), axis=1)


class Digits(Dataset):
    """Handwritten digits, 8 x 8 pixels."""

    def __init__(self, images, labels, transform=None):
        self.images = images
        self.labels = labels
        self.transform = transform

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        image = self.images[index]
        if self.transform is not None:
            image = self.transform(image)
        return torch.tensor(image, dtype=torch.float32).unsqueeze(0) / 16, int(self.labels[index])


class Net(nn.Module):
    """One convolution."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 32, 3, padding=1)
        self.head = nn.Linear(32 * 16, 10)

    def forward(self, x):
        """Return logits."""
        x = functional.max_pool2d(functional.relu(self.conv(x)), 2)
        return self.head(x.flatten(1))


def step(model, batch):
    """Return the sum of the losses of a batch, its rows, and how many are told rightly."""
    images, labels = batch
    logits = model(images)
    right = (logits.argmax(dim=1) == labels).sum()
    loss = functional.cross_entropy(logits, labels, reduction="sum", label_smoothing=0.1)
    return loss, len(labels), {"right": (right, len(labels))}


images, labels = load_digits(return_X_y=True)
images = images.reshape(-1, 8, 8)
train = Digits(images[:1500], labels[:1500], transform=Shift(1))
held_out = Digits(images[1500:], labels[1500:])
validation, test = random_split(held_out, [97, 200], generator=torch.Generator().manual_seed(0))

result = distrain.train(
    overrides=sys.argv[1:],
    name="digits-from-python",
    data=train,
    validation_data=validation,
    test_data=test,
    model=Net,
    step=step,
    train={"epochs": 20, "global_batch_size": 64, "optimizer": {"lr": 3e-3}},
    evaluate={"goals": {"test/right": ">= 0.9"}},
    show=True,
)
if result.error is not None:
    raise result.error
print(f"{result.status}: of the test digits {result.metrics['test/right']:.3f} are told rightly")
print(f"weights {result.weights_sha256}")
