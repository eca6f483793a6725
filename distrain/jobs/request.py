"""What Ray is asked for: made from a plan, or from what an earlier job says of itself."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, final

from distrain.errors import ConfigError
from distrain.jobs.dashboard import Dashboard
from distrain.jobs.job import MARK, Job, details_of, find_job, known_job
from distrain.jobs.package import Files, archive

REQUEST: Final = "distrain.request"
"""The key of a job's metadata that holds what Ray was asked for."""
_UPLOAD_TIMEOUT_S: Final = 300.0


@final
@dataclass(frozen=True)
class Request:
    """What Ray is asked for, so that it can be asked for again.

    Attributes:
        fields: of Ray's request, but for the submission id.
        package: name of the archive on the cluster, which says what is in it.
        files: what it holds; None: not known here.
    """

    fields: Mapping[str, Any]
    package: str
    files: Files | None

    def send_package(self, dashboard: Dashboard) -> None:
        """Send the archive, unless the cluster has it.

        Raises:
            ClusterError: the cluster does not answer, or does not take it.
            ConfigError: it has lost the archive, whose files are not known here.
        """
        path = f"/api/packages/gcs/{self.package}"
        status, content = dashboard.ask("GET", path)
        if status == 404:
            if self.files is None:
                raise ConfigError(
                    "the cluster has forgotten the job and its files, as a new head does",
                    where=dashboard.where,
                    expected="files that can be sent again",
                    mend="Submit the same once more: distrain submit --supervise ...; its run "
                    "goes on",
                )
            content = archive(self.files)
            status, content = dashboard.ask("PUT", path, content, timeout_s=_UPLOAD_TIMEOUT_S)
        if status != 200:
            raise dashboard.in_trouble(status, content)


def begin(dashboard: Dashboard, request: Request, job_id: str) -> Job:
    """Begin a job whose package was sent, and return it.

    Args:
        dashboard: of the cluster.
        request: what is asked for.
        job_id: its submission id.
    """
    fields = {**request.fields, "submission_id": job_id}
    status, content = dashboard.ask("POST", "/api/jobs/", fields)
    if status != 200:
        there = find_job(dashboard, job_id)  # somebody has submitted the same at the same time
        if there is None:
            raise dashboard.in_trouble(status, content)
        return there
    return Job(job_id, "pending", is_new=True)


def request_of(dashboard: Dashboard, job_id: str) -> Request:
    """Return what Ray was asked for a job, so that it can be asked for again.

    Ray shows no values of variables, so they are those of this environment.

    Raises:
        ConfigError: the cluster knows no such job, or distrain has not submitted it, or a variable
            is not set here.
    """
    known_job(dashboard, job_id)
    metadata = (details_of(dashboard, job_id) or {}).get("metadata") or {}
    if REQUEST not in metadata:
        raise ConfigError(
            "it was not submitted by distrain",
            where=job_id,
            expected="a job that `distrain submit` has begun",
            mend="See `distrain job list`",
        )
    kept = json.loads(metadata[REQUEST])
    missing = [name for name in kept["variables"] if name not in os.environ]
    if missing:
        raise ConfigError(
            f"the job had variables that are not set here: {', '.join(missing)}",
            where=job_id,
            expected="the environment that it was submitted from",
            mend="Set them as they were",
        )
    values = {name: os.environ[name] for name in kept["variables"]}
    return request_from(kept, values, metadata[MARK], None)


def request_from(
    kept: Mapping[str, Any], values: Mapping[str, str], mark: str, files: Files | None
) -> Request:
    """Return a request from what is kept of it in the job's metadata, and what is not."""
    fields = {
        "entrypoint": kept["entrypoint"],
        "runtime_env": {
            "working_dir": f"gcs://{kept['package']}",
            # Read by the process that holds the driver; it ends by SIGKILL what lasts longer.
            "env_vars": {**values, "RAY_JOB_STOP_WAIT_TIME_S": str(kept["stop_s"])},
        },
        **kept["needs"],
        "metadata": {MARK: mark, REQUEST: json.dumps(kept, sort_keys=True)},
    }
    return Request(fields, str(kept["package"]), files)
