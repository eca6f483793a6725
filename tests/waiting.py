"""Waiting for what another thread does."""

import time
from collections.abc import Callable


def wait_until(is_so: Callable[[], bool], timeout_s: float = 30.0) -> None:
    """Return once something is so.

    Args:
        is_so: asked every hundredth of a second.
        timeout_s: after which the test fails.
    """
    deadline = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline, "it does not come to be so"
        time.sleep(0.01)
