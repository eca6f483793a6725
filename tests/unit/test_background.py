"""Work beside a thread, whose end is waited for or not."""

import threading

from distrain.background import in_background


def test_an_end_that_does_not_come_is_waited_for_only_as_long_as_is_said() -> None:
    may_end = threading.Event()
    with in_background(lambda _: may_end.wait(60) and None, "stuck", patience_s=0.01):
        pass
    (stuck,) = [thread for thread in threading.enumerate() if thread.name == "stuck"]
    may_end.set()
    stuck.join(10)
    assert not stuck.is_alive()
