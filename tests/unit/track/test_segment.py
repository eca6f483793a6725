import errno
import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from distrain.track import segment
from distrain.track.segment import SegmentFile


def give_disk(monkeypatch: pytest.MonkeyPatch, **calls: Any) -> None:
    monkeypatch.setattr(segment, "os", SimpleNamespace(**{**vars(os), **calls}))


def full(*_: object) -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_line_of_a_driver_is_there_when_add_returns(tmp_path: Path) -> None:
    file = SegmentFile(tmp_path / "s")
    file.add(b"one\n")
    assert (tmp_path / "s").read_bytes() == b"one\n"
    file.close()


def test_who_adds_a_line_of_a_loop_waits_for_no_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow_write(descriptor: int, data: bytes) -> int:
        time.sleep(0.3)
        return os.write(descriptor, data)

    give_disk(monkeypatch, write=slow_write)
    file = SegmentFile(tmp_path / "s", every_s=0.001)
    started = time.monotonic()
    while time.monotonic() - started < 0.1:  # so that a write is under way meanwhile
        file.add(b"line\n")
        time.sleep(0.01)
    assert time.monotonic() - started < 0.25
    num_lines = 5 * len((tmp_path / "s").read_bytes())
    file.close()
    assert len((tmp_path / "s").read_bytes()) > num_lines


def test_a_thread_writes_what_was_added_soon(tmp_path: Path) -> None:
    file = SegmentFile(tmp_path / "s", every_s=0.01)
    file.add(b"one\n")
    deadline = time.monotonic() + 5
    while not (tmp_path / "s").read_bytes():
        assert time.monotonic() < deadline
        time.sleep(0.005)
    file.close()


@pytest.mark.parametrize("every_s", [None, 0.001])
def test_what_the_disk_refused_is_written_in_order_when_it_takes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every_s: float | None
) -> None:
    file = SegmentFile(tmp_path / "s", every_s=every_s)
    file.add(b"one\n")
    file.sync()
    give_disk(monkeypatch, write=full)
    for line in (b"two\n", b"three\n"):
        file.add(line)
    with pytest.raises(OSError, match="No space left"):
        file.sync()
    give_disk(monkeypatch, write=lambda descriptor, data: os.write(descriptor, data[:3]))
    file.close()
    assert (tmp_path / "s").read_bytes() == b"one\ntwo\nthree\n"


def test_any_fault_of_the_disk_is_told_by_sync_and_not_by_add(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object) -> int:
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    file = SegmentFile(tmp_path / "s")
    give_disk(monkeypatch, write=gone)
    file.add(b"one\n")
    with pytest.raises(OSError, match="Stale"):
        file.sync()
    with pytest.raises(OSError, match="Stale"):
        file.close()


def test_a_closed_file_takes_no_line(tmp_path: Path) -> None:
    file = SegmentFile(tmp_path / "s", every_s=0.01)
    file.close()
    file.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        file.add(b"late\n")


def test_an_urgent_line_is_not_left_for_the_next_time(tmp_path: Path) -> None:
    file = SegmentFile(tmp_path / "s", every_s=60.0)
    file.add(b"one\n")
    file.add(b"last words\n", is_urgent=True)
    deadline = time.monotonic() + 5
    while (tmp_path / "s").read_bytes() != b"one\nlast words\n":
        assert time.monotonic() < deadline
        time.sleep(0.001)
    file.close()


@pytest.mark.parametrize("every_s", [None, 0.001])
def test_who_was_replaced_writes_nothing_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every_s: float | None
) -> None:
    monkeypatch.setattr(segment, "LOOK_S", 0.0)
    is_ours = True
    file = SegmentFile(tmp_path / "s", every_s=every_s, is_ours=lambda: is_ours)
    file.add(b"one\n")
    file.sync()
    is_ours = False
    file.add(b"of one that thaws\n")
    with pytest.raises(OSError, match="another has taken over"):
        file.sync()
    with pytest.raises(OSError, match="another has taken over"):
        file.close()
    assert (tmp_path / "s").read_bytes() == b"one\n"


def test_a_file_is_stuck_for_as_long_as_something_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segment, "STUCK_S", 0.0)
    file = SegmentFile(tmp_path / "s")
    file.add(b"one\n")
    assert not file.is_stuck
    with monkeypatch.context() as away:
        give_disk(away, write=full)
        file.add(b"two\n")
        assert file.is_stuck
    file.sync()
    assert not file.is_stuck
    file.close()


def test_what_the_disk_lost_is_written_anew_before_the_next_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    anew: list[tuple[bytes, int]] = []

    def pwrite(descriptor: int, data: bytes, at: int) -> int:
        anew.append((data, at))
        return os.pwrite(descriptor, data, at)

    file = SegmentFile(tmp_path / "s")
    file.add(b"one\n")
    file.sync()
    file.add(b"two\n")
    give_disk(monkeypatch, fsync=lost, pwrite=pwrite)
    with pytest.raises(OSError, match="Input/output"):
        file.sync()
    assert anew == []

    give_disk(monkeypatch, pwrite=pwrite)
    file.add(b"three\n")
    file.sync()
    file.sync()

    assert anew == [(b"two\nthree\n", 4)]
    file.close()
    assert (tmp_path / "s").read_bytes() == b"one\ntwo\nthree\n"
