"""What is known of clusters on this machine, from their records. No Ray is started here."""

import json
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from distrain.errors import ClusterError, ConfigError
from distrain.jobs import local_cluster
from distrain.process import Process, start_time_of

Sleepers = list[subprocess.Popen[bytes]]


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let clusters lie in a folder of the test's own."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(local_cluster, "_MOST_FOLDER_CHARACTERS", 1000)  # no socket is made
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def sleepers() -> Iterator[Sleepers]:
    """Processes that stand for nodes."""
    made = [subprocess.Popen(["sleep", "60"], start_new_session=True) for _ in range(3)]
    yield made
    for process in made:
        process.kill()
        process.wait()


def identity(process: subprocess.Popen[bytes]) -> Process:
    own = Process.current()
    return replace(own, pid=process.pid, start_time=start_time_of(process.pid))


def gone() -> Process:
    process = subprocess.Popen(["sleep", "60"])
    found = identity(process)
    process.kill()
    process.wait()
    return found


def recorded(
    temporary: Path, nodes: tuple[Process, ...], name: str = "local", starter: Process | None = None
) -> Path:
    """Write the record of a cluster of three nodes; return its folder."""
    folder = temporary / f"distrain-{os.getuid()}-{name}"
    folder.mkdir()
    cluster = local_cluster.LocalCluster(
        *(name, folder, "127.0.0.1:20001", "http://127.0.0.1:20002", 3, 2, True),
        *(starter or gone(), nodes),
    )
    fields = asdict(cluster) | {"folder": None}
    (folder / "cluster.json").write_text(json.dumps(fields), encoding="utf-8")
    return folder


def test_a_cluster_whose_nodes_are_alive_is_up(temporary: Path, sleepers: Sleepers) -> None:
    folder = recorded(temporary, tuple(map(identity, sleepers)))

    told = local_cluster.named("local").to_json()

    assert told == {
        "name": "local",
        "state": "up",
        "address": "127.0.0.1:20001",
        "dashboard": "http://127.0.0.1:20002",
        "has_token": True,
        "num_cpus": 2,
        "nodes": [
            {"role": "head", "is_alive": True},
            {"role": "node-1", "is_alive": True},
            {"role": "node-2", "is_alive": True},
        ],
        "folder": str(folder),
    }


@pytest.mark.parametrize(("dead", "state"), [(0, "dead"), (2, "nodes dead")])
def test_nodes_that_died_are_noticed(
    dead: int, state: str, temporary: Path, sleepers: Sleepers
) -> None:
    recorded(temporary, tuple(map(identity, sleepers)))
    sleepers[dead].kill()
    sleepers[dead].wait()

    cluster = local_cluster.named("local")

    assert cluster.state == state
    assert [number for number, is_alive in enumerate(cluster.alive) if not is_alive] == [dead]


def test_a_second_one_of_the_same_name_is_refused(temporary: Path, sleepers: Sleepers) -> None:
    recorded(temporary, tuple(map(identity, sleepers)))

    with pytest.raises(ConfigError, match=r"'local' is there already \(up\) at 127.0.0.1:20001"):
        local_cluster.up("local", num_nodes=3, num_cpus=2)

    assert local_cluster.named("local").state == "up"


def test_what_another_command_is_starting_is_left_to_it(temporary: Path) -> None:
    recorded(temporary, (), starter=Process.current())
    cluster = local_cluster.named("local")

    assert cluster.state == "starting"
    with pytest.raises(ConfigError, match=f"being started by process {os.getpid()}"):
        local_cluster.down(cluster)
    with pytest.raises(ConfigError, match=r"there already \(starting\)"):
        local_cluster.up("local", num_nodes=3, num_cpus=2)


def test_what_a_killed_command_left_is_ended_with_its_folder(
    temporary: Path, sleepers: Sleepers
) -> None:
    folder = recorded(temporary, (identity(sleepers[0]),))
    cluster = local_cluster.named("local")
    state = cluster.state

    local_cluster.down(cluster)

    assert state == "nodes dead"
    assert start_time_of(sleepers[0].pid) is None
    assert start_time_of(sleepers[1].pid) is not None
    assert not folder.exists()


def test_an_interrupted_down_can_be_repeated(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = recorded(temporary, (gone(), gone(), gone()))
    (folder / "r" / "logs").mkdir(parents=True)
    (folder / "head.log").touch()
    remove = shutil.rmtree

    def interrupt(path: Path) -> None:
        remove(path)
        raise KeyboardInterrupt

    monkeypatch.setattr("shutil.rmtree", interrupt)
    with pytest.raises(KeyboardInterrupt):
        local_cluster.down(local_cluster.named("local"))
    monkeypatch.undo()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    local_cluster.down(local_cluster.named("local"))

    assert not folder.exists()


# A node outlives the command that starts it, so nobody there waits for its process.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_where_a_node_does_not_start_nothing_is_left(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")

    with pytest.raises(ClusterError, match="head ended while it started"):
        local_cluster.up("local", num_nodes=2, num_cpus=1)

    assert [path.name for path in temporary.iterdir() if path.name != ".ray"] == []


def test_the_remains_of_a_dead_one_make_way(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = recorded(temporary, (gone(), gone(), gone()))
    (folder / "old.log").touch()
    seen = []

    def start_nothing(cluster: local_cluster.LocalCluster, _tell: object) -> object:
        seen.append((cluster.folder, sorted(path.name for path in cluster.folder.iterdir())))
        return cluster

    monkeypatch.setattr(local_cluster, "_start", start_nothing)
    local_cluster.up("local", num_nodes=2, num_cpus=1)

    assert seen == [(folder, ["cluster.json"])]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_of_two_commands_at_a_time_one_is_refused(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = recorded(temporary, ())
    monkeypatch.setattr(local_cluster, "clusters", lambda _name: [])

    with pytest.raises(ClusterError, match="it cannot be made"):
        local_cluster.up("local", num_nodes=2, num_cpus=1)

    assert [path.name for path in temporary.iterdir() if path.name != ".ray"] == [folder.name]


def test_a_folder_of_another_user_is_not_believed(
    temporary: Path, sleepers: Sleepers, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = os.getuid()
    monkeypatch.setattr("os.getuid", lambda: owner + 1)
    recorded(temporary, tuple(map(identity, sleepers)))

    assert local_cluster.clusters() == []


def test_all_clusters_are_listed_and_one_that_is_not_there_is_told_with_the_others(
    temporary: Path, sleepers: Sleepers
) -> None:
    recorded(temporary, tuple(map(identity, sleepers)), name="one")
    recorded(temporary, (), name="two")

    assert [cluster.name for cluster in local_cluster.clusters()] == ["one", "two"]
    with pytest.raises(ConfigError, match=r"no cluster 'three' .* one of: one, two"):
        local_cluster.named("three")


def test_a_temporary_folder_that_is_too_deep_for_sockets_is_told(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_cluster, "_MOST_FOLDER_CHARACTERS", len(str(temporary)))

    with pytest.raises(ConfigError, match=r"too long for the sockets below it.* TMPDIR"):
        local_cluster.up("local", num_nodes=1, num_cpus=1)


@pytest.mark.parametrize("name", ["", "-x", "../x", "A", "a" * 21, "*", "a b"])
def test_names_that_cannot_be_a_folder_s_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be the name of a cluster"):
        local_cluster.up(name, num_nodes=1, num_cpus=1)
