"""Ray Data's own lines, and whose handlers they are kept from; what its tasks set first."""

import logging
import os
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
import ray.data  # noqa: F401 - sets up the logger that is looked at
from ray._private.log import PlainRayHandler

from distrain.data import on_ray, stream_tasks
from distrain.data.on_ray import _PerRun, _quiet_console, _UnitReader
from distrain.data.runs import Run, pack_run
from distrain.data.stream_on_ray import _Hub
from distrain.data.stream_tasks import _BlockMaker

ACCOUNT = "AWS_SECRET_ACCESS_KEY"


class _Console(PlainRayHandler):
    """Keeps what Ray Data's console would show."""

    def __init__(self, shown: list[str]) -> None:
        super().__init__()
        self._shown = shown

    def emit(self, record: logging.LogRecord) -> None:
        self._shown.append(record.getMessage())


def test_blocks_that_overlap_leave_the_console_and_other_handlers_as_they_were(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    shown: list[str] = []
    logger = logging.getLogger("ray.data")
    monkeypatch.setattr(logger, "handlers", [_Console(shown), caplog.handler])
    one, other = _quiet_console(), _quiet_console()

    one.__enter__()
    other.__enter__()
    logger.warning("within both")
    one.__exit__(None, None, None)
    logger.warning("within one")
    other.__exit__(None, None, None)
    logger.warning("after both")

    assert shown == ["after both"]
    assert caplog.messages == ["within both", "within one", "after both"]


def account() -> str:
    return os.environ.get(ACCOUNT, "none")


def reading_a_unit(monkeypatch: pytest.MonkeyPatch, seen: list[str]) -> Callable[[], object]:
    def read(*_: object) -> Iterator[Run]:
        seen.append(account())
        return iter(())

    monkeypatch.setattr(on_ray, "read_runs", read)
    nothing: Any = None
    reader = _UnitReader(nothing, nothing)
    return lambda: list(reader())


def computing_on_a_run(_: pytest.MonkeyPatch, seen: list[str]) -> Callable[[], object]:
    def compute(_: Run) -> int:
        seen.append(account())
        return 1

    runs, task = pack_run(Run(0, 0, pa.table({"x": [1]}))), _PerRun(compute)
    return lambda: list(task.on_packed(runs))


def making_a_block(monkeypatch: pytest.MonkeyPatch, seen: list[str]) -> Callable[[], object]:
    def opened(*_: object) -> Any:
        seen.append(account())
        return SimpleNamespace(make=lambda _: iter(()))

    monkeypatch.setattr(stream_tasks, "opened", opened)
    nothing: Any = None
    task = _BlockMaker("", "hub", nothing)
    return lambda: list(task())


def being_a_hub(_: pytest.MonkeyPatch, seen: list[str]) -> Callable[[], object]:
    def begin() -> None:
        _Hub("hub", "", 0, 1, (), {ACCOUNT: "the driver's"})
        seen.append(account())

    return begin


@pytest.mark.parametrize("made", [reading_a_unit, computing_on_a_run, making_a_block, being_a_hub])
def test_the_driver_s_account_is_there_before_anything_is_opened(
    made: Callable[[pytest.MonkeyPatch, list[str]], Callable[[], object]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[str] = []
    monkeypatch.setenv(ACCOUNT, "the driver's")
    work = made(monkeypatch, seen)
    monkeypatch.delenv(ACCOUNT)

    work()

    assert seen == ["the driver's"]
