"""Whether all hosts see what a run needs; without Ray."""

import re
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest
import ray
import ray.util

from distrain.errors import ConfigError, TrainError
from distrain.train import hosts
from distrain.train.hosts import (
    Host,
    check_hosts,
    check_run_folder,
    check_store_from,
    other_hosts,
    unseen_paths,
)
from tests.s3_server import S3Server

T = TypeVar("T")
FAR = [Host("n1", "alpha", "192.0.2.1"), Host("n2", "beta", "192.0.2.2")]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts, "PATIENCE_S", 0.0)


def node(number: int, address: str, **changes: Any) -> dict[str, Any]:
    return {
        "NodeID": f"n{number}",
        "NodeManagerAddress": address,
        "NodeManagerHostname": f"host-{number}",
        "Alive": True,
        "Resources": {"CPU": 2.0},
        **changes,
    }


def test_nodes_elsewhere_that_take_work_are_other_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = [
        node(0, "192.0.2.1"),
        node(1, "192.0.2.1"),
        node(2, "192.0.2.2"),
        node(3, "192.0.2.3", Alive=False),
        node(4, "192.0.2.4", Resources={"memory": 1.0, "CPU": 0.0}),
        node(5, "192.0.2.5", Resources={"GPU": 1.0}),
    ]
    monkeypatch.setattr(ray, "nodes", lambda: nodes)
    context = SimpleNamespace(get_node_id=lambda: "n0")
    monkeypatch.setattr(ray, "get_runtime_context", lambda: context)

    assert [host.text for host in other_hosts()] == ["host-2 (192.0.2.2)", "host-5 (192.0.2.5)"]


def test_hosts_that_see_everything_are_taken_and_no_mark_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_for: list[str] = []

    def ask(_: Sequence[Host], paths: list[str]) -> dict[Host, list[str]]:
        looked_for.extend(paths)
        return {host: unseen_paths(paths) for host in FAR}

    monkeypatch.setattr(hosts, "_unseen_by", ask)
    (tmp_path / "a.csv").touch()

    check_hosts(FAR, {"storage": tmp_path / "new" / "runs"}, [("data.source", tmp_path / "a.csv")])

    mark, source = map(Path, looked_for)
    assert mark.parent == tmp_path / "new" / "runs"
    assert mark.name.startswith(".")
    assert source == tmp_path / "a.csv"
    assert list(tmp_path.iterdir()) == [source]


@pytest.mark.parametrize(
    ("blind", "is_of_storage", "message", "mend"),
    [
        (FAR[1:], True, "host beta (192.0.2.2): storage {0}/runs is not seen there", "Mount the"),
        (FAR[1:], False, "host beta (192.0.2.2): data.source {0}/a.csv is not", "Copy it to the"),
        (FAR, True, "hosts alpha (192.0.2.1), beta (192.0.2.2): storage {0}/runs is", "Mount the"),
    ],
)
def test_hosts_that_do_not_see_something_are_named_with_it(
    blind: list[Host],
    is_of_storage: bool,
    message: str,
    mend: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def ask(_: Sequence[Host], paths: list[str]) -> dict[Host, list[str]]:
        return dict.fromkeys(blind, paths[:1] if is_of_storage else paths[1:])

    monkeypatch.setattr(hosts, "_unseen_by", ask)

    with pytest.raises(ConfigError, match=re.escape(message.format(tmp_path))) as caught:
        check_hosts(FAR, {"storage": tmp_path / "runs"}, [("data.source", tmp_path / "a.csv")])

    assert caught.value.mend.startswith(mend)
    assert caught.value.exit_code == 2


def test_a_host_that_the_store_does_not_let_in_is_named(
    server: S3Server, account: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[object, ...]] = []

    def answers(_: Sequence[Host], question: Callable[..., T], *given: object) -> dict[Host, T]:
        asked.append(given)
        return {FAR[0]: question(*given), FAR[1]: question("s3://nobody-s/runs", {})}

    monkeypatch.setattr(hosts, "_answers", answers)
    place = server.place("hosts")
    monkeypatch.setenv("AWS_REGION", "eu")

    with pytest.raises(ConfigError, match="there is no bucket 'nobody-s'") as told:
        check_store_from(FAR, place, {"AWS_REGION": "us-east-1", "OTHER": "x"})

    assert told.value.where == "storage = s3://nobody-s/runs, from host beta (192.0.2.2)"
    [(uri, given)] = asked
    assert uri == place.uri
    assert isinstance(given, dict)
    assert given == {**given, **server.environment, "AWS_REGION": "us-east-1"}
    assert "OTHER" not in given


def test_hosts_that_the_store_lets_in_are_taken(
    server: S3Server, account: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosts, "_answers", lambda _, ask, *given: {FAR[0]: ask(*given)})

    check_store_from(FAR, server.place("hosts"), {})


def test_a_host_that_does_not_answer_is_left_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosts, "_unseen_by", lambda *_: {FAR[0]: []})

    check_hosts(FAR, {"storage": tmp_path}, [])


def test_what_shows_itself_late_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts, "PATIENCE_S", 60.0)
    monkeypatch.setattr("distrain.train.hosts.time.sleep", lambda _: (tmp_path / "late").touch())

    assert unseen_paths([str(tmp_path / "late")]) == []


def test_a_worker_refuses_a_run_whose_folder_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray.util, "get_node_ip_address", lambda: "192.0.2.7")
    check_run_folder(tmp_path, 1)

    with pytest.raises(TrainError, match="is not there") as caught:
        check_run_folder(tmp_path / "run", 1)

    assert caught.value.where == f"worker of rank 1 on host {socket.gethostname()} (192.0.2.7)"
    assert not (tmp_path / "run").exists()
