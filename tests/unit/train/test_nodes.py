"""Whether a machine of the cluster answers; without Ray."""

import contextlib
import socket
from collections.abc import Iterator

import pytest

from distrain.train.nodes import Node


@pytest.fixture
def befallen(monkeypatch: pytest.MonkeyPatch) -> list[OSError]:
    """What befalls the next connections, one after the other; the others come about."""
    faults: list[OSError] = []

    @contextlib.contextmanager
    def connect(address: tuple[str, int], timeout_s: float) -> Iterator[None]:
        if faults:
            raise faults.pop(0)
        yield

    monkeypatch.setattr(socket, "create_connection", connect)
    return faults


NODE = Node("id", "192.0.2.1", 1, {}, {})


def test_a_lost_packet_loses_no_node(befallen: list[OSError]) -> None:
    befallen.append(TimeoutError("timed out"))

    assert NODE.answers()


def test_a_node_that_stays_silent_does_not_answer(befallen: list[OSError]) -> None:
    befallen.extend([TimeoutError("timed out"), TimeoutError("timed out")])

    assert not NODE.answers()


def test_a_node_where_nothing_listens_is_asked_once(befallen: list[OSError]) -> None:
    befallen.append(ConnectionRefusedError(111, "Connection refused"))

    assert not NODE.answers()
