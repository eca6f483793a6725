"""A plan carried out: the package sent, the job begun, once however often it is submitted."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, final

from distrain.config.environment import expand_env
from distrain.config.settings import Settings
from distrain.errors import ConfigError
from distrain.jobs.dashboard import Dashboard
from distrain.jobs.package import archive, digest_of
from distrain.jobs.plan import Plan
from distrain.locations import storage_of
from distrain.track.tracking_server import STORAGE, resolve_tracking_uri

ACTIVE: Final = ("pending", "running")
MARK: Final = "distrain.job"
"""The key of a job's metadata that says which submission it belongs to."""
STOP_S: Final = 300
"""Seconds that a run has at least to save its state when its job is stopped; Ray's default is 3."""
_UPLOAD_TIMEOUT_S: Final = 300.0


@final
@dataclass(frozen=True)
class DriverNeeds:
    """What Ray keeps for the driver itself; any of it lets the driver run off the head node.

    Attributes:
        num_cpus: CPUs; 0: none.
        memory_bytes: memory; 0: none.
        resources: custom resources by name.
    """

    num_cpus: float = 0
    memory_bytes: int = 0
    resources: Mapping[str, float] = field(default_factory=dict)

    def to_request(self) -> dict[str, Any]:
        """Return the fields of Ray's request."""
        wanted = {
            "entrypoint_num_cpus": self.num_cpus,
            "entrypoint_memory": self.memory_bytes,
            "entrypoint_resources": dict(self.resources),
        }
        return {name: value for name, value in wanted.items() if value}


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


def find_job(dashboard: Dashboard, job_id: str) -> Job | None:
    """Return the job of an id; None: the cluster knows none."""
    details = dashboard.json(f"/api/jobs/{job_id}")
    return job_of(details) if details is not None else None


def submit(dashboard: Dashboard, plan: Plan, needs: DriverNeeds) -> Job:
    """Begin a job, unless the same was submitted before, and return it, or the one that is there.

    Args:
        dashboard: of the cluster.
        plan: what is sent.
        needs: what Ray keeps for the driver.

    Raises:
        ClusterError: the cluster does not answer, or cannot take it.
    """
    job_id, there = _id_for(dashboard, plan)
    if there is not None:
        return there
    # Of a run that goes on, each attempt is the same submission.
    files = plan.packed(job_id)
    package = f"_ray_pkg_{digest_of(files)[:40]}.zip"
    send_package(dashboard, package, files)
    return begin(dashboard, plan, needs, package=package, job_id=job_id)


def send_package(dashboard: Dashboard, package: str, files: Mapping[str, Any]) -> None:
    """Send an archive of files, unless the cluster has it.

    Args:
        dashboard: of the cluster.
        package: its name there, which says what is in it.
        files: as `archive` takes them.
    """
    path = f"/api/packages/gcs/{package}"
    status, content = dashboard.ask("GET", path)
    if status == 404:
        status, content = dashboard.ask("PUT", path, archive(files), timeout_s=_UPLOAD_TIMEOUT_S)
    if status != 200:
        raise dashboard.in_trouble(status, content)


def begin(
    dashboard: Dashboard, plan: Plan, needs: DriverNeeds, *, package: str, job_id: str
) -> Job:
    """Begin a job from a package that was sent, and return it.

    Args:
        dashboard: of the cluster.
        plan: what is sent.
        needs: what Ray keeps for the driver.
        package: its name on the cluster.
        job_id: its submission id, which no job has.
    """
    drain_s = plan.settings.track.drain_s if plan.settings is not None else 0
    request = {
        "entrypoint": f"exec python -m distrain.as_job {shlex.join(plan.words)}",
        "submission_id": job_id,
        "runtime_env": {
            "working_dir": f"gcs://{package}",
            "env_vars": {
                **plan.variables.sent,
                # Read by the process that holds the driver; it ends by SIGKILL what lasts longer.
                "RAY_JOB_STOP_WAIT_TIME_S": str(int(STOP_S + drain_s)),
            },
        },
        "metadata": {MARK: job_id, "distrain.name": plan.name},
        **needs.to_request(),
    }
    status, content = dashboard.ask("POST", "/api/jobs/", request)
    if status != 200:
        there = find_job(dashboard, job_id)  # somebody has submitted the same at the same time
        if there is None:
            raise dashboard.in_trouble(status, content)
        return there
    return Job(job_id, "pending", is_new=True)


def _id_for(dashboard: Dashboard, plan: Plan) -> tuple[str, Job | None]:
    """Return the id of a new job, or that of the one that is there with the job itself."""
    first = plan.job_id
    last: Job | None = None
    number = 1
    while True:
        job_id = first if number == 1 else f"{first}-{number}"
        found = find_job(dashboard, job_id)
        if found is None:
            return (job_id, None) if last is None or plan.is_repeatable else (last.job_id, last)
        if not found.has_ended:
            return job_id, found
        last, number = found, number + 1


def links(dashboard: Dashboard, job_id: str, settings: Settings | None) -> dict[str, str]:
    """Return where a job can be looked at, by what it is: its page, and that of its run.

    Args:
        dashboard: of the cluster.
        job_id: the job's.
        settings: what it does; None: not known.
    """
    found = {"dashboard": f"{dashboard.url}/#/jobs/{job_id}"}
    if settings is not None:
        uri, storage = settings.track.uri, storage_of(settings)
        server = resolve_tracking_uri(expand_env(uri) if uri else None, storage)
        is_own = server.origin == STORAGE
        found["mlflow"] = (
            f"distrain ui --storage {shlex.quote(str(storage))}" if is_own else server.shown
        )
    return found


def notes(plan: Plan, job: Job) -> list[str]:
    """Return what a person should know of a submission.

    Args:
        plan: what was asked for.
        job: what came of it.
    """
    told = []
    if not job.is_new:
        more = "" if not job.has_ended else "; --again runs it once more"
        told.append(f"the same was submitted before: {job.job_id} is {job.status}{more}")
    if plan.variables.kept_back:
        names = ", ".join(plan.variables.kept_back)
        told.append(f"not sent, as Ray shows what a job gets: {names}; set them on its nodes")
    return told


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
