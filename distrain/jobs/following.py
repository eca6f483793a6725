"""A job seen from outside: its log as it comes, its end and what came of it, its stop."""

import asyncio
import json
import time
from collections.abc import Callable
from typing import Final, final

from distrain.errors import EXIT_FAILED, EXIT_INTERRUPTED, ClusterError, ConfigError
from distrain.jobs.dashboard import Dashboard
from distrain.jobs.ending import Ending, for_a_person, read_ending
from distrain.jobs.job import Job, find_job, known_job, path_of

POLL_S: Final = 0.5
PATIENCE_S: Final = 60.0
"""How long a cluster may be silent before whoever waits is told."""
LONGEST_STOP_S: Final = 900.0
_HEARTBEAT_S: Final = 20.0
_NEVER_BEGAN: Final = (126, 127)
"""What a shell ends with where it cannot run a command: the same would come of it again."""


def log_of(dashboard: Dashboard, job_id: str) -> str:
    """Return all that a job has printed so far; empty where it cannot be read any more.

    Raises:
        ClusterError: the cluster does not answer.
    """
    status, content = dashboard.ask("GET", f"{path_of(job_id)}/logs")
    return str(json.loads(content)["logs"]) if status == 200 else ""


def ending_of(dashboard: Dashboard, job: Job) -> Ending | None:
    """Return what the command of a job came to; None: it has not ended, or could not tell."""
    return read_ending(log_of(dashboard, job.job_id)) if job.has_ended else None


def exit_code_of(job: Job, ending: Ending | None) -> int:
    """Return the exit code of the command that a job ran; 0 where it succeeded in silence.

    Args:
        job: the job, which has ended.
        ending: what `ending_of` gives.
    """
    if ending is not None:
        return ending.exit_code
    if job.status == "succeeded":  # its log is on a node that cannot be asked
        return 0
    if job.status == "stopped":
        return EXIT_INTERRUPTED
    told = (ConfigError.exit_code, ClusterError.exit_code, EXIT_INTERRUPTED)
    return job.exit_code if job.exit_code in told else EXIT_FAILED


def is_lost(job: Job, ending: Ending | None) -> bool:
    """Return whether a job that has ended could not come to its end, through no fault of its own.

    Args:
        job: the job.
        ending: what `ending_of` gives.
    """
    return job.status == "failed" and ending is None and job.exit_code not in _NEVER_BEGAN


def wait(dashboard: Dashboard, job: Job, show: Callable[[str], None]) -> Job | None:
    """Show a job's log as it comes, and return the job once it has ended.

    None: the cluster knows it no more, as a head that was started anew.

    Args:
        dashboard: of the cluster.
        job: the job.
        show: gets each new part of the log.

    Raises:
        ClusterError: the cluster is silent for longer than a minute.
    """
    shown = Shown(show)
    heard = time.monotonic()
    while True:
        try:
            asyncio.run(_tail(dashboard, job.job_id, shown))
            found = find_job(dashboard, job.job_id)
            heard = time.monotonic()
            if found is None:
                return None
            if found.has_ended:
                shown.all_of(log_of(dashboard, job.job_id))
                return found
        except ClusterError:
            if time.monotonic() - heard > PATIENCE_S:
                raise
        time.sleep(POLL_S)


def stop(dashboard: Dashboard, job: Job) -> Job:
    """Ask a job to end, which saves its state first, and return it once it has ended.

    Ray ends by force what takes longer than the job's `RAY_JOB_STOP_WAIT_TIME_S`. One whose driver
    waits for its place is ended only once it has got it.

    Args:
        dashboard: of the cluster.
        job: the job.

    Raises:
        ClusterError: the cluster does not answer, or has not ended the job in time.
    """
    wait_s = PATIENCE_S + (LONGEST_STOP_S if job.status == "running" else 0)
    deadline = time.monotonic() + wait_s
    status, content = dashboard.ask("POST", f"{path_of(job.job_id)}/stop")
    if status != 200:
        raise dashboard.in_trouble(status, content)
    while not job.has_ended:
        if time.monotonic() > deadline:
            raise ClusterError(
                f"the job is still {job.status}, {wait_s:.0f} s after it was asked to end",
                where=job.job_id,
                expected="a driver that Ray has placed",
                mend="Ray ends it once its driver has its place; see `distrain job status`",
            )
        time.sleep(POLL_S)
        job = known_job(dashboard, job.job_id)
    return job


@final
class Shown:
    """What of a log was shown; a connection that is made anew begins with the log's beginning.

    Args:
        show: gets whole lines.
    """

    def __init__(self, show: Callable[[str], None]) -> None:
        self._show = show
        self._num_shown = 0
        self._come = ""

    def begin(self) -> None:
        """Take what comes next for the log's beginning."""
        self._come = ""

    def add(self, text: str) -> None:
        """Show what comes of the log, as far as it is new."""
        self._come += text
        end = self._come.rfind("\n") + 1
        if end > self._num_shown:
            self._show(for_a_person(self._come[self._num_shown : end]))
            self._num_shown = end

    def all_of(self, log: str) -> None:
        """Show what is left of a log that has come to its end."""
        self.begin()
        self.add(log if log.endswith("\n") or not log else f"{log}\n")


async def _tail(dashboard: Dashboard, job_id: str, shown: Shown) -> None:
    """Show a log while it is written; returns at its end, or where the connection breaks."""
    import aiohttp  # comes with Ray's dashboard; half a second

    shown.begin()
    try:
        async with (
            aiohttp.ClientSession(headers=dashboard.headers) as session,
            session.ws_connect(
                f"{dashboard.url}{path_of(job_id)}/logs/tail",
                heartbeat=_HEARTBEAT_S,
                max_msg_size=0,
            ) as socket,
        ):
            async for message in socket:
                if message.type is not aiohttp.WSMsgType.TEXT:
                    return
                shown.add(message.data)
    except (aiohttp.ClientError, OSError):
        return  # whoever called asks what has become of the job
