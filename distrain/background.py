"""Work beside the calling thread, for the length of a `with` block."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def in_background(work: Callable[[threading.Event], None], name: str) -> Iterator[None]:
    """Run a function in a thread; its end is waited for when the block ends.

    Args:
        work: given what is set when the block ends; returns soon afterwards.
        name: the thread's.
    """
    has_ended = threading.Event()
    thread = threading.Thread(target=work, args=(has_ended,), name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        has_ended.set()
        thread.join()
