"""`distrain doctor` on a private cluster: all ok where all is well, and faults that are planted."""

import http.server
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import pytest

from tests.mlflow_server import MlflowServer
from tests.private_ray import CAN_MOUNT, PrivateRay, private_ray

pytestmark = pytest.mark.slow

DISTRAIN = Path(sys.executable).with_name("distrain")
NEEDS_MOUNTS = pytest.mark.skipif(not CAN_MOUNT, reason="root alone can mount")
# A clock that is put forward, for Python at least, on the node that has this on its path.
FAST_CLOCK = "import time\nnow = time.time\ntime.time = lambda: now() + 305\n"


@final
@dataclass(frozen=True)
class Doctor:
    """A user's machine with a folder to work in, and what the command is run with there."""

    ray: PrivateRay
    folder: Path

    @property
    def token_file(self) -> Path:
        return self.folder / "home" / ".ray" / "auth_token"

    def examine(
        self,
        *words: str,
        environment: Mapping[str, str] | None = None,
        prefix: tuple[str, ...] = (),
    ) -> tuple[int, dict[str, dict[str, str]], dict[str, Any]]:
        """Run the command; return its code, the faults and warnings by check, and its result."""
        hidden = ("RAY_ADDRESS", "RAY_AUTH_TOKEN", "MLFLOW_TRACKING_URI", "AWS_PROFILE")
        own = {k: v for k, v in os.environ.items() if k not in hidden}
        done = subprocess.run(
            [*prefix, DISTRAIN, "doctor", *words, "--json"],
            cwd=self.folder / "work",
            env={
                **own,
                "HOME": str(self.folder / "home"),
                "RAY_AUTH_MODE": "token",
                "AWS_EC2_METADATA_DISABLED": "true",
                **(environment or {}),
            },
            capture_output=True,
            text=True,
            timeout=280,
        )
        result = json.loads(done.stdout.strip().splitlines()[-1])
        unwell = {c["check"]: c for c in result["checks"] if c["level"] != "ok"}
        assert all(check["mend"] for check in unwell.values())
        return done.returncode, unwell, result


@pytest.fixture(scope="module")
def ray_of_two() -> Iterator[PrivateRay]:
    with private_ray() as ray:
        ray.add_node("second")
        yield ray


@pytest.fixture
def doctor(ray_of_two: PrivateRay, tmp_path: Path) -> Doctor:
    made = Doctor(ray_of_two, tmp_path)
    made.token_file.parent.mkdir(parents=True)
    made.token_file.write_text(ray_of_two.token)
    made.token_file.chmod(0o600)
    (tmp_path / "work").mkdir()
    write_config(tmp_path / "work", num_workers=3)
    return made


