"""What a run keeps of where it comes from."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from distrain.track import lineage
from distrain.track.git import MAX_DIFF_BYTES, uncommitted
from distrain.track.lineage_folder import lineage_of, sha256, write_lineage
from distrain.track.source_files import MAX_OTHER_FILE_BYTES

MANIFEST = {
    "digest": "d" * 64,
    "format": 1,
    "recipe": {"target": "y"},
    "sources": [{"uri": "s3://key:pass@bucket/a.csv", "num_rows": 3, "sha256": "a" * 64}],
    "splits": {
        "train": {
            "num_rows": 3,
            "shards": [{"file": "f", "num_rows": 3, "sha256": "b" * 64, "num_bytes": 9}],
        }
    },
    "profile": {"age": {"low": 1}},
    "findings": [],
    "transform": {"large": True},
}


def git(folder: Path, *arguments: str) -> None:
    names = ["-c", "user.name=ann", "-c", "user.email=ann@example.org"]
    subprocess.run(["git", "-C", str(folder), *names, *arguments], check=True, capture_output=True)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working tree with a package of the user's, in which the command is given."""
    folder = tmp_path / "project"
    (folder / "nets" / "__pycache__").mkdir(parents=True)
    (folder / "nets" / "__init__.py").write_text("WIDTH = 3\n")
    (folder / "nets" / "words.txt").write_text("a\n")
    (folder / "nets" / "__pycache__" / "a.pyc").write_bytes(b"0")
    git(folder, "init", "-q", "-b", "trunk")
    git(folder, "add", "nets/__init__.py")
    git(folder, "commit", "-q", "-m", "Begin")
    monkeypatch.chdir(folder)
    return folder


def write(folder: Path, config: str = "seed: 1\n") -> str:
    return write_lineage(
        folder,
        config=config,
        manifest=MANIFEST,
        user_code=[Path("nets").absolute()],
        machine=lineage.machine("cpu", []),
    )


def read(folder: Path, name: str) -> Any:
    return json.loads((folder / name).read_text(encoding="utf-8"))


@pytest.mark.usefixtures("here")
def test_a_run_keeps_configuration_data_code_libraries_and_machine(tmp_path: Path) -> None:
    sha = write(tmp_path / "lineage")

    files = read(tmp_path / "lineage", "lineage.json")["files"]
    assert sha256((tmp_path / "lineage" / "lineage.json").read_bytes()) == sha
    assert set(files) == {
        *("config.yaml", "data.json", "code.json", "requirements.txt", "machine.json")
    }
    for name, known in files.items():
        assert sha256((tmp_path / "lineage" / name).read_bytes()) == known
    lock = (tmp_path / "lineage" / "requirements.txt").read_text().splitlines()
    names = [line.partition("==")[0] for line in lock]
    assert names == sorted(names)
    assert any(line.startswith("torch==2.") for line in lock)
    assert read(tmp_path / "lineage", "machine.json")["device"] == "cpu"


@pytest.mark.usefixtures("here")
def test_data_is_kept_with_its_hashes_and_without_credentials(tmp_path: Path) -> None:
    write(tmp_path / "lineage")

    data = read(tmp_path / "lineage", "data.json")
    assert data["splits"]["train"]["shards"] == [{"file": "f", "num_rows": 3, "sha256": "b" * 64}]
    assert data["sources"][0]["sha256"] == "a" * 64
    assert "pass" not in json.dumps(data)
    assert "transform" not in data


@pytest.mark.usefixtures("here")
def test_the_user_s_files_are_kept_where_git_is_too(tmp_path: Path) -> None:
    write(tmp_path / "lineage")

    code = read(tmp_path / "lineage", "code.json")
    kept = tmp_path / "lineage" / "code" / "nets"
    assert set(code["user"]["files"]) == {"nets/__init__.py", "nets/words.txt"}
    assert (kept / "__init__.py").read_text() == "WIDTH = 3\n"
    assert not (kept / "__pycache__").exists()
    assert code["git"]["branch"] == "trunk"
    assert code["distrain"]["files"].keys() >= {"distrain/cli.py"}


def test_a_large_file_beside_the_sources_is_named_but_not_kept(here: Path, tmp_path: Path) -> None:
    (here / "nets" / "weights.bin").write_bytes(bytes(MAX_OTHER_FILE_BYTES + 1))

    write(tmp_path / "lineage")

    user = read(tmp_path / "lineage", "code.json")["user"]
    assert user["left_out"] == {"nets/weights.bin": MAX_OTHER_FILE_BYTES + 1}
    assert "nets/weights.bin" not in user["files"]


