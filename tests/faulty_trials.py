"""A model that goes wrong in the way that a trial's configuration says."""

import ctypes
import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import nn


def _lock_twice() -> None:
    mutex, lib = ctypes.create_string_buffer(64), ctypes.PyDLL(None)
    for _ in range(2):
        lib.pthread_mutex_lock(mutex)


_RAISED: Mapping[str, BaseException] = {
    "exception": ValueError("no such thing as this"),
    "memory": MemoryError("cannot have 99 TiB"),
    "exits": SystemExit(3),
    "disk": OSError(28, "No space left on device"),
}
_DONE: Mapping[str, Callable[[], object]] = {
    "allocates": lambda: torch.empty(2**52, dtype=torch.uint8),
    "killed": lambda: os.kill(os.getpid(), 9),
    "sleeps": lambda: time.sleep(3600),
    "stands": _lock_twice,
}


class Faulty(nn.Module):
    """A small classifier of the digits; its fault comes at the third forward pass.

    Args:
        fault: `none`; `exception`, `memory`, `nan`, `killed`, `exits`, `disk`; `sleeps` for ever,
            or in native code, which lets no thread run, `stands` still for as long; `unsaved`,
            which has what cannot be saved; as it is made, `import` of a module that is not there,
            or a `size` that cannot be; `allocates` more than there is; `slow` is none, but takes
            its time. With `_one` behind it, a fault comes to the worker of rank 1 alone.
        width: of its layer.
    """

    def __init__(self, fault: str = "none", width: int = 16) -> None:
        super().__init__()
        if fault == "size":
            nn.Linear(64, -width)
        if fault == "import":
            import no_such_library  # type: ignore[import-not-found]  # noqa: F401
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10)
        )
        self.fault = fault
        self.num_passes = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.num_passes += self.training
        outputs: torch.Tensor = self.layers(x)
        if self.fault == "slow":
            time.sleep(0.01)
        elif self.training and self.num_passes >= 12 and self.fault != "none":
            return self._go_wrong(outputs)
        return outputs

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Return what is saved."""
        state = super().state_dict(*args, **kwargs)
        return {**state, "lock": threading.Lock()} if self.fault == "unsaved" else state

    def _go_wrong(self, outputs: torch.Tensor) -> torch.Tensor:
        fault = self.fault.removesuffix("_one")
        if fault != self.fault and not (dist.is_initialized() and dist.get_rank() == 1):
            return outputs
        if fault in _RAISED:
            raise _RAISED[fault]
        if fault in _DONE:
            _DONE[fault]()
        return outputs if self.fault == "unsaved" else outputs * float("nan")
