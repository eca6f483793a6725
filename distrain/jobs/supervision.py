"""A watcher outside of the cluster: a job whose head or driver died is submitted again.

    wait for the job's end
    it told what came of it, or was stopped: done, whatever it was
    it is gone without a word, or the cluster is new and knows it no more: again, after a pause

The job that comes then goes on with the run that the first has begun (`begun.py`). A fault of the
user's, a failed training and an unmet goal are told by the job itself, so they are never repeated.
"""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, final

from distrain.background import in_background
from distrain.errors import ClusterError, DistrainError
from distrain.jobs.dashboard import Dashboard
from distrain.jobs.ending import Ending
from distrain.jobs.following import ending_of, is_lost, wait
from distrain.jobs.job import Job, find_job
from distrain.jobs.request import Request, begin

MOST: Final = 10
PAUSE_S: Final = 5.0
MOST_PAUSE_S: Final = 300.0
HEAD_PATIENCE_S: Final = 3600.0
"""How long a cluster may be away."""
KEEP_S: Final = 120.0
DRIVER_DIES_S: Final = 70.0
"""A driver off the head outlives the head by a minute, and holds its run until then (Ray 2.60)."""


@final
@dataclass(frozen=True)
class Watch:
    """What is watched, and how it is told.

    Attributes:
        connect: gives the cluster's dashboard, or raises ClusterError.
        request: what Ray is asked for again.
        show: gets each new part of the log.
        tell: gets what a person should know.
        most: how often it is submitted again, at most.
        pause_s: seconds before the first time; each pause is twice as long as the one before.
    """

    connect: Callable[[], Dashboard]
    request: Request
    show: Callable[[str], None]
    tell: Callable[[str], None]
    most: int = MOST
    pause_s: float = PAUSE_S


def supervise(watch: Watch, job: Job) -> tuple[Job, Ending | None]:
    """Wait until a job's command has ended, and submit it again where it could not end.

    Args:
        watch: what is watched.
        job: the job of the command.

    Returns:
        The job that came to the end, and what its command came to.

    Raises:
        ClusterError: the cluster was away for an hour.
        ConfigError: a new head has forgotten the job, and its files are not known here.
    """
    with in_background(lambda ended: _keep_package(watch, ended), "package", patience_s=0):
        return _supervise(watch, job)


def _supervise(watch: Watch, job: Job) -> tuple[Job, Ending | None]:
    first, num_again = job.job_id, 0
    while True:
        ended, ending = _outcome(watch, job)
        if ended is not None and not is_lost(ended, ending):
            return ended, ending
        if num_again == watch.most:
            watch.tell(f"{first} was lost {num_again + 1} times; it is left alone")
            return ended or job, ending
        num_again += 1
        _pause(watch, num_again, is_new_head=ended is None)
        watch.tell(f"{first} was lost; submitting it again, {num_again} of {watch.most} times")
        job = _again(watch, first)


def _keep_package(watch: Watch, has_ended: threading.Event) -> None:
    """Have the cluster keep the job's files, which it forgets ten minutes after a job has ended."""
    while not has_ended.wait(KEEP_S):
        with suppress(DistrainError):  # told by whoever watches the job
            watch.request.send_package(watch.connect())


def _outcome(watch: Watch, job: Job) -> tuple[Job | None, Ending | None]:
    """Return a job that has ended, and its ending; no job: the cluster knows it no more."""
    dashboard = _patient(watch)
    while True:
        try:
            ended = wait(dashboard, job, watch.show)
            return ended, ending_of(dashboard, ended) if ended is not None else None
        except ClusterError as error:
            watch.tell(f"waiting for the cluster: {error}")
            dashboard = _patient(watch)


def _again(watch: Watch, first: str) -> Job:
    """Submit the command under an id that is free, or return an attempt that is under way."""
    deadline = time.monotonic() + HEAD_PATIENCE_S
    while True:
        dashboard = _patient(watch)
        try:
            return _submitted(dashboard, watch.request, first)
        except ClusterError:  # a head that is starting answers before it takes jobs
            if time.monotonic() > deadline:
                raise
        time.sleep(watch.pause_s)


def _submitted(dashboard: Dashboard, request: Request, first: str) -> Job:
    number = 0
    while True:
        job_id = first if number == 0 else f"{first}-retry-{number}"
        found = find_job(dashboard, job_id)
        if found is None:
            request.send_package(dashboard)
            return begin(dashboard, request, job_id)
        if not found.has_ended:
            return found
        number += 1


def _pause(watch: Watch, num_again: int, *, is_new_head: bool) -> None:
    pause_s = min(watch.pause_s * 2 ** (num_again - 1), MOST_PAUSE_S)
    is_off_head = any(name.startswith("entrypoint_") for name in watch.request.fields)
    time.sleep(max(pause_s, DRIVER_DIES_S) if is_new_head and is_off_head else pause_s)


def _patient(watch: Watch) -> Dashboard:
    """Return the dashboard, once it answers."""
    deadline = time.monotonic() + HEAD_PATIENCE_S
    pause_s = watch.pause_s
    while True:
        try:
            return watch.connect()
        except ClusterError:
            if time.monotonic() > deadline:
                raise
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, MOST_PAUSE_S / 10)
