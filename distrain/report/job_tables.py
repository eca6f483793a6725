"""The short tables of jobs on a cluster."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.markup import escape
from rich.table import Table

from distrain.report.tables import Facts, result_table

if TYPE_CHECKING:
    from distrain.jobs.job import Job


def job_table(
    job: "Job", links: Mapping[str, str], result: Mapping[str, Any] | None
) -> "Facts | Group":
    """Return how a job is, where it can be looked at, and what came of it.

    Args:
        job: the job.
        links: what they lead to, and the address or command.
        result: what its command printed under `--json`; None: nothing yet.
    """
    facts = Facts()
    facts.add("job", job.job_id)
    facts.add("status", job.status)
    for name, text in links.items():
        facts.add(name, text)
    error = (result or {}).get("error")
    if error:
        facts.add("error", str(error["message"]))
    elif job.status == "failed" and result is None:
        facts.add("error", _message_of(job))
    elif job.status == "pending" and job.message:
        facts.add("waits", job.message)
    shown = _result_of(result or {})
    return facts if shown is None else Group(facts, shown)


def _message_of(job: "Job") -> str:
    """Return what Ray says of a failure: its first line, and the last of the log behind it."""
    first, *log = job.message.strip().splitlines() or ["the driver was lost"]
    told = [line for line in log if line.strip()][-1:]
    return ": ".join([first.partition(", last available logs")[0], *told])


def jobs_table(jobs: "Sequence[Job]") -> Table | str:
    """Return jobs, one a line."""
    if not jobs:
        return "no jobs of distrain"
    table = Table("job", "status", "began", box=None, pad_edge=False)
    for job in jobs:
        table.add_row(escape(job.job_id), job.status, job.to_json()["began"])
    return table


def _result_of(result: Mapping[str, Any]) -> Facts | None:
    from distrain.results import TrainResult, TuneResult  # whoever waits has time for them

    if "num_trials" in result and "best" in result:
        return result_table(TuneResult.from_json(dict(result)))
    if "run_dir" in result and "step" in result:
        return result_table(TrainResult.from_json(dict(result)))
    return None
