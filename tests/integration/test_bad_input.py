"""Every bad input that a user may bring: what is told, with which code, and what is left behind.

The first tables are told before Ray is started; for the rest, all tests share one Ray.
"""

import http.server
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from distrain.ray_session import speaks_grpc
from tests.bad_cases import Case, assert_told, fill, run, word
from tests.bad_code import CODE, DATASETS, MISFITS
from tests.bad_configurations import CLOSED, CONFIGURATION, PLACES
from tests.bad_data import DATA, ODDITIES, ROWS, odd_rows
from tests.command_line import run_in_process


def table(*tables: Mapping[str, Case]) -> list[Any]:
    return [pytest.param(case, id=name) for one in tables for name, case in one.items()]


@pytest.fixture
def no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a command that starts Ray, or connects to one, fail in a way that nothing expects."""

    def start(*_args: object, **_kwargs: object) -> None:
        raise AssertionError("Ray was started")

    monkeypatch.setattr("distrain.workplace.ray_session", start)
    monkeypatch.setattr("distrain.workplace.is_connected", lambda: False)


@pytest.fixture
def not_connected(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a command find no Ray in this process, though other tests may share one."""
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setattr("distrain.ray_session.CONNECT_TIMEOUT_S", 0.3)


@pytest.fixture(scope="module")
def web_server() -> Iterator[str]:
    """HOST:PORT of a server that is neither MLflow's nor Ray's."""
    handler = http.server.BaseHTTPRequestHandler
    with http.server.HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.usefixtures("no_ray")
@pytest.mark.parametrize("case", table(CONFIGURATION, DATA, PLACES, CODE, DATASETS))
def test_a_fault_is_told_before_ray_starts_and_leaves_nothing(case: Case, tmp_path: Path) -> None:
    ended = run(tmp_path, case)

    assert_told(ended, case)
    assert ended.left == []


@pytest.mark.usefixtures("no_ray")
@pytest.mark.parametrize("words", [["prepare", "run.yaml"], ["train", "run.yaml", "--dry-run"]])
def test_prepare_and_a_dry_run_tell_the_same_faults(words: list[str], tmp_path: Path) -> None:
    fill(tmp_path, DATA["absent target"])

    ended = run_in_process([*words, "data.target=incom", "--json"], tmp_path)

    assert_told(ended, DATA["absent target"])
    assert ended.left == []


@pytest.mark.usefixtures("no_ray")
def test_a_dry_run_of_what_is_right_leaves_nothing(tmp_path: Path) -> None:
    fill(tmp_path, Case((), ()))

    ended = run_in_process(["train", "run.yaml", "--dry-run"], tmp_path)

    assert ended.code == 0, ended.stderr
    assert ended.left == []


@pytest.mark.usefixtures("no_ray")
def test_what_nobody_foresaw_is_told_with_its_traceback(tmp_path: Path) -> None:
    case = Case((), ("AssertionError: Ray was started", "report it"), kind="error", code=1)

    ended = run(tmp_path, case)

    assert_told(ended, case)
    assert "Traceback (most recent call last)" in ended.stderr
    assert ended.left == []


@pytest.mark.usefixtures("no_ray")
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc")
def test_storage_that_even_root_cannot_write_is_told(tmp_path: Path) -> None:
    case = word("storage=/proc/runs", "storage = /proc/runs: /proc ", "this user can write")

    assert_told(run(tmp_path, case), case)


@pytest.mark.usefixtures("no_ray")
def test_a_server_that_is_not_mlflow_is_told(web_server: str, tmp_path: Path) -> None:
    told = ("it is no MLflow server", "Check the port")
    case = Case((f"track.uri=http://{web_server}",), told, kind="tracking", code=4)

    ended = run(tmp_path, case)

    assert_told(ended, case)
    assert ended.left == []


@pytest.mark.usefixtures("not_connected")
@pytest.mark.parametrize(
    ("words", "environment", "origin"),
    [
        ((f"cluster.address={CLOSED}",), {}, f"cluster.address = {CLOSED}"),
        (("--address", CLOSED), {}, f"cluster.address = {CLOSED}"),
        (("--address", "[::1]:1"), {}, "cluster.address = [::1]:1"),
        ((), {"RAY_ADDRESS": CLOSED}, f"RAY_ADDRESS = {CLOSED}"),
    ],
)
def test_a_cluster_that_does_not_answer_is_told(
    words: tuple[str, ...], environment: dict[str, str], origin: str, tmp_path: Path
) -> None:
    parts = (f"{origin}: nothing answers", "to use a new local Ray")
    case = Case(words, parts, environment=environment, kind="cluster", code=4)

    ended = run(tmp_path, case)

    assert_told(ended, case)
    assert ended.left == []


