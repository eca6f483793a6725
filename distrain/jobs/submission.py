"""A plan carried out: the package sent, the job begun, once however often it is submitted."""

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, final

from distrain.config.settings import Settings
from distrain.errors import ConfigError
from distrain.jobs.dashboard import Dashboard
from distrain.jobs.ending import ENTRYPOINT
from distrain.jobs.job import Job, find_job
from distrain.jobs.package import digest_of
from distrain.jobs.plan import Plan
from distrain.jobs.request import Request, begin, request_from
from distrain.locations import storage_of, store_at
from distrain.track.stores import server_of_new_run
from distrain.track.tracking_server import STORAGE

STOP_S: Final = 300
"""Seconds that a run has at least to save its state when its job is stopped; Ray's default is 3."""
_MEANT: Final = {
    **dict.fromkeys(("cpu", "cpus", "num_cpus"), "cpus"),
    **dict.fromkeys(("memory", "memory_gb", "mem"), "memory_gb"),
    **dict.fromkeys(("gpu", "gpus", "num_gpus"), ""),
}
"""What is meant by a name; nothing: what a driver has none of."""


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

    @classmethod
    def of(cls, asked: Sequence[str]) -> "DriverNeeds":
        """Return what words such as `cpus=1` ask for.

        Raises:
            ConfigError: one has another form, or the name of something else that Ray knows.
        """
        amounts: dict[str, float] = {}
        for text in asked:
            name, _, amount = text.partition("=")
            _check_name(name, text)
            amounts[name] = _amount_of(amount, text)
        num_cpus, memory_gb = amounts.pop("cpus", 0.0), amounts.pop("memory_gb", 0.0)
        return cls(num_cpus, int(memory_gb * 1e9), amounts)

    def to_request(self) -> dict[str, Any]:
        """Return the fields of Ray's request."""
        wanted = {
            "entrypoint_num_cpus": self.num_cpus,
            "entrypoint_memory": self.memory_bytes,
            "entrypoint_resources": dict(self.resources),
        }
        return {name: value for name, value in wanted.items() if value}


def _check_name(name: str, text: str) -> None:
    """Refuse a name that no node has a resource of: the driver would wait for it for ever."""
    meant = _MEANT.get(name.casefold())
    if meant is not None and meant != name:
        raise ConfigError(
            f"{text!r} is no resource of a driver's",
            where="--driver",
            expected="cpus, memory_gb, or a custom resource that a node has been started with",
            mend=f"Write {meant}={text.partition('=')[2] or 1}"
            if meant
            else "Leave it out: the driver itself uses no GPU, and its workers ask for theirs by "
            "train.resources_per_worker",
        )


def _amount_of(amount: str, text: str) -> float:
    try:
        number = float(amount)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise ConfigError(
            f"{text!r} is no amount",
            where="--driver",
            expected="NAME=AMOUNT with a number above 0, such as cpus=1",
            mend="Write the number alone, without a unit",
        )
    return number


def submit(dashboard: Dashboard, plan: Plan, needs: DriverNeeds) -> tuple[Job, Request]:
    """Begin a job, unless the same was submitted before; return it, or the one that is there.

    Args:
        dashboard: of the cluster.
        plan: what is sent.
        needs: what Ray keeps for the driver.

    Returns:
        The job, and what was asked for, or would be.

    Raises:
        ClusterError: the cluster does not answer, or cannot take it.
    """
    job_id, there = _id_for(dashboard, plan)
    request = _request(plan, needs, job_id)
    if there is not None:
        return there, request
    request.send_package(dashboard)
    return begin(dashboard, request, job_id), request


def _request(plan: Plan, needs: DriverNeeds, job_id: str) -> Request:
    drain_s = plan.settings.track.drain_s if plan.settings is not None else 0
    files = plan.packed(job_id)
    kept = {
        "entrypoint": f"{ENTRYPOINT} {shlex.join(plan.words)}",
        "package": f"_ray_pkg_{digest_of(files)[:40]}.zip",
        "stop_s": int(STOP_S + drain_s),
        "needs": needs.to_request(),
        "variables": sorted(plan.variables.sent),
    }
    return request_from(kept, plan.variables.sent, job_id, files)


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
        server = server_of_new_run(settings, is_offline=True)
        if server.origin != STORAGE:
            found["mlflow"] = server.shown
        elif store_at(settings) is None:  # else it is named by the nodes, or later
            found["mlflow"] = f"distrain ui --storage {shlex.quote(str(storage_of(settings)))}"
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
    if plan.unseen:
        told.append(
            f"the run cannot be looked at from here ({plan.unseen}), so no code of yours goes "
            "along; it goes on with what its nodes have"
        )
    if plan.variables.kept_back:
        names = ", ".join(plan.variables.kept_back)
        told.append(f"not sent, as Ray shows what a job gets: {names}; set them on its nodes")
    return told
