"""What a display does where nobody is left to look at it."""

import os

import pytest

from distrain.report.display import open_display


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
