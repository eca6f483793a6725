"""What a submitted job does around its command."""

import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from distrain import answer, as_job
from distrain.errors import ConfigError
from distrain.jobs.ending import Ending, read_ending
from distrain.jobs.ticket import FILE, Ticket
from distrain.object_store.bucket import Bucket
from distrain.track import standing
from distrain.track.lineage import digest, own_hashes
from tests.s3_server import S3Server


@pytest.fixture
def ticket() -> Ticket:
    here = replace(standing.standing_here(), job_id="distrain-a-1")
    return Ticket("distrain-a-1", digest(own_hashes()), here.to_json(), ["list", "losses"])


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that the process works in; what a job changes in the process is put back."""
    monkeypatch.setattr(sys, "argv", sys.argv)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    standing._carried.clear()
    answer.reserved.clear()


def test_the_command_runs_and_its_json_is_what_the_job_came_to(
    package: Path, ticket: Ticket
) -> None:
    (package / FILE).write_bytes(ticket.to_bytes())

    ending = as_job._run(package, ["list", "losses"])

    assert ending.exit_code == 0
    assert ending.result is not None
    assert "cross_entropy" in {entry["name"] for entry in ending.result["losses"]}
    assert Path.cwd() == package / "code"
    assert sys.argv == ["distrain", "list", "losses"]
    assert standing.job_here() == "distrain-a-1"


def test_another_distrain_than_was_sent_is_refused(package: Path, ticket: Ticket) -> None:
    (package / FILE).write_bytes(replace(ticket, code_sha256="0" * 64).to_bytes())

    with pytest.raises(ConfigError, match="another distrain runs here"):
        as_job._run(package, ["list", "losses"])


def test_data_that_came_along_is_kept_on_the_storage(tmp_path: Path, ticket: Ticket) -> None:
    (tmp_path / "data" / "0").mkdir(parents=True)
    (tmp_path / "data" / "0" / "rows.csv").write_text("a,b\n", encoding="utf-8")
    kept_in = tmp_path / "runs" / "uploaded" / "0123"
    sent = replace(ticket, uploads={"data/0": str(kept_in)})

    for _ in range(2):  # a second job finds it there
        as_job._keep_uploads(tmp_path, sent)

    assert (kept_in / "rows.csv").read_text(encoding="utf-8") == "a,b\n"
    assert [path.name for path in kept_in.parent.iterdir()] == ["0123"]


def test_data_that_came_along_is_kept_at_a_store_and_made_whole_there(
    tmp_path: Path, ticket: Ticket, server: S3Server, account: None
) -> None:
    files = {"rows.csv": b"a,b\n", "more/rows.csv": b"1,2\n"}
    for name, content in files.items():
        path = tmp_path / "data" / "0" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    kept_in = server.place("kept/uploaded/0123")
    Bucket(kept_in).put("rows.csv", files["rows.csv"])  # by a job that was killed over it
    sent = replace(ticket, uploads={"data/0": kept_in.uri})

    as_job._keep_uploads(tmp_path, sent)
    start = len(server.requests)
    as_job._keep_uploads(tmp_path, sent)

    kept = Bucket(kept_in)
    assert {entry.name: kept.get(entry.name) for entry in kept.entries("")} == files
    put = [path for method, path in server.requests[start:] if method == "PUT"]
    assert not any("/0123/" in path for path in put)


def test_the_driver_has_the_account_that_its_workers_are_given(
    package: Path, ticket: Ticket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEAM_KEY", "of-the-node")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "")
    account = {"AWS_SECRET_ACCESS_KEY": "${TEAM_KEY}"}
    (package / FILE).write_bytes(replace(ticket, account=account).to_bytes())

    as_job._run(package, ["list", "losses"])

    assert os.environ["AWS_SECRET_ACCESS_KEY"] == "of-the-node"


def test_an_account_that_the_node_lacks_is_told(package: Path, ticket: Ticket) -> None:
    account = {"AWS_SECRET_ACCESS_KEY": "${NOBODY_HAS_IT}"}
    (package / FILE).write_bytes(replace(ticket, account=account).to_bytes())

    with pytest.raises(ConfigError, match="the environment has no variable NOBODY_HAS_IT"):
        as_job._run(package, ["list", "losses"])


def test_of_two_jobs_that_keep_the_same_data_at_once_both_go_on(
    tmp_path: Path, ticket: Ticket, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data" / "0").mkdir(parents=True)
    (tmp_path / "data" / "0" / "rows.csv").write_text("a,b\n", encoding="utf-8")
    kept_in = tmp_path / "runs" / "uploaded" / "0123"
    copy = shutil.copytree

    def copy_and_be_late(source: Path, target: Path) -> None:
        copy(source, target)
        copy(source, kept_in)

    monkeypatch.setattr(as_job.shutil, "copytree", copy_and_be_late)

    as_job._keep_uploads(tmp_path, replace(ticket, uploads={"data/0": str(kept_in)}))

    assert [path.name for path in kept_in.parent.iterdir()] == ["0123"]


@pytest.mark.parametrize(("code", "of_job"), [(0, 0), (1, 1), (2, 2), (3, 0), (130, 130)])
def test_an_unmet_goal_alone_ends_the_job_well(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], code: int, of_job: int
) -> None:
    monkeypatch.setattr(as_job, "_run", lambda *_: Ending(code, None))

    with pytest.raises(SystemExit) as left:
        as_job.main()

    assert left.value.code == of_job
    assert read_ending(capsys.readouterr().out) == Ending(code, None)


@pytest.mark.parametrize(
    ("name", "cause", "said"),
    [
        ("_check_installed", ConfigError("the cluster lacks torch"), "lacks torch"),
        ("_run", ConfigError("no ticket"), "no ticket"),
        ("_run", PermissionError(13, "Permission denied", "/mnt/runs"), "begin (Permission"),
        ("_run", ImportError("No module named 'pydantic'"), "needs: No module named 'pydantic'"),
    ],
)
def test_what_was_refused_is_said_as_an_end_that_nobody_repeats(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    cause: Exception,
    said: str,
) -> None:
    def refuse(*_: object) -> None:
        raise cause

    monkeypatch.setattr(as_job, "_check_installed", lambda: None)
    monkeypatch.setattr(as_job, name, refuse)

    with pytest.raises(SystemExit) as left:
        as_job.main()

    assert left.value.code == 2
    ending = read_ending(capsys.readouterr().out)
    assert ending is not None
    assert ending.result is not None
    assert said in ending.result["error"]["message"]


def test_what_the_cluster_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = ["ray[data]>=2.60", "no-such-library>=1", "torch>=99", 'other>=1; extra == "dev"']
    monkeypatch.setattr(as_job.importlib.metadata, "requires", lambda _: wanted)

    with pytest.raises(ConfigError, match="the cluster lacks what distrain needs") as caught:
        as_job._check_installed()

    assert "no-such-library>=1 (not there)" in caught.value.message
    assert "torch>=99 (" in caught.value.message
    assert "ray" not in caught.value.message.replace("array", "")
    assert "other" not in caught.value.message
