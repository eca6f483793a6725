"""What this machine is found to have: marks, left runs, accounts, a local Ray's token."""

import json
import os
import time
from pathlib import Path

import pytest

from distrain.claim_files import CLAIMS, LEASE
from distrain.config.settings import Settings
from distrain.jobs.doctor import look
from distrain.process import Process


def test_a_mark_is_there_for_a_while_and_the_folder_as_it_was(tmp_path: Path) -> None:
    storage = tmp_path / "new" / "runs"

    with look.marked("storage", str(storage)) as (place, folder, marks):
        [(name, text)] = marks.items()
        read = (Path(folder) / name).read_text()

    assert (place.error, read) == (None, text)
    assert list(tmp_path.iterdir()) == []


def test_a_mark_is_no_run_that_was_left(tmp_path: Path) -> None:
    with look.marked("storage", str(tmp_path)):
        assert look.look_at_runs(str(tmp_path)) == []


def test_a_place_that_is_no_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with look.marked("storage", str(tmp_path / "file")) as (place, _, marks):
        pass

    assert place.error == f"{tmp_path / 'file'} is not a folder"
    assert marks == {}


def run_at(storage: Path, name: str, **lease: object) -> None:
    folder = storage / "digits" / name
    (folder / CLAIMS).mkdir(parents=True)
    (folder / CLAIMS / "1").touch()
    (folder / "config.yaml").touch()
    told = {
        "host": "elsewhere",
        "pid": 1,
        "start_time": 1,
        "boot_id": "b",
        "pid_namespace": "n",
        "fence": 1,
        **lease,
    }
    (folder / LEASE).write_text(json.dumps(told))


def test_runs_that_nobody_drives_are_found(tmp_path: Path) -> None:
    now = time.time()
    run_at(tmp_path, "released", renewed_at=None)
    run_at(tmp_path, "lapsed", renewed_at=now - 3600)
    run_at(tmp_path, "driven", renewed_at=now)
    run_at(tmp_path, "finished", renewed_at=None)
    (tmp_path / "digits" / "finished" / "result.json").write_text('{"status": "finished"}')

    found = look.look_at_runs(str(tmp_path))

    assert [(run.name, run.is_unfinished) for run in found] == [
        ("digits/lapsed", True),
        ("digits/released", True),
    ]


def test_a_run_whose_driver_lives_here_is_left_alone(tmp_path: Path) -> None:
    own = Process.current()
    run_at(
        tmp_path,
        "here",
        host=own.host,
        pid=os.getpid(),
        start_time=own.start_time,
        boot_id=own.boot_id,
        pid_namespace=own.pid_namespace,
        renewed_at=time.time(),
    )

    assert look.look_at_runs(str(tmp_path)) == []


@pytest.mark.parametrize(
    ("uri", "environment", "has"),
    [
        ("s3://bucket/p", {}, False),
        ("s3://key:secret@bucket/p", {}, True),
        ("s3://bucket/p?anonymous=true", {}, True),
        ("s3://bucket/p", {"AWS_ACCESS_KEY_ID": "a"}, True),
        ("s3://bucket/p", {"AWS_PROFILE": "team"}, True),
    ],
)
def test_an_account_is_looked_for_where_it_may_be_kept(
    uri: str,
    environment: dict[str, str],
    has: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    for name in [name for name in os.environ if name.startswith(("AWS_", "GOOGLE_"))]:
        monkeypatch.delenv(name)
    for name, text in environment.items():
        monkeypatch.setenv(name, text)

    assert look.has_account(uri) is has


def test_a_cache_below_the_storage_is_no_place_of_its_own(tmp_path: Path) -> None:
    def places(cache: str) -> dict[str, str]:
        data = {"source": "sklearn:digits", "target": "target", "cache": {"path": cache}}
        plain = {"storage": str(tmp_path), "data": data, "model": {"name": "mlp"}}
        settings = Settings.model_validate(plain)
        return look.places_of(settings, look.storage_text(settings, Path("runs")))

    assert places(str(tmp_path / "prepared")) == {"storage": str(tmp_path)}
    assert places("s3://bucket/p")["data.cache.path"] == "s3://bucket/p"


def test_a_storage_at_a_store_is_none_on_a_disk() -> None:
    storage = look.storage_text(None, Path("s3://bucket/runs"))

    assert look.places_of(None, storage)["storage"] == "s3://bucket/runs"
    assert look.disk_folders(None, Path("s3://bucket/runs")) == {}


def test_a_local_ray_gets_a_token_of_its_own_where_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_MODE"):
        monkeypatch.delenv(name, raising=False)

    with look.token_of_its_own():
        given = os.environ["RAY_AUTH_TOKEN"]

    assert len(given) == 32
    assert "RAY_AUTH_TOKEN" not in os.environ
