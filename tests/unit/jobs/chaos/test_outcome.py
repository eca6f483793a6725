"""What counts as survived, and how it is shown."""

from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from distrain.jobs.chaos.outcome import ChaosResult, Survived, Undisturbed
from distrain.jobs.chaos.table import chaos_table
from distrain.jobs.chaos.undertaking import Injected

KILLED = Injected("SIGKILL worker", 70, 9.4, 3, (2, 2))
WHOLE = Survived("worker", (KILLED,), is_same=True, is_recorded=True)
UNDISTURBED = Undisturbed("ab" * 32, 240, 1000, 0, 50, 12.0)


def result_of(*survived: Survived) -> ChaosResult:
    return ChaosResult("adult", ["train.steps=240"], True, 0, UNDISTURBED, survived)


@pytest.mark.parametrize(
    ("change", "has_passed"),
    [
        ({}, True),
        ({"is_same": None}, True),
        ({"is_same": False}, False),
        ({"rows_repeated": 1}, False),
        ({"rows_missing": 1}, False),
        ({"is_recorded": False}, False),
        ({"error": "it hangs"}, False),
    ],
)
def test_one_thing_that_differs_is_enough_to_fail(change: dict[str, Any], has_passed: bool) -> None:
    run = replace(WHOLE, **change)

    assert run.has_passed is has_passed
    assert result_of(WHOLE, run).exit_code == (0 if has_passed else 1)


def test_what_is_skipped_is_told_and_fails_nothing() -> None:
    result = result_of(WHOLE, Survived("disk", skipped="a small disk is mounted by root alone"))

    assert result.exit_code == 0
    assert "disk skipped: a small disk is mounted by root alone" in shown(result)
    assert "1 of 1 kinds of faults survived" in shown(result)


def test_the_table_has_a_line_for_each_fault_and_the_verdict_in_the_last() -> None:
    second = replace(KILLED, name="SIGKILL again", num_workers=(2, 1))

    lines = shown(result_of(replace(WHOLE, injected=(KILLED, second)))).splitlines()

    [first] = [line for line in lines if "SIGKILL worker" in line]
    [last] = [line for line in lines if "SIGKILL again" in line]
    assert first.split() == ["SIGKILL", "worker", "70", "9.4", "s", "3", "2"]
    assert last.split()[-9:] == ["3", "2", "to", "1", "same", "0", "0", "whole", "passed"]


def test_a_repeated_row_of_the_undisturbed_run_fails_all() -> None:
    result = replace(result_of(WHOLE), undisturbed=replace(UNDISTURBED, rows_repeated=1))

    assert result.exit_code == 1


def shown(result: ChaosResult) -> str:
    console = Console(width=200)
    with console.capture() as captured:
        console.print(chaos_table(result))
    return captured.get()
