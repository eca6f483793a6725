"""Handwritten digits as a torch Dataset, with random augmentation, and a small network for them."""

import random

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import Dataset

NUM_TEST = 297


class ShiftedDigits(Dataset):
    """scikit-learn's digits: 8 x 8 pixels, of which 1,500 are for training and 297 for test."""

    classes = [str(digit) for digit in range(10)]

    def __init__(self, train=True, augment=False):
        images, labels = load_digits(return_X_y=True)
        part = slice(0, -NUM_TEST) if train else slice(-NUM_TEST, None)
        self.images = images.reshape(-1, 8, 8)[part]
        self.labels = labels[part]
        self.augment = augment

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        image = self.images[index]
        if self.augment:
            image = np.roll(image, random.randint(-1, 1), axis=0)
            image = np.roll(image, random.randint(-1, 1), axis=1)
            image = image + np.random.normal(0.0, 0.5, image.shape)
        pixels = torch.tensor(image, dtype=torch.float32) / 16.0
        return pixels.unsqueeze(0), int(self.labels[index])


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.pool = nn.MaxPool2d(2)
        self.drop = nn.Dropout(0.2)
        self.fc1 = nn.Linear(32 * 2 * 2, 64)
        self.fc2 = nn.Linear(64, 10)

    def forward(self, x):
        x = self.pool(torch.relu(self.conv1(x)))
        x = self.pool(torch.relu(self.conv2(x)))
        x = torch.flatten(x, 1)
        x = self.drop(torch.relu(self.fc1(x)))
        return self.fc2(x)
