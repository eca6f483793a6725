"""SimCLR (Chen et al. 2020) on scikit-learn's digits: two views of an image find each other."""

import random

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import Dataset


class Pairs(Dataset):
    """Two random views of each image; labels are not used."""

    def __init__(self):
        images, _ = load_digits(return_X_y=True)
        self.images = (images.reshape(-1, 8, 8) / 16.0).astype(np.float32)

    def __len__(self):
        return len(self.images)

    def view(self, image):
        image = np.roll(image, (random.randint(-1, 1), random.randint(-1, 1)), axis=(0, 1))
        image = image * np.random.uniform(0.7, 1.3) + np.random.normal(0.0, 0.1, image.shape)
        return torch.from_numpy(image.astype(np.float32)).unsqueeze(0)

    def __getitem__(self, index):
        return self.view(self.images[index]), self.view(self.images[index])


class Encoder(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.ReLU(),
            nn.Flatten(),
        )
        self.projection = nn.Linear(32 * 4 * 4, width)

    def forward(self, x):
        return F.normalize(self.projection(self.backbone(x)), dim=1)


def contrastive_step(model, batch):
    """Return the sum of the NT-Xent losses, how many there are, and how often a view is found."""
    views = torch.cat(batch)
    features = model(views)
    similarity = features @ features.T / 0.2
    similarity = similarity.masked_fill(torch.eye(len(views), dtype=torch.bool), float("-inf"))
    half = len(views) // 2
    partner = torch.cat([torch.arange(half, 2 * half), torch.arange(half)])
    loss_sum = F.cross_entropy(similarity, partner, reduction="sum")
    found = (similarity.argmax(dim=1) == partner).sum()
    return loss_sum, len(views), {"found": (found, len(views))}
