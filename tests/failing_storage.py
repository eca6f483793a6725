"""Storage that fails for a while, as mounts do."""

import contextlib
import errno
import os
import resource
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest


@contextlib.contextmanager
def refusing_to_list(folder: Path, times: float = float("inf")) -> Iterator[None]:
    """Refuse a folder's listings, be it the first so many, for the length of a `with` block."""
    left = times

    def refusing(call: Callable[..., Any]) -> Callable[..., Any]:
        def listed(path: Any = ".") -> Any:
            nonlocal left
            is_ours = not isinstance(path, int) and Path(path) == folder
            if is_ours and left > 0:
                left -= 1
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
            return call(path)

        return listed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "listdir", refusing(os.listdir))
        patch.setattr(os, "scandir", refusing(os.scandir))
        yield


@contextlib.contextmanager
def room_for(num_bytes: int) -> Iterator[None]:
    """Let no file grow beyond a size, for the length of a `with` block."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