def test_what_is_not_committed_is_kept_without_secrets(here: Path, tmp_path: Path) -> None:
    secret = "ghp_" + "a1B2" * 8
    (here / "nets" / "__init__.py").write_text(f"WIDTH = 4\nTOKEN = '{secret}'\n")

    write(tmp_path / "lineage")

    diff = (tmp_path / "lineage" / "uncommitted.diff").read_text()
    assert "+WIDTH = 4" in diff
    assert secret not in diff
    kept = read(tmp_path / "lineage", "code.json")["git"]["uncommitted"]
    assert (kept["is_cut"], kept["num_masked"]) == (False, 1)


def test_what_is_not_committed_needs_no_quotes_to_be_a_secret(here: Path) -> None:
    settings = "password: hunter2\nAPI_KEY=abc123def\nmax_tokens: 5\npassword: ${PASSWORD}\n"
    (here / "nets" / "words.txt").write_text(settings)
    git(here, "add", "nets/words.txt")
    (here / "nets" / "__init__.py").write_text("password = getpass()\nconnect(password='hunter3')")

    found = uncommitted(here)

    assert found is not None
    assert not any(secret in found.text for secret in ("hunter", "abc123def"))
    for kept in ("+max_tokens: 5", "+password: ${PASSWORD}", "+password = getpass()"):
        assert kept in found.text
    assert found.num_masked == 3


def test_a_long_diff_is_cut_and_says_so(here: Path) -> None:
    (here / "nets" / "__init__.py").write_text("A = 1\n" * (MAX_DIFF_BYTES // 6))

    found = uncommitted(here)

    assert found is not None
    assert found.is_cut
    assert len(found.text) < MAX_DIFF_BYTES + 200
    assert f"[cut here: {found.num_bytes:,} bytes in all]" in found.text


@pytest.mark.usefixtures("here")
def test_what_an_earlier_attempt_left_is_found_by_its_hash(tmp_path: Path) -> None:
    folder = tmp_path / "lineage"
    first, again, second = (write(folder, config) for config in ("a: 1\n", "a: 1\n", "a: 2\n"))

    earlier = lineage_of(folder, first)

    assert first == again != second
    assert earlier is not None
    assert (earlier / "config.yaml").read_text() == "a: 1\n"
    assert (earlier / "code" / "nets" / "__init__.py").is_file()
    assert lineage_of(folder, second) == lineage_of(folder, None) == folder
    assert lineage_of(tmp_path / "nothing", None) is None


def test_what_is_installed_is_told_without_reading_each_package_s_metadata() -> None:
    import importlib.metadata

    found = lineage.installed()

    assert found["pydantic"] == importlib.metadata.version("pydantic")
    assert found["ruamel-yaml"] == importlib.metadata.version("ruamel.yaml")
    assert len(found) > 50


def test_all_lines_of_a_key_that_is_not_committed_are_masked(here: Path) -> None:
    key = "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA\n-----END RSA PRIVATE KEY-----"
    (here / "nets" / "__init__.py").write_text(f"KEY = '''{key}'''\nWIDTH = 4\n")

    found = uncommitted(here)

    assert found is not None
    assert "MIIEow" not in found.text
    assert "+WIDTH = 4" in found.text
    assert found.num_masked == 1


def test_what_is_gone_since_an_earlier_attempt_is_not_kept_for_this_one(
    here: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "lineage"
    (here / "nets" / "old.py").write_text("A = 1\n")
    (here / "nets" / "__init__.py").write_text("WIDTH = 4\n")
    before = write(folder)
    (here / "nets" / "old.py").unlink()
    git(here, "commit", "-q", "-a", "-m", "Go on")

    write(folder)

    assert not (folder / "code" / "nets" / "old.py").exists()
    assert not (folder / "uncommitted.diff").exists()
    earlier = lineage_of(folder, before)
    assert earlier is not None
    assert (earlier / "code" / "nets" / "old.py").is_file()
    assert (earlier / "uncommitted.diff").is_file()


def test_an_attempt_that_was_half_copied_when_its_driver_was_killed_is_copied_again(
    here: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "lineage"
    before = write(folder)
    (folder / "earlier" / f"{before[:12]}.partial").mkdir(parents=True)

    write(folder, "seed: 2\n")

    earlier = lineage_of(folder, before)
    assert earlier is not None
    assert (earlier / "config.yaml").read_text() == "seed: 1\n"
    assert here.is_dir()


@pytest.mark.usefixtures("here")
def test_a_link_to_nowhere_beside_the_sources_is_passed_over(tmp_path: Path) -> None:
    Path("nets", "gone.bin").symlink_to("/nowhere/at/all")

    write(tmp_path / "lineage")

    user = read(tmp_path / "lineage", "code.json")["user"]
    assert set(user["files"]) == {"nets/__init__.py", "nets/words.txt"}
