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


@contextlib.contextmanager
def remembering_what_was_not_there() -> Iterator[None]:
    """Look as NFS does, for the length of a `with` block.

    A name that was not there when it was looked for is not there until its folder is opened.
    """
    absent: set[Path] = set()
    stat, opened = os.stat, os.open

    def looking(path: Any, *arguments: Any, **named: Any) -> os.stat_result:
        is_known_absent = not isinstance(path, int) and Path(path) in absent
        if is_known_absent:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        try:
            return stat(path, *arguments, **named)
        except FileNotFoundError:
            absent.add(Path(path))
            raise

    def opening(path: Any, *arguments: Any, **named: Any) -> int:
        absent.difference_update([one for one in absent if one.parent == Path(path)])
        return opened(path, *arguments, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "stat", looking)
        patch.setattr(os, "open", opening)
        yield
