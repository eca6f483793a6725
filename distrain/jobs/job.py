"""A job as the cluster knows it, and those that distrain has submitted."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, final
from urllib.parse import quote

from distrain.errors import ConfigError
from distrain.jobs.dashboard import Dashboard

ACTIVE: Final = ("pending", "running")
MARK: Final = "distrain.job"
"""The key of a job's metadata that says which submission it belongs to."""


@final
@dataclass(frozen=True)
class Job:
    """A job that the cluster knows.

    Attributes:
        job_id: its submission id.
        status: pending, running, succeeded, failed or stopped.
        is_new: whether it was begun just now.
        message: what Ray says of it.
        exit_code: its process's, as Ray has it; None: it has none.
        began_ms: when it was submitted, in milliseconds since 1970.
    """

    job_id: str
    status: str
    is_new: bool = False
    message: str = ""
    exit_code: int | None = None
    began_ms: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the object that `distrain job list --json` has for it."""
        return {
            "job_id": self.job_id,
            "status": self.status,
            "began": datetime.fromtimestamp(self.began_ms / 1000, UTC).isoformat("T", "seconds"),
        }

    @property
    def has_ended(self) -> bool:
        """Return whether it neither waits nor runs."""
        return self.status not in ACTIVE


def job_of(details: Mapping[str, Any]) -> Job:
    """Return a job from Ray's description of it."""
    return Job(
        job_id=str(details["submission_id"] or details["job_id"]),
        status=str(details["status"]).lower(),
        message=str(details.get("message") or ""),
        exit_code=details.get("driver_exit_code"),
        began_ms=int(details.get("start_time") or 0),
    )


def path_of(job_id: str) -> str:
    """Return where the dashboard has a job, whatever the user has typed for its id."""
    return f"/api/jobs/{quote(job_id, safe='')}"


def details_of(dashboard: Dashboard, job_id: str) -> Mapping[str, Any] | None:
    """Return Ray's description of a job; None: the cluster knows none of that id."""
    details = dashboard.json(path_of(job_id))
    # Of no id, or of one of dots alone, it is the list of all jobs.
    return details if isinstance(details, dict) else None


def find_job(dashboard: Dashboard, job_id: str) -> Job | None:
    """Return the job of an id; None: the cluster knows none."""
    details = details_of(dashboard, job_id)
    return job_of(details) if details is not None else None


def list_jobs(dashboard: Dashboard) -> list[Job]:
    """Return the jobs that distrain has submitted, the newest first."""
    listed = dashboard.json("/api/jobs/") or []
    own = [job_of(one) for one in listed if MARK in (one.get("metadata") or {})]
    return sorted(own, key=lambda job: job.began_ms, reverse=True)


def known_job(dashboard: Dashboard, job_id: str) -> Job:
    """Return the job of an id.

    Raises:
        ConfigError: the cluster knows none.
    """
    job = find_job(dashboard, job_id)
    if job is None:
        raise ConfigError(
            f"the cluster knows no job {job_id!r}",
            where=dashboard.where,
            expected="the id that `distrain submit` has told",
            mend="See `distrain job list`; a head that was started anew has forgotten its jobs",
        )
    return job
