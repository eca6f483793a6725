"""One driver at a time, whatever becomes of the others."""

import errno
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from distrain import lease
from distrain.claim_files import CLAIMS
from distrain.errors import CheckpointError, ConfigError
from tests.failing_storage import refusing_to_list

TAKES_AND_WAITS = """
import sys, time
from pathlib import Path
from distrain import lease
lease.take(Path(sys.argv[1])).start()
print("taken", flush=True)
time.sleep(60)
"""


@pytest.fixture(autouse=True)
def _short_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "RENEW_S", 0.05)
    monkeypatch.setattr(lease, "LAPSE_S", 0.4)
    monkeypatch.setattr(lease, "POLL_S", 0.01)


@pytest.fixture
def long_lapse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "LAPSE_S", 60.0)


def stored(run_dir: Path) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads((run_dir / "lease.json").read_text())
    return fields


def change(run_dir: Path, **fields: Any) -> None:
    (run_dir / "lease.json").write_text(json.dumps({**stored(run_dir), **fields}))


def killed_driver(run_dir: Path) -> subprocess.Popen[bytes]:
    """A driver that was killed, and whose process nobody has waited for."""
    words = [sys.executable, "-c", TAKES_AND_WAITS, str(run_dir)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"taken\n"
    process.send_signal(signal.SIGKILL)
    process.stdout.close()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    return process


def test_a_held_run_says_who_drives_it(tmp_path: Path) -> None:
    with lease.holding(tmp_path, print) as held:
        assert held.fence == 1
        fields = stored(tmp_path)

    assert fields["pid"] == os.getpid()
    assert fields["fence"] == 1
    assert abs(fields["renewed_at"] - time.time()) < 10


def test_a_lease_is_renewed_and_a_second_driver_refused(tmp_path: Path) -> None:
    with lease.holding(tmp_path, print) as held:
        time.sleep(2 * lease.LAPSE_S)

        with pytest.raises(
            ConfigError, match=f"driven by process {os.getpid()} on .*, which lives"
        ):
            lease.take(tmp_path)
        lease.check(tmp_path, held.fence)


@pytest.mark.usefixtures("long_lapse")
def test_a_released_lease_is_taken_at_once_with_the_next_number(tmp_path: Path) -> None:
    for fence in (1, 2, 3):
        with lease.holding(tmp_path, pytest.fail) as held:
            assert held.fence == fence


@pytest.mark.usefixtures("long_lapse")
def test_the_lease_of_a_killed_driver_on_this_host_is_taken_at_once(tmp_path: Path) -> None:
    zombie = killed_driver(tmp_path)

    assert lease.take(tmp_path, pytest.fail).fence == 2

    zombie.wait()


@pytest.mark.usefixtures("long_lapse")
def test_a_process_that_has_the_number_of_a_dead_driver_is_another(tmp_path: Path) -> None:
    lease.take(tmp_path)
    change(tmp_path, start_time=stored(tmp_path)["start_time"] - 1)

    assert lease.take(tmp_path, pytest.fail).fence == 2


@pytest.mark.parametrize(
    "elsewhere", [{"host": "elsewhere"}, {"boot_id": None, "start_time": None}]
)
def test_a_driver_that_cannot_be_seen_is_waited_for(
    tmp_path: Path, elsewhere: dict[str, Any]
) -> None:
    lease.take(tmp_path)
    change(tmp_path, **elsewhere, renewed_at=time.time())
    told: list[str] = []
    started = time.monotonic()

    assert lease.take(tmp_path, told.append).fence == 2

    assert time.monotonic() - started >= 0.9 * lease.LAPSE_S
    assert len(told) == 1
    assert "lease of process" in told[0]


def test_another_host_s_clock_is_not_believed(tmp_path: Path) -> None:
    lease.take(tmp_path)
    change(tmp_path, host="elsewhere", renewed_at=time.time() - 3600)
    started = time.monotonic()

    lease.take(tmp_path)

    assert time.monotonic() - started >= 0.9 * lease.LAPSE_S


def test_a_driver_that_lives_keeps_its_run_though_the_clock_was_put_forward(
    tmp_path: Path,
) -> None:
    with lease.holding(tmp_path, print) as held:
        change(tmp_path, renewed_at=time.time() - 3600)
        assert not lease.is_free(tmp_path)
        change(tmp_path, renewed_at=time.time() - 3600)  # it may have been renewed in between
        with pytest.raises(ConfigError, match="which lives"):
            lease.take(tmp_path)
        lease.check(tmp_path, held.fence)


@pytest.mark.parametrize(
    ("fields", "is_free"),
    [
        ({"renewed_at": None}, True),
        ({"boot_id": "before"}, True),  # the machine was started anew
        ({"boot_id": "before", "renewed_at": 1e12}, False),
        ({"host": "elsewhere"}, False),
        ({}, False),
    ],
)
def test_whether_a_run_looks_free_is_told_at_once(
    tmp_path: Path, fields: dict[str, Any], is_free: bool
) -> None:
    lease.take(tmp_path)
    change(tmp_path, **{"renewed_at": time.time() - 3600, **fields})
    assert lease.is_free(tmp_path) is is_free


def let_storage_stand_still(
    monkeypatch: pytest.MonkeyPatch, afterwards: Callable[[], None] = lambda: None
) -> None:
    """Let the second look at a lease take longer than a lease lasts; do something at the fifth."""
    look, looks = lease._look, itertools.count(1)
    befalls = {2: lambda: time.sleep(1.5 * lease.LAPSE_S), 5: afterwards}

    def slow(run_dir: Path) -> Any:
        befalls.get(next(looks), lambda: None)()
        return look(run_dir)

    monkeypatch.setattr(lease, "_look", slow)


def test_a_driver_that_could_not_renew_while_storage_stood_still_keeps_its_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease.take(tmp_path)
    change(tmp_path, host="elsewhere")
    let_storage_stand_still(monkeypatch, lambda: change(tmp_path, renewed_at=1.0))

    with pytest.raises(ConfigError, match="on elsewhere, which lives"):
        lease.take(tmp_path)


def test_a_driver_that_is_silent_after_storage_stood_still_loses_its_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease.take(tmp_path)
    change(tmp_path, host="elsewhere")
    let_storage_stand_still(monkeypatch)
    started = time.monotonic()

    assert lease.take(tmp_path).fence == 2

    assert time.monotonic() - started >= 2.4 * lease.LAPSE_S


def test_who_dies_while_taking_it_is_waited_for(tmp_path: Path) -> None:
    lease.take(tmp_path)
    change(tmp_path, renewed_at=None)
    (tmp_path / ".lease" / "2").touch()
    started = time.monotonic()

    assert lease.take(tmp_path).fence == 3

    assert time.monotonic() - started >= 0.9 * lease.LAPSE_S


def test_of_many_that_want_a_run_one_gets_it(tmp_path: Path) -> None:
    barrier = threading.Barrier(8)
    taken: list[lease.Lease] = []
    refused: list[ConfigError] = []

    def want() -> None:
        barrier.wait()
        try:
            held = lease.take(tmp_path)
        except ConfigError as error:
            refused.append(error)
        else:
            held.start()
            taken.append(held)

    threads = [threading.Thread(target=want) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(taken) == 1
    assert len(refused) == 7
    taken[0].close()


def test_a_driver_that_thaws_leaves_the_run_to_who_took_it_over(tmp_path: Path) -> None:
    frozen = lease.take(tmp_path)
    change(tmp_path, renewed_at=time.time() - 1)  # it was not renewed
    with lease.holding(tmp_path, print) as held:
        frozen.start()
        time.sleep(4 * lease.RENEW_S)

        with pytest.raises(CheckpointError, match="taken over by process"):
            lease.check(tmp_path, frozen.fence)
        frozen.close()
        lease.check(tmp_path, held.fence)
        assert stored(tmp_path)["fence"] == held.fence == 2
        assert stored(tmp_path)["renewed_at"] is not None


def test_a_takeover_shows_in_the_lease_alone_too(tmp_path: Path) -> None:
    held = lease.take(tmp_path)
    change(tmp_path, fence=7)

    with pytest.raises(CheckpointError, match="the newest is 7"):
        lease.check(tmp_path, held.fence)
    assert lease.newest_fence(tmp_path) == 7


def test_a_disk_that_is_away_for_a_while_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with lease.holding(tmp_path, print):
        with monkeypatch.context() as away:
            away.setattr(lease, "newest_fence", lambda _: (_ for _ in ()).throw(OSError("full")))
            time.sleep(4 * lease.RENEW_S)
        before = stored(tmp_path)["renewed_at"]
        time.sleep(4 * lease.RENEW_S)

        assert stored(tmp_path)["renewed_at"] > before
    assert [record.message for record in caplog.records] == [
        f"the lease of {tmp_path} is not renewed: full"
    ]


def test_workers_of_an_earlier_attempt_are_fenced_out(tmp_path: Path) -> None:
    fence = lease.take(tmp_path).fence
    lease.begin_attempt(tmp_path, fence, 1)
    lease.check(tmp_path, fence, 1)

    lease.begin_attempt(tmp_path, fence, 2)

    with pytest.raises(CheckpointError, match="another attempt at the run has begun"):
        lease.check(tmp_path, fence, 1)
    lease.check(tmp_path, fence, 2)
    lease.check(tmp_path, fence)  # the driver is the same


def test_no_attempt_begins_while_it_cannot_be_seen_which_others_may_commit(tmp_path: Path) -> None:
    fence = lease.take(tmp_path).fence
    lease.begin_attempt(tmp_path, fence, 1)

    with refusing_to_list(tmp_path / CLAIMS), pytest.raises(PermissionError):
        lease.begin_attempt(tmp_path, fence, 2)

    lease.begin_attempt(tmp_path, fence, 2)
    assert not lease.is_held(tmp_path, fence, 1)


def test_attempts_of_a_driver_that_was_taken_over_are_fenced_out(tmp_path: Path) -> None:
    fence = lease.take(tmp_path).fence
    lease.begin_attempt(tmp_path, fence, 1)
    change(tmp_path, renewed_at=None)
    next_fence = lease.take(tmp_path).fence
    lease.begin_attempt(tmp_path, next_fence, 1)

    assert not lease.is_held(tmp_path, fence, 1)
    assert lease.is_held(tmp_path, next_fence, 1)
    assert lease.newest_fence(tmp_path) == next_fence


def test_a_trial_s_workers_of_an_earlier_driver_are_fenced_out_though_a_listing_is_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease.grant(tmp_path, 1, 1)
    lease.grant(tmp_path, 2, 1)

    monkeypatch.setattr(lease, "newest_fence", lambda _: 1)  # as NFS may have it for a minute
    assert not lease.is_held(tmp_path, 1, 1)


def test_a_driver_that_thaws_takes_no_attempt_from_the_next_one(tmp_path: Path) -> None:
    lease.grant(tmp_path, 1, 1)
    lease.grant(tmp_path, 2, 1)

    lease.begin_attempt(tmp_path, 1, 2)

    assert lease.is_held(tmp_path, 2, 1)


def test_an_attempt_begins_beside_files_that_are_none_of_ours(tmp_path: Path) -> None:
    lease.grant(tmp_path, 1, 1)
    kept = tmp_path / CLAIMS / ".nfs00000000000a1b2c"  # removed while it was open
    kept.touch()

    lease.grant(tmp_path, 2, 1)

    assert kept.exists()


@pytest.mark.parametrize("name", ["write_bytes", "replace"])
def test_a_full_disk_takes_no_run_from_its_driver(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    held = lease.take(tmp_path)
    change(tmp_path, renewed_at=time.time() - 1)  # a full disk takes no renewal either

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as full:
        full.setattr(Path, name, fail)
        with pytest.raises(ConfigError, match=r"cannot be written .*No space left") as told:
            lease.take(tmp_path)
    lease.check(tmp_path, held.fence)
    assert told.value.mend
    assert lease.take(tmp_path).fence == held.fence + 1


@pytest.mark.parametrize(
    ("fault", "is_dead"), [(PermissionError, False), (ProcessLookupError, True)]
)
def test_another_user_s_driver_lives_though_proc_does_not_show_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: type[OSError], is_dead: bool
) -> None:
    lease.take(tmp_path)
    change(tmp_path, pid=1 << 30)  # no process has this number

    def kill(pid: int, _signal: int) -> None:
        raise fault(pid)

    monkeypatch.setattr(os, "kill", kill)
    holder = lease.read_holder(tmp_path)
    assert holder is not None
    assert holder.is_dead is is_dead


def test_a_run_without_a_driver_is_not_checked(tmp_path: Path) -> None:
    lease.begin_attempt(tmp_path, None, 1)
    lease.check(tmp_path, None, 1)
