"""A watcher submits again what was lost without a word, and nothing else."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from distrain.jobs.dashboard import connect
from distrain.jobs.ending import Ending, ending_line
from distrain.jobs.following import exit_code_of
from distrain.jobs.job import Job
from distrain.jobs.request import Request, begin
from distrain.jobs.supervision import Watch, supervise
from tests.fake_dashboard import FakeDashboard

JOB = "distrain-a-1"
ENDED = ending_line(Ending(0, {"status": "finished"}))


@pytest.fixture
def cluster() -> Iterator[FakeDashboard]:
    with FakeDashboard("host") as fake:
        yield fake


def watch_of(cluster: FakeDashboard, notes: list[str], most: int = 3) -> tuple[Watch, Job]:
    request = Request({"entrypoint": "true", "metadata": {}}, "p.zip", {"a": b"1"})
    dashboard = connect(cluster.url)
    request.send_package(dashboard)
    watch = Watch(
        connect=lambda: connect(cluster.url),
        request=request,
        show=lambda _: None,
        tell=notes.append,
        most=most,
        pause_s=0.01,
    )
    return watch, begin(dashboard, request, JOB)


def meanwhile(act: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=act)
    thread.start()
    return thread


def wait_for(cluster: FakeDashboard, job_id: str) -> None:
    deadline = time.monotonic() + 20
    while cluster.jobs.get(job_id, {}).get("status") != "PENDING":
        assert time.monotonic() < deadline, cluster.jobs
        time.sleep(0.02)


@pytest.mark.parametrize("code", [0, 1, 2, 3, 4, 130])
def test_what_has_told_its_end_is_never_repeated(cluster: FakeDashboard, code: int) -> None:
    watch, job = watch_of(cluster, [])
    status = "SUCCEEDED" if code in (0, 3) else "FAILED"
    cluster.end(JOB, status, ending_line(Ending(code, None)) + "\n")

    _, ending = supervise(watch, job)

    assert ending == Ending(code, None)
    assert list(cluster.jobs) == [JOB]


@pytest.mark.parametrize("code", [126, 127])
def test_a_command_that_the_cluster_does_not_have_is_not_repeated(
    cluster: FakeDashboard, code: int
) -> None:
    watch, job = watch_of(cluster, [])
    cluster.end(JOB, "FAILED", "sh: 1: exec: python: not found\n")
    cluster.jobs[JOB]["driver_exit_code"] = code

    ended, ending = supervise(watch, job)

    assert (list(cluster.jobs), ending) == ([JOB], None)
    assert exit_code_of(ended, ending) == 1


def test_a_job_that_succeeded_is_done_though_its_log_cannot_be_read(cluster: FakeDashboard) -> None:
    watch, job = watch_of(cluster, [])
    cluster.end(JOB, "SUCCEEDED", "")

    ended, ending = supervise(watch, job)

    assert (list(cluster.jobs), ending) == ([JOB], None)
    assert exit_code_of(ended, ending) == 0


def test_what_was_stopped_is_not_repeated(cluster: FakeDashboard) -> None:
    watch, job = watch_of(cluster, [])
    cluster.end(JOB, "STOPPED", "epoch 1\n")

    ended, _ = supervise(watch, job)

    assert (ended.status, list(cluster.jobs)) == ("stopped", [JOB])


def test_a_lost_driver_is_followed_by_another(cluster: FakeDashboard) -> None:
    notes: list[str] = []
    watch, job = watch_of(cluster, notes)
    cluster.end(JOB, "FAILED", "epoch 1\n")

    def end_the_next() -> None:
        wait_for(cluster, f"{JOB}-retry-1")
        cluster.end(f"{JOB}-retry-1", "SUCCEEDED", ENDED)

    thread = meanwhile(end_the_next)
    ended, ending = supervise(watch, job)
    thread.join()

    assert ended.job_id == f"{JOB}-retry-1"
    assert ending == Ending(0, {"status": "finished"})
    assert notes == [f"{JOB} was lost; submitting it again, 1 of 3 times"]


def test_a_head_that_forgot_the_job_gets_it_again_with_its_files(cluster: FakeDashboard) -> None:
    watch, job = watch_of(cluster, [])
    cluster.forget()

    def end_it() -> None:
        wait_for(cluster, JOB)
        cluster.end(JOB, "SUCCEEDED", ENDED)

    thread = meanwhile(end_it)
    ended, _ = supervise(watch, job)
    thread.join()

    assert (ended.job_id, ended.status) == (JOB, "succeeded")
    assert "gcs/p.zip" in cluster.packages


def test_it_gives_up_after_so_many_losses(cluster: FakeDashboard) -> None:
    notes: list[str] = []
    watch, job = watch_of(cluster, notes, most=1)
    cluster.end(JOB, "FAILED")

    def lose_the_next() -> None:
        wait_for(cluster, f"{JOB}-retry-1")
        cluster.end(f"{JOB}-retry-1", "FAILED")

    thread = meanwhile(lose_the_next)
    ended, ending = supervise(watch, job)
    thread.join()

    assert (ended.status, ending) == ("failed", None)
    assert notes[-1] == f"{JOB} was lost 2 times; it is left alone"
