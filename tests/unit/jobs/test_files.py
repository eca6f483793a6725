"""Which files go along with a job, and which an ignore file keeps here."""

from pathlib import Path

import pytest

from distrain.jobs.files import Ignoring, folder_files, module_files


@pytest.fixture
def package(tmp_path: Path) -> Path:
    for name in ("net/__init__.py", "net/block.py", "net/notes.txt", "net/deep/more.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x = 1\n", encoding="utf-8")
    return tmp_path / "net"


def test_a_package_goes_along_whole(package: Path) -> None:
    kept, left_out = module_files(package)

    assert set(kept) == {
        "net/__init__.py",
        "net/block.py",
        "net/notes.txt",
        "net/deep/more.py",
    }
    assert left_out == []


@pytest.mark.parametrize("name", [".gitignore", ".rayignore"])
def test_an_ignore_file_keeps_files_here(package: Path, name: str) -> None:
    (package.parent / name).write_text("*.txt\n", encoding="utf-8")

    kept, left_out = module_files(package)

    assert left_out == ["net/notes.txt"]
    assert "net/notes.txt" not in kept


def test_the_deepest_pattern_decides(package: Path) -> None:
    (package.parent / ".gitignore").write_text("*.txt\n", encoding="utf-8")
    (package / ".gitignore").write_text("!notes.txt\n", encoding="utf-8")

    assert "net/notes.txt" in module_files(package)[0]


def test_what_lies_in_an_ignored_folder_stays_here(package: Path) -> None:
    (package.parent / ".gitignore").write_text("deep/\n", encoding="utf-8")
    (package / "deep" / ".gitignore").write_text("!more.py\n", encoding="utf-8")

    assert module_files(package)[1] == ["net/deep/more.py"]


def test_the_ignore_file_at_the_top_of_the_working_tree_counts(package: Path) -> None:
    (package.parent / ".git").mkdir()
    (package.parent / ".gitignore").write_text("/net/deep/\n", encoding="utf-8")

    assert Ignoring(package).ignores(package / "deep" / "more.py")


def test_a_folder_goes_along_but_for_what_is_never_sent(tmp_path: Path) -> None:
    for name in ("a.py", ".hidden", ".git/config", "venv/x.py", "b/__pycache__/a.pyc", "b/c.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x", encoding="utf-8")

    assert set(folder_files(tmp_path)) == {"a.py", ".hidden", "b/c.csv"}
