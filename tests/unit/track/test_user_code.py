"""Which sources a model of the user's own needs, and which of them an import takes."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from distrain.track.user_code import find_user_code, forget_changed_code

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