def write_config(folder: Path, *, num_workers: int, **more: Any) -> None:
    config = {
        "name": "digits",
        "data": {"source": "sklearn:digits", "target": "target", **more},
        "train": {"epochs": 1, "num_workers": num_workers, "logical_shards": 16},
    }
    (folder / "run.yaml").write_text(json.dumps(config), encoding="utf-8")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def contents(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@contextmanager
def answering(answers: Mapping[str, bytes]) -> Iterator[int]:
    """Give the port of a server that knows some paths, and refuses or lacks all others."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self) -> None:
            found = next((v for path, v in answers.items() if self.path.startswith(path)), None)
            self.send_response(403 if "*" in answers else 404 if found is None else 200)
            self.send_header("Content-Length", str(len(found or b"")))
            self.end_headers()
            self.wfile.write(found or b"")

        def log_message(self, format: str, *args: Any) -> None:
            pass

    for verb in ("GET", "POST", "PUT", "HEAD", "DELETE"):
        setattr(Handler, f"do_{verb}", Handler.answer)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def actors_of(ray: PrivateRay, doctor: Doctor) -> set[str]:
    """Return the states of all actors that were ever started on a cluster."""
    program = (
        "import sys, ray; ray.init(sys.argv[1], log_to_driver=False)\n"
        "from ray._private.state import actors\n"
        "print(*{actor['State'] for actor in actors().values()})"
    )
    environment = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": ray.token}
    words = [sys.executable, "-c", program, ray.address]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    return set(done.stdout.strip().splitlines()[-1].split())


def test_a_healthy_cluster_is_all_ok_and_nothing_is_left_behind(doctor: Doctor) -> None:
    server = MlflowServer(doctor.folder)
    server.start()
    before = contents(doctor.folder / "work"), contents(doctor.folder / "home")
    try:
        uri = f"track.uri={server.tracking.uri}"
        port = ("--port", str(free_port()))
        code, unwell, result = doctor.examine(
            "run.yaml", uri, "--address", doctor.ray.address, "--gpu", *port
        )
        models = MlflowModels(server).names()
    finally:
        server.stop()

    assert (code, unwell) == (0, {})
    checks = {check["check"]: check["message"] for check in result["checks"]}
    assert checks["nodes"] == "2 nodes, all answer"
    assert checks["storage"].endswith("written and read on 2 nodes and here")
    assert checks["GPU speed"] == "not measured: no node has a GPU"
    assert (contents(doctor.folder / "work"), contents(doctor.folder / "home")) == before
    assert models == []
    assert actors_of(doctor.ray, doctor) == {"DEAD"}


@final
@dataclass(frozen=True)
class MlflowModels:
    """The registered models of a server."""

    server: MlflowServer

    def names(self) -> list[str]:
        from mlflow import MlflowClient

        found = MlflowClient(self.server.tracking.uri).search_registered_models()
        return [model.name for model in found]


@pytest.mark.long
def test_faults_on_the_users_side_are_found_at_once(doctor: Doctor) -> None:
    doctor.token_file.chmod(0o644)
    with answering({"*": b""}) as s3, socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        cache = f"s3://bucket/cache?scheme=http&endpoint_override=127.0.0.1:{s3}&region=eu"
        write_config(doctor.folder / "work", num_workers=9, cache={"path": cache})
        uri = f"track.uri=http://127.0.0.1:{free_port()}"

        code, unwell, _ = doctor.examine(
            "run.yaml", uri, "--address", doctor.ray.address, "--port", port
        )

    assert code == 4
    assert set(unwell) == {"token", "room", "MLflow", "port", "data.cache.path"}
    assert "chmod 600" in unwell["token"]["mend"]
    assert "9 workers with 1 CPU each do not fit" in unwell["room"]["message"]
    assert "no tracking server answers" in unwell["MLflow"]["message"]
    assert "Start it" in unwell["MLflow"]["mend"]
    assert f"port {port} cannot be used" in unwell["port"]["message"]
    assert "there are no credentials for it" in unwell["data.cache.path"]["message"]
    assert "AWS_ACCESS_KEY_ID" in unwell["data.cache.path"]["mend"]


@pytest.mark.parametrize(
    ("token", "reason", "mend"),
    [
        (None, "there is none here", "RAY_AUTH_TOKEN_PATH"),
        ("f" * 32, "the cluster refuses the token", "its head was started with"),
    ],
)
def test_no_token_and_a_wrong_one_are_told_within_seconds(
    doctor: Doctor, token: str | None, reason: str, mend: str
) -> None:
    doctor.token_file.unlink()
    environment = {"RAY_AUTH_TOKEN": token} if token else {}

    code, unwell, _ = doctor.examine(
        "run.yaml", "--address", doctor.ray.address, environment=environment
    )

    assert (code, set(unwell)) == (4, {"Ray"})
    assert reason in unwell["Ray"]["message"]
    assert mend in unwell["Ray"]["mend"]
    assert (token or "no token") not in json.dumps(unwell)


@NEEDS_MOUNTS
@pytest.mark.long
@pytest.mark.parametrize(
    ("options", "check", "mend"),
    [("ro", "storage", "mount -o remount,rw"), ("size=20m", "disks", "Make room there")],
)
def test_storage_that_is_read_only_or_full_is_found(
    doctor: Doctor, options: str, check: str, mend: str
) -> None:
    runs = doctor.folder / "work" / "runs"
    runs.mkdir()
    mount = f'mount -t tmpfs -o {options} tmpfs "$0" && exec "$@"'

    code, unwell, _ = doctor.examine(
        "run.yaml",
        "track.uri=sqlite:////tmp/nothing-is-made-there.db",
        *("--address", "local"),
        prefix=("unshare", "-m", "sh", "-c", mount, str(runs)),
    )

    assert code == 2
    assert mend in unwell[check]["mend"]
    assert str(runs) in json.dumps(unwell[check])


@NEEDS_MOUNTS
@pytest.mark.long
def test_an_odd_node_is_named_and_so_is_one_that_died(doctor: Doctor) -> None:
    odd, runs = doctor.folder / "odd", doctor.folder / "work" / "runs"
    (odd / "mlflow-9.9.9.dist-info").mkdir(parents=True)
    (odd / "mlflow-9.9.9.dist-info" / "METADATA").write_text("Name: mlflow\nVersion: 9.9.9\n")
    (odd / "torch-2.1.0.dist-info").mkdir()
    (odd / "torch-2.1.0.dist-info" / "METADATA").write_text("Name: torch\nVersion: 2.1.0\n")
    (odd / "sitecustomize.py").write_text(FAST_CLOCK)
    runs.mkdir()
    path = f"{odd}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    doctor.ray.add_node("odd", num_gpus=1, environment={"PYTHONPATH": path}, hidden=runs)
    only_runs = {"/api/2.0/mlflow/experiments/search": b"{}"}

    with answering(only_runs) as port:
        uri = f"track.uri=http://127.0.0.1:{port}"
        code, unwell, result = doctor.examine("run.yaml", uri, "--address", doctor.ray.address)
    doctor.ray.kill_node("odd")
    _, dead, _ = doctor.examine("run.yaml", "--address", doctor.ray.address)

    assert code == 4
    assert "305 s ahead" in unwell["clocks"]["message"]
    assert unwell["torch build"]["message"] == ("torch was built for CPUs, on a machine with 1 GPU")
    assert "is not seen on that node" in unwell["storage"]["message"]
    assert "has no model registry" in unwell["registry"]["message"]
    skewed = [c["message"] for c in result["checks"] if c["check"] == "versions"]
    assert [message.partition(" there")[0] for message in skewed] == [
        "torch 2.1.0",
        "mlflow 9.9.9",
    ]
    nodes = {unwell[check]["where"] for check in ("clocks", "torch build", "storage")}
    assert len(nodes) == 1
    assert "ray start --address=" in dead["nodes"]["mend"]


@pytest.mark.long
def test_without_a_cluster_this_machine_is_examined_and_no_token_is_made(doctor: Doctor) -> None:
    shutil.rmtree(doctor.token_file.parent)
    write_config(doctor.folder / "work", num_workers=2)

    code, unwell, result = doctor.examine(
        "run.yaml", "--port", str(free_port()), environment={"RAY_AUTH_MODE": "token"}
    )

    assert (code, unwell) == (0, {})
    assert "a local Ray starts" in result["checks"][0]["message"]
    assert contents(doctor.folder / "home") == set()
