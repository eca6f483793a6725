"""The line at the end of a job's log."""

import pytest

from distrain.jobs.ending import Ending, ending_line, for_a_person, read_ending


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


HEAD = (
    "2026-11-30 13:00:00,123\tINFO job_manager.py:581 -- Runtime env is setting up.\n"
    "Running entrypoint for job distrain-a-1: exec python -m distrain.as_job train ../a.yaml\n"
)


def test_a_person_is_shown_what_the_command_has_printed_and_nothing_else() -> None:
    log = f"{HEAD}one\n{ending_line(Ending(0, None))}\ntwo\n"

    assert for_a_person(log) == "one\ntwo\n"


@pytest.mark.parametrize(
    "line",
    [
        "Running entrypoint for job raysubmit_1: python train.py\n",  # of another's job
        "2026-11-30 13:00:01,123\tERROR job_manager.py:600 -- Failed to set up the runtime env\n",
        "Runtime env is setting up.\n",
        "no end of the line",
    ],
)
def test_what_others_have_printed_is_shown(line: str) -> None:
    assert for_a_person(line) == line
