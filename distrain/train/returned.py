"""What the user's own losses and steps return: numbers, and how they are told."""

from typing import Any

import numpy as np
import torch


def is_number(value: Any) -> bool:
    """Return whether something is a number, or a tensor of one."""
    if isinstance(value, torch.Tensor):
        return value.numel() == 1
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def scalar(number: Any, device: torch.device) -> torch.Tensor:
    """Return a number as a float32 tensor of shape `()` that no gradient flows through."""
    if isinstance(number, torch.Tensor):
        return number.detach().to(device, torch.float32).reshape(())
    return torch.tensor(float(number), device=device)


def told(value: Any) -> str:
    """Return in words what something is."""
    if isinstance(value, torch.Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    return f"a {type(value).__name__}"
