"""Secrets in the user's own code: told by file and line, before anything starts."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from distrain.errors import ModelError
from distrain.track.code_secrets import check_no_secrets

KEY = "AKIA" + "IOSFODNN7EXAMPLE"


@pytest.fixture(autouse=True)
def _modules_forgotten() -> Iterator[None]:
    yield
    for name in [name for name in sys.modules if name.startswith("kept_")]:
        del sys.modules[name]


def write_code(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(exist_ok=True)
        path.with_suffix(".py").write_text(text)


def test_code_without_secrets_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_code(tmp_path, kept_net="import os\nKEY = os.environ['API_KEY']\nNet = object\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    check_no_secrets(["kept_net:Net", "torch.nn:Linear"])


def test_a_secret_in_what_a_module_imports_is_told_by_file_and_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_code(tmp_path, kept_net="import kept_keys\n", kept_keys=f"\nKEY = '{KEY}'\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    with pytest.raises(ModelError, match=r"an AWS access key \(.*/kept_keys\.py:2\)") as caught:
        check_no_secrets(["kept_net:Net"])

    assert KEY not in str(caught.value)
    assert "os.environ['NAME']" in caught.value.mend


def test_files_beside_the_code_of_a_package_are_looked_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_code(tmp_path, kept_pack____init__="Net = object\n")
    (tmp_path / "kept_pack" / "settings.json").write_text('{"password": "pass4word"}')
    (tmp_path / "kept_pack" / ".env").write_text(KEY)
    (tmp_path / "kept_pack" / "weights.bin").write_bytes(bytes(range(256)) * 9000)
    monkeypatch.syspath_prepend(str(tmp_path))

    with pytest.raises(ModelError, match=r"a secret given to password \(.*settings\.json:1\)\."):
        check_no_secrets(["kept_pack:Net"])


def test_a_large_notebook_is_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_code(tmp_path, kept_pack____init__="Net = object\n")
    plot = '"image/png": "' + "iVBORw0KGgo" * 200_000 + '",\n'
    (tmp_path / "kept_pack" / "look.ipynb").write_text(f'{plot}"source": ["key = {KEY}"]')
    monkeypatch.syspath_prepend(str(tmp_path))

    with pytest.raises(ModelError, match=r"an AWS access key \(.*look\.ipynb:2\)"):
        check_no_secrets(["kept_pack:Net"])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("settings.yaml", "user: ann\npassword: hunter\n"),
        ("keys.py", "\nconnect(password='hunter')\n"),
        ("keys.py", "import os\nos.environ['API_KEY'] = 'abc123def'\n"),
    ],
)
def test_a_secret_is_refused_however_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    write_code(tmp_path, kept_pack____init__="Net = object\n")
    (tmp_path / "kept_pack" / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))

    with pytest.raises(ModelError, match=rf"a secret given to .*{name}:2\)") as caught:
        check_no_secrets(["kept_pack:Net"])

    assert "allowlist secret" in caught.value.mend


def test_only_the_first_of_many_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_code(tmp_path, kept_net=f"KEY = '{KEY}'\n" * 9)
    monkeypatch.syspath_prepend(str(tmp_path))

    with pytest.raises(ModelError, match=r"kept_net\.py:5\) and 4 more\."):
        check_no_secrets(["kept_net:Net"])


def test_a_source_is_looked_into_whatever_its_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = "#" * (1 << 20)
    write_code(tmp_path, kept_net=f"{lines}\nKEY = '{KEY}'\nNet = object\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    with pytest.raises(ModelError, match=r"an AWS access key \(.*kept_net\.py:2\)"):
        check_no_secrets(["kept_net:Net"])


def test_a_folder_that_a_package_links_to_is_looked_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_code(tmp_path, kept_pack____init__="Net = object\n", shared__keys=f"KEY = '{KEY}'\n")
    (tmp_path / "kept_pack" / "sub").symlink_to(tmp_path / "shared")
    monkeypatch.syspath_prepend(str(tmp_path))

    with pytest.raises(ModelError, match=r"kept_pack/sub/keys\.py:1\)"):
        check_no_secrets(["kept_pack:Net"])