@pytest.mark.usefixtures("not_connected")
def test_a_server_that_is_not_ray_is_told(web_server: str, tmp_path: Path) -> None:
    address = f"cluster.address={web_server}"
    case = word(address, "it is no Ray cluster", "usually 6379", kind="cluster", code=4)

    ended = run(tmp_path, case)

    assert_told(ended, case)
    assert ended.left == []


@pytest.mark.usefixtures("not_connected")
def test_a_server_that_says_nothing_is_no_cluster(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"cluster.address=127.0.0.1:{server.getsockname()[1]}"
        case = word(address, "nothing answers there (timed out)", kind="cluster", code=4)

        ended = run(tmp_path, case)

    assert_told(ended, case)
    assert ended.left == []


@pytest.mark.slow
def test_a_ray_is_known_by_its_answer(ray_local: str) -> None:
    host, _, port = ray_local.rpartition(":")

    assert speaks_grpc(host, int(port))


@pytest.mark.slow
@pytest.mark.usefixtures("ray_local")
@pytest.mark.parametrize("case", table(ROWS))
def test_a_fault_that_ray_finds_leaves_nothing(case: Case, tmp_path: Path) -> None:
    ended = run(tmp_path, case)

    assert_told(ended, case)
    assert ended.left == []


@pytest.mark.slow
@pytest.mark.usefixtures("ray_local")
@pytest.mark.parametrize("case", table(MISFITS))
def test_a_misfit_is_told_before_launch_and_leaves_only_whole_prepared_data(
    case: Case, tmp_path: Path
) -> None:
    ended = run(tmp_path, case)

    assert_told(ended, case)
    (manifest,) = tmp_path.glob("runs/prepared/*/manifest.json")
    (index,) = tmp_path.glob("runs/prepared/index/*.json")
    shards = manifest.parent / "shards"
    whole = {*shards.iterdir(), shards, manifest, manifest.parent, index, index.parent}
    whole |= {tmp_path / "runs", tmp_path / "runs" / "prepared"}
    assert {tmp_path / path for path in ended.left} == whole


@pytest.fixture(scope="module")
def told_of_oddities(ray_local: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What `prepare` says of a file that is odd in many ways, and can be learned from."""
    folder = tmp_path_factory.mktemp("odd")
    fill(folder, Case((), (), {"people.csv": odd_rows(), "test.csv": odd_rows(3)}))
    words = ["data.target=answer", "data.test_source=test.csv", "data.labels={hihg: High}"]

    ended = run_in_process(["prepare", "run.yaml", *words], folder)

    assert ended.code == 0, ended.stderr
    assert len(list(folder.glob("runs/prepared/*/manifest.json"))) == 1
    return ended.stdout


@pytest.mark.parametrize("told", ODDITIES.values(), ids=ODDITIES)
def test_what_is_odd_but_no_fault_is_told(told: str, told_of_oddities: str) -> None:
    assert re.search(told, told_of_oddities), told_of_oddities


def test_columns_are_told_in_the_order_of_the_file(told_of_oddities: str) -> None:
    named = re.findall(r"^column '(.*?)' ", told_of_oddities, re.MULTILINE)

    header = odd_rows().decode("utf-8-sig").splitlines()[0].split(",")
    assert named == [*header[:-1], "unnamed_10"]


@pytest.mark.slow
@pytest.mark.usefixtures("ray_local")
def test_more_categories_than_have_a_place_share_one(tmp_path: Path) -> None:
    rows = "".join(f"{n % 7},c{n * 7919 % 200_000},{n % 2}\n" for n in range(300_000))
    fill(tmp_path, Case((), (), {"people.csv": f"age,code,income\n{rows}"}))

    words = ["prepare", "run.yaml", "data.features={code: categorical}"]
    ended = run_in_process(words, tmp_path)

    assert ended.code == 0, ended.stderr
    assert "code (rows, 256)" in ended.stdout  # 255 of them, and one place for all others


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["train.epoch=3"], 2, "error: command line: train.epoch: unknown key. Did you mean"),
        pytest.param(
            *(["data.target=incom"], 2, "there is no column 'incom'."), marks=pytest.mark.slow
        ),
        pytest.param(
            *([f"track.uri=http://{CLOSED}"], 4, "no tracking server answers there"),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_person_is_told_on_stderr(words: list[str], code: int, told: str, tmp_path: Path) -> None:
    fill(tmp_path, Case((), ()))
    command = [str(Path(sys.executable).with_name("distrain")), "train", "run.yaml", *words]

    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)

    assert (ended.returncode, ended.stdout) == (code, "")
    assert told in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} == {"people.csv", "run.yaml"}
