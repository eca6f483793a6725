"""Which sources a model of the user's own needs, and which of them an import takes."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from distrain.track.source_files import MAX_OTHER_FILE_BYTES
from distrain.track.user_code import (
    find_user_code,
    forget_changed_code,
    save_user_code,
)

TARGET = "own_net:Net"


@pytest.fixture(autouse=True)
def _modules_forgotten() -> Iterator[None]:
    yield
    for name in [name for name in sys.modules if name.startswith("own_")]:
        del sys.modules[name]


def write_net(folder: Path, *, layers: int, source: str = "from own_layers import COUNT\n") -> None:
    folder.mkdir(exist_ok=True)
    (folder / "own_net.py").write_text(source + "Net = object\n")
    (folder / "own_layers.py").write_text(f"COUNT = {layers}\n")


def imported() -> ModuleType:
    forget_changed_code([TARGET])
    return importlib.import_module("own_net")


def test_a_folder_without_init_is_saved_with_what_imports_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_parts").mkdir()
    (tmp_path / "own_parts" / "gate.py").touch()
    (tmp_path / "json").mkdir()  # hidden by the standard library's
    (tmp_path / "json" / "gate.py").touch()
    (tmp_path / "own_net.py").write_text("import json\nfrom own_parts.gate import X\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    assert [path.name for path in find_user_code(TARGET)] == ["own_net.py", "own_parts"]


def test_a_module_of_the_same_name_in_another_folder_is_imported_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, layers in (("a", 1), ("b", 2)):
        write_net(tmp_path / name, layers=layers)
        monkeypatch.syspath_prepend(str(tmp_path / name))
        found = imported().COUNT
        assert found == layers
        assert find_user_code(TARGET)[0].parent == tmp_path / name


def test_an_edited_module_is_imported_again_with_all_that_import_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    write_net(tmp_path, layers=1)
    before = imported()
    assert imported() is before

    write_net(tmp_path, layers=22)

    assert imported().COUNT == 22


def test_what_is_no_python_is_left_for_its_import_to_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    write_net(tmp_path, layers=1, source="def\n")

    with pytest.raises(SyntaxError):
        imported()


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of the user's, and a folder `common` beside it that it may link to."""
    (tmp_path / "common").mkdir()
    (tmp_path / "common" / "layers.py").write_text("import own_extra\nCOUNT = 1\n")
    (tmp_path / "own_extra.py").touch()
    folder = tmp_path / "own_net"
    folder.mkdir()
    (folder / "__init__.py").write_text("Net = object\nWEIGHTS = 'weights.bin'\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return folder


def test_what_a_relative_link_leads_to_is_saved(package: Path, tmp_path: Path) -> None:
    (package / "layers.py").symlink_to("../common/layers.py")

    save_user_code([package], tmp_path / "saved")

    saved = tmp_path / "saved" / "own_net" / "layers.py"
    assert saved.read_text() == "import own_extra\nCOUNT = 1\n"
    assert not saved.is_symlink()


def test_a_linked_folder_is_saved_with_what_its_sources_import(
    package: Path, tmp_path: Path
) -> None:
    (package / "sub").symlink_to(tmp_path / "common")

    found = find_user_code(TARGET)
    names = save_user_code(found, tmp_path / "saved")

    assert names == ["own_extra.py", "own_net"]
    assert (tmp_path / "saved" / "own_net" / "sub" / "layers.py").is_file()


def test_links_that_lead_back_are_followed_once(package: Path, tmp_path: Path) -> None:
    (package / "common").symlink_to(tmp_path / "common")
    (tmp_path / "common" / "back").symlink_to(package)
    (package / "self").symlink_to(".")

    save_user_code([package], tmp_path / "saved")

    saved = tmp_path / "saved" / "own_net"
    assert sorted(path.relative_to(saved).as_posix() for path in saved.rglob("*")) == [
        "__init__.py",
        "common",
        "common/layers.py",
    ]


def test_a_link_to_nowhere_and_hidden_files_are_not_saved(package: Path, tmp_path: Path) -> None:
    (package / "gone.py").symlink_to("nowhere.py")
    (package / ".env").touch()
    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "a.pyc").touch()

    save_user_code(find_user_code(TARGET), tmp_path / "saved")

    assert [path.name for path in (tmp_path / "saved" / "own_net").iterdir()] == ["__init__.py"]


def test_a_large_file_of_a_package_is_saved_with_it(package: Path, tmp_path: Path) -> None:
    content = bytes(MAX_OTHER_FILE_BYTES + 1)
    (package / "weights.bin").write_bytes(content)

    save_user_code([package], tmp_path / "saved")

    assert (tmp_path / "saved" / "own_net" / "weights.bin").read_bytes() == content
