"""Files that somebody else may have written."""

import os
from pathlib import Path

import pytest

from distrain.foreign import (
    from_json,
    is_count,
    is_inner_name,
    is_plain_name,
    is_within,
    read_file,
    remove_tree,
)


@pytest.mark.parametrize("name", ["a", "a.txt", "train-00000.arrow", "_x", "a..b"])
def test_a_plain_name_is_one(name: str) -> None:
    assert is_plain_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../x",
        "/x",
        "a/b",
        "a\\b",
        "a\0b",
        "a\n",
        "-x",
        "~",
        "%2e%2e%2f",
        "a" * 256,
        5,
    ],
)
def test_what_leads_elsewhere_is_no_plain_name(name: object) -> None:
    assert not is_plain_name(name)


@pytest.mark.parametrize(
    ("name", "is_inner"),
    [("a/b.py", True), ("größe.py", True), ("../x", False), ("a/../../x", False), ("/x", False)],
)
def test_an_inner_name_leads_to_no_folder_above(name: str, is_inner: bool) -> None:
    assert is_inner_name(name) == is_inner


def test_a_link_that_leads_out_is_not_within(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "own").touch()
    (inner / "out").symlink_to(tmp_path)
    (inner / "loop").symlink_to(inner / "loop")
    assert is_within(inner / "own", inner)
    assert is_within(inner / "loop", inner)
    assert not is_within(inner / "out", inner)
    assert not is_within(inner / ".." / "other", inner)


@pytest.mark.parametrize("value", [True, -1, 1.0, "1", None, 2**63])
def test_what_counts_nothing_is_no_count(value: object) -> None:
    assert not is_count(value)


def test_json_without_end_is_a_fault_of_its_content() -> None:
    with pytest.raises(ValueError, match="nested too deeply"):
        from_json("[" * 100_000)


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.truncate(10 << 30)
    with pytest.raises(ValueError, match="10,737,418,240 bytes"):
        read_file(tmp_path / "large")


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="no file"):
        read_file(tmp_path / "pipe")


def test_what_a_link_leads_to_stays(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").touch()
    (tmp_path / "link").symlink_to(kept)
    (tmp_path / "file").touch()
    for name in ("link", "file"):
        remove_tree(tmp_path / name)
    assert [path.name for path in tmp_path.rglob("*")] == ["kept", "file"]
