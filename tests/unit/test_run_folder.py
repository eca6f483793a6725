"""The folder of a run: where it may lie, and the result in it."""

import json
import math
from pathlib import Path

import pytest

from distrain.errors import ConfigError
from distrain.run_folder import check_folder, temporary_folder, write_result


def test_numbers_that_json_cannot_hold_are_null_in_the_result(tmp_path: Path) -> None:
    write_result(tmp_path, {"metrics": {"loss": math.nan, "f1": 0.5}, "rows": [math.inf]})

    stored = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert stored == {"metrics": {"loss": None, "f1": 0.5}, "rows": [None]}


def test_a_folder_that_can_be_made_is_not_made_yet(tmp_path: Path) -> None:
    check_folder(tmp_path / "a" / "b", key="storage")

    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way_is_told_with_the_key(tmp_path: Path) -> None:
    (tmp_path / "a").touch()

    with pytest.raises(ConfigError, match=r"a is not a folder.*Name another folder: storage=PATH"):
        check_folder(tmp_path / "a" / "b", key="storage")


def test_a_temporary_folder_goes_with_what_was_made_for_it(tmp_path: Path) -> None:
    with temporary_folder(tmp_path / "a" / "b", "test") as folder:
        (folder / "file").touch()
        assert folder.parent == tmp_path / "a" / "b"
        assert folder.name.startswith(".test-")

    assert list(tmp_path.iterdir()) == []


def test_a_temporary_folder_leaves_what_came_beside_it(tmp_path: Path) -> None:
    with temporary_folder(tmp_path / "a" / "b", "test"):
        (tmp_path / "a" / "other").touch()

    assert [path.name for path in (tmp_path / "a").iterdir()] == ["other"]
