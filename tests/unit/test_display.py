"""What a display does where nobody is left to look at it, and while something is waited for."""

import io
import os
import re

import pytest
from rich.console import Console

from distrain.report.display import LiveDisplay, PlainDisplay, open_display, progress_text


def test_work_goes_on_where_the_reader_of_its_output_has_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stdout:
        monkeypatch.setattr("sys.stdout", stdout)
        with open_display(to_stderr=False) as display:
            display.stage("preparing the data")
            display.note("twice")
        print("the result", file=stdout, flush=True)


def test_a_pipe_is_told_of_a_wait_at_first_and_then_once_a_minute(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = io.StringIO()
    display = PlainDisplay(Console(file=told))
    for second in range(125):
        monkeypatch.setattr("distrain.report.display.time.monotonic", lambda now=second: now)
        display.waiting(f"waiting, {second} s")
    display.stage("training")
    display.waiting("waiting once more")

    assert told.getvalue().splitlines() == [
        *("waiting, 0 s", "waiting, 60 s", "waiting, 120 s"),
        *("training", "waiting once more"),
    ]


@pytest.mark.parametrize(("left_s", "told"), [(None, False), (0.3, False), (61.0, True)])
def test_no_time_is_told_that_nobody_knows_or_nobody_waits_for(
    left_s: float | None, told: bool
) -> None:
    record = {
        **{"epoch": 1, "total_epochs": 3, "step": 1, "total_steps": 9, "rows_per_s": 6286.0},
        **{"loss": 0.5, "validation": None, "left_s": left_s},
    }

    assert ("left" in progress_text(record)) == told


def test_a_terminal_has_one_line_for_a_wait() -> None:
    told = io.StringIO()
    display = LiveDisplay(Console(file=told, force_terminal=True, width=80))
    display.stage("connecting")
    for free in (0, 1):
        display.waiting(f"waiting: {free} of 2 CPUs are free")
    display.stage("training")
    display.close()

    lines = re.findall(r"✓\S* (.*?)  ", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", told.getvalue()))
    assert lines == ["connecting", "waiting: 1 of 2 CPUs are free", "training"]
