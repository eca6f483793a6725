"""What a node is started with, and that nothing of it stays. No Ray is started here."""

import shutil
import socket
import subprocess
import sys
import time
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
from ray.scripts.scripts import start

from distrain.errors import ClusterError
from distrain.jobs import ray_nodes
from distrain.process import Process, family_of, start_time_of
from tests.cluster_files import parse

# Starts a child in a session of its own; neither heeds SIGTERM.
STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen(["sleep", "60"], start_new_session=True)
print(child.pid, flush=True)
time.sleep(60)
"""


def started(*words: str) -> tuple[Process, subprocess.Popen[str]]:
    popen = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, start_new_session=True)
    return Process.here(popen.pid), popen


def test_nodes_listen_on_loopback_at_ports_of_their_own(tmp_path: Path) -> None:
    plans = list(islice(ray_nodes.plan_nodes(tmp_path, num_nodes=3, num_cpus=2), 3))
    options = [parse(start, list(plan.words)) for plan in plans]
    ports = [port for plan in plans for port in plan.ports.values()]

    assert [values["head"] for values in options] == [True, False, False]
    assert {values["node_ip_address"] for values in options} == {"127.0.0.1"}
    assert len(set(ports)) == len(ports) == 3 + 3 * 6
    assert all(port in ray_nodes.PORTS for port in ports)
    assert {values["address"] for values in options[1:]} == {f"127.0.0.1:{options[0]['port']}"}
    assert options[0]["dashboard_host"] == "127.0.0.1"
    folders = [str(tmp_path), f"{tmp_path}1", f"{tmp_path}2"]
    assert [values["temp_dir"] for values in options] == folders
    assert {(values["num_cpus"], values["num_gpus"]) for values in options} == {(2, 0)}
    assert all(values["block"] for values in options)


def test_all_nodes_together_take_a_part_of_the_shared_memory(tmp_path: Path) -> None:
    sizes = [
        parse(start, list(plan.words))["object_store_memory"]
        for plan in islice(ray_nodes.plan_nodes(tmp_path, num_nodes=4, num_cpus=1), 4)
    ]

    assert len(set(sizes)) == 1
    assert 100 * 2**20 <= sizes[0] <= 2 * 2**30


def test_ports_of_nodes_that_come_later_are_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_nodes, "PORTS", range(30000, 30024))

    plans = islice(ray_nodes.plan_nodes(tmp_path, num_nodes=1, num_cpus=1), 3)

    ports = [port for plan in plans for port in plan.ports.values()]
    assert len(set(ports)) == len(ports) == 3 + 3 * 6


def test_a_port_that_is_taken_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        monkeypatch.setattr(ray_nodes, "PORTS", range(port, port + 1))

        with pytest.raises(ClusterError, match=r"0 ports are free\. Expected 1 free ones"):
            ray_nodes.free_ports(1)


def test_nodes_ask_for_a_token_by_themselves_and_join_no_other_cluster(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.5:6379")

    environment = ray_nodes.environment()

    assert environment["RAY_AUTH_MODE"] == "token"
    assert "RAY_ADDRESS" not in environment


def test_python_is_on_nodes_the_one_that_has_started_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")

    path = ray_nodes.environment()["PATH"]

    found = shutil.which("python", path=path) or shutil.which("python3", path=path)
    assert Path(str(found)).parent == Path(sys.executable).parent
    assert path.endswith(":/usr/bin:/bin")


def test_what_does_not_heed_is_killed_with_all_that_it_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ray_nodes, "END_TIMEOUT_S", 0.3)
    node, popen = started(sys.executable, "-c", STUBBORN)
    assert popen.stdout is not None
    child = int(popen.stdout.readline())
    assert family_of(node.pid).keys() == {node.pid, child}

    ray_nodes.end_nodes([node])

    assert start_time_of(node.pid) is None
    assert start_time_of(child) is None
    popen.communicate()


def test_a_process_that_got_a_node_s_number_later_is_let_alone() -> None:
    other, popen = started("sleep", "60")
    assert other.start_time is not None
    node = replace(other, start_time=other.start_time - 1)

    ray_nodes.end_nodes([node])

    assert ray_nodes.is_living(other)
    assert not ray_nodes.is_living(node)
    popen.kill()
    popen.communicate()


def test_a_node_that_ends_while_it_starts_is_told_with_what_it_said(tmp_path: Path) -> None:
    log = tmp_path / "node-1.log"
    log.write_text("first\nno memory is left\n", encoding="utf-8")
    node, popen = started("true")
    popen.communicate()

    begun = time.monotonic()
    with pytest.raises(ClusterError, match=r"node-1 ended while it started \(first / no memory"):
        ray_nodes.wait_until_up(node, log)

    assert time.monotonic() - begun < 5
