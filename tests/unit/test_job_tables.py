"""What a terminal shows of a job."""

import pytest
from rich.console import Console

from distrain.jobs.job import Job
from distrain.report.job_tables import job_table

FAILED = (
    "Job entrypoint command failed with exit code 127, last available logs (truncated to 20,000 "
    "chars):\nRunning entrypoint\nsh: 1: exec: python: not found\n\n"
)


def shown(job: Job) -> str:
    console = Console(width=200)
    with console.capture() as captured:
        console.print(job_table(job, {}, None))
    return captured.get()


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (FAILED, "failed with exit code 127: sh: 1: exec: python: not found"),
        ("The actor died unexpectedly", "The actor died unexpectedly"),
        ("", "the driver was lost"),
    ],
)
def test_why_a_job_failed_that_said_nothing_itself_is_told(message: str, said: str) -> None:
    assert said in shown(Job("a", "failed", message=message))


def test_what_a_job_waits_for_is_told() -> None:
    assert "waiting for resources" in shown(Job("a", "pending", message="waiting for resources"))
