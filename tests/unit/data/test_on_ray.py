"""Ray Data's own lines, and whose handlers they are kept from."""

import logging

import pytest
import ray.data  # noqa: F401 - sets up the logger that is looked at
from ray._private.log import PlainRayHandler

from distrain.data.on_ray import _quiet_console


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
