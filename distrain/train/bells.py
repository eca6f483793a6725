"""Sleeping until another process has written a word of shared memory: Linux's futex.

Source: futex(2). Python has no door to it, so it is called through ctypes.
"""

import ctypes
import errno
import platform
import sys
from typing import Any, Final, final

import numpy as np
import numpy.typing as npt

_FUTEX_SYSCALL: Final = 202  # on x86-64
_WAIT: Final = 0
_WAKE: Final = 1
_EVERYBODY: Final = 2**31 - 1


class _Timeout(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


@final
class Bells:
    """One bell for each of some words; whoever changes a word rings its bell.

    Args:
        words: in memory that several processes map, possibly strided.
    """

    def __init__(self, words: npt.NDArray[np.int32]) -> None:
        self._words = words
        first, stride = words.ctypes.data, words.strides[0]
        self._addresses = [ctypes.c_void_p(first + number * stride) for number in range(len(words))]
        self._syscall: Any = ctypes.CDLL(None, use_errno=True).syscall

    @staticmethod
    def are_offered() -> bool:
        """Return whether this machine has them.

        Only x86-64: other processors may show the writes before a ring in another order.
        """
        return sys.platform == "linux" and platform.machine() == "x86_64"

    def ring(self, number: int) -> None:
        """Wake whoever waits for a word to change."""
        self._syscall(_FUTEX_SYSCALL, self._addresses[number], _WAKE, _EVERYBODY, None, None, 0)

    def wait(self, number: int, seen: int, timeout_s: float) -> bool:
        """Sleep until a word is rung; return at once where it is no longer what was seen.

        Args:
            number: which word.
            seen: its value when it was last looked at.
            timeout_s: how long at most.

        Returns:
            Whether there was a ring or a change, rather than the timeout.
        """
        seconds = int(timeout_s)
        timeout = _Timeout(seconds, int((timeout_s - seconds) * 1e9))
        code = self._syscall(
            _FUTEX_SYSCALL,
            self._addresses[number],
            _WAIT,
            int(seen),
            ctypes.byref(timeout),
            None,
            0,
        )
        return bool(code == 0 or ctypes.get_errno() != errno.ETIMEDOUT)
