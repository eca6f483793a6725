"""Listings that decisions hang on: none is empty because it failed."""

from pathlib import Path

import pytest

from distrain.listing import has_come, is_there, paths_in
from tests.failing_storage import refusing_to_list, remembering_what_was_not_there


def test_names_come_in_order_and_those_with_a_dot_are_among_them(tmp_path: Path) -> None:
    for name in ("b-2", ".b-1", "a"):
        (tmp_path / name).touch()
    assert [path.name for path in paths_in(tmp_path)] == [".b-1", "a", "b-2"]
    assert paths_in(tmp_path, "*b-?") == [tmp_path / ".b-1", tmp_path / "b-2"]


def test_where_there_is_no_folder_nothing_lies_in_it(tmp_path: Path) -> None:
    assert paths_in(tmp_path / "none") == []


def test_a_listing_that_fails_is_not_empty(tmp_path: Path) -> None:
    with refusing_to_list(tmp_path), pytest.raises(PermissionError):
        paths_in(tmp_path)


def test_what_is_below_a_file_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    assert is_there(tmp_path / "a")
    assert not is_there(tmp_path / "a" / "b")
    assert not is_there(tmp_path / "b")


def test_what_cannot_be_told_is_raised(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="too long"):
        is_there(tmp_path / ("a" * 300))


def test_what_another_host_has_made_is_there_for_who_waits(tmp_path: Path) -> None:
    with remembering_what_was_not_there():
        assert not has_come(tmp_path / "a")
        (tmp_path / "a").touch()
        assert not is_there(tmp_path / "a")
        assert has_come(tmp_path / "a")


def test_nothing_has_come_where_there_is_no_folder(tmp_path: Path) -> None:
    assert not has_come(tmp_path / "none" / "a")
