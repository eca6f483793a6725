"""Work beside the calling thread, for the length of a `with` block."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def in_background(
    work: Callable[[threading.Event], None], name: str, *, patience_s: float | None = None
) -> Iterator[None]:
    """Run a function in a thread; its end is waited for when the block ends.

    Args:
        work: given what is set when the block ends; returns soon afterwards.
        name: the thread's.
        patience_s: seconds to wait for it, where nothing depends on its end; None: until it comes.
    """
    has_ended = threading.Event()
    thread = threading.Thread(target=work, args=(has_ended,), name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        has_ended.set()
        thread.join(patience_s)
