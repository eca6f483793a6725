"""What the driver sees of an attempt, and when it stops one; without Ray."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from distrain.train import oversight
from distrain.train.beat import Beat, beating
from distrain.train.nodes import Node
from distrain.train.oversight import Oversight
from distrain.train.placement import Placement
from distrain.train.worker import STOP_FILE

ELASTIC = Placement(3, 1.0, 0.0, least=1)
FIXED = Placement(2, 1.0, 0.0)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oversight, "OVERSEE_S", 0.01)
    monkeypatch.setattr(oversight, "RESIZE_AFTER_S", 0.05)
    monkeypatch.setattr(Node, "answers", lambda _node: True)


@pytest.fixture
def beat(tmp_path: Path) -> Iterator[Beat]:
    """A worker that trains on the node `own`."""
    (tmp_path / "logs").mkdir()
    with beating(tmp_path, 0, attempt=1, node="own") as beat:
        beat("compute", 3)
        yield beat


def node(name: str, free: float = 0.0, *, is_draining: bool = False) -> Node:
    return Node(name, "127.0.0.1", 1, {"CPU": 2.0}, {"CPU": free}, is_draining)


def watch(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch, placement: Placement, *nodes: Node
) -> Oversight:
    """Watch for twenty looks at these nodes, of which the first fails."""
    looks, is_enough = 0, threading.Event()

    def look() -> list[Node]:
        nonlocal looks
        looks += 1
        if looks == 1:
            raise ConnectionError("the control store is away")
        if looks == 20:
            is_enough.set()
        return list(nodes)

    monkeypatch.setattr(oversight, "live_nodes", look)
    watched = Oversight(run_dir, 1, placement, 2, lambda _text: None)
    with watched.watching():
        is_enough.wait(0.4)
    return watched


def test_a_node_of_the_workers_about_to_leave_stops_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, beat: Beat
) -> None:
    watched = watch(tmp_path, monkeypatch, FIXED, node("own", is_draining=True))

    assert watched.reason == "preemption"
    assert (tmp_path / STOP_FILE).exists()


def test_room_for_one_more_stops_an_elastic_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, beat: Beat
) -> None:
    assert watch(tmp_path, monkeypatch, ELASTIC, node("own"), node("new", 1)).reason == "resize"


@pytest.mark.parametrize(
    ("placement", "nodes"),
    [
        (FIXED, [node("own"), node("new", 2)]),
        (FIXED, [node("own"), node("other", is_draining=True)]),
        (ELASTIC, [node("own"), node("new", 0.5)]),
        (ELASTIC, [node("own"), node("leaving", 2, is_draining=True)]),
    ],
    ids=["a fixed size", "another's node leaves", "too little room", "room that will leave"],
)
def test_what_is_no_reason_to_stop(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    beat: Beat,
    placement: Placement,
    nodes: list[Node],
) -> None:
    assert watch(tmp_path, monkeypatch, placement, *nodes).reason is None
    assert not (tmp_path / STOP_FILE).exists()


def test_workers_that_have_not_begun_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, beat: Beat
) -> None:
    beat("start", 0)

    watched = watch(tmp_path, monkeypatch, ELASTIC, node("own"), node("new", 2))

    assert watched.reason is None
