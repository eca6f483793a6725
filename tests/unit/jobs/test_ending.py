"""The line at the end of a job's log."""

import pytest

from distrain.jobs.ending import Ending, ending_line, read_ending, without_ending


@pytest.mark.parametrize("result", [None, {"status": "finished", "metrics": {"a": 0.5}}])
def test_what_is_written_is_read(result: dict[str, object] | None) -> None:
    ending = Ending(3, result)

    assert read_ending(f"epoch 1\n{ending_line(ending)}\n") == ending


def test_the_last_line_counts() -> None:
    log = "\n".join(ending_line(Ending(code, None)) for code in (1, 0))

    assert read_ending(log) == Ending(0, None)


@pytest.mark.parametrize("log", ["", "epoch 1\n", "distrain-ended {broken\n"])
def test_a_log_may_not_tell(log: str) -> None:
    assert read_ending(log) is None


def test_a_person_is_not_shown_it() -> None:
    assert without_ending(f"one\n{ending_line(Ending(0, None))}\ntwo\n") == "one\ntwo\n"
