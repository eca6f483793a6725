"""What a dry run reads of a source that is far too large to be read."""

import io
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import fs, parquet

from distrain import dry_run
from distrain.config.load import settings_from_dict
from distrain.data import files, sources
from distrain.data.opening_text import HEAD_BYTES
from distrain.data.units import UNIT_BYTES

NUM_FILES = 20_000
FILE_BYTES = 2**30
NAMES = [f"/data/day-{day:03d}/part-{part:02d}" for day in range(1_000) for part in range(20)]


class Many(fs.FileSystemHandler):
    """A folder of 20 TiB, whose files are all alike, and which counts what is read of it.

    Args:
        ending: of the files' names.
        content: what each of them begins with; the rest is never there.
    """

    def __init__(self, ending: str, content: bytes) -> None:
        self.calls: Counter[str] = Counter()
        self.opened: set[str] = set()
        self._content = content
        self._infos = [
            fs.FileInfo(name + ending, fs.FileType.File, size=FILE_BYTES) for name in NAMES
        ]

    def get_type_name(self) -> str:
        return "many"

    def normalize_path(self, path: str) -> str:
        return path

    def get_file_info(self, paths: list[str]) -> list[fs.FileInfo]:
        self.calls["looks"] += len(paths)
        return [fs.FileInfo(path, fs.FileType.Directory) for path in paths]

    def get_file_info_selector(self, selector: fs.FileSelector) -> list[fs.FileInfo]:
        assert selector.recursive
        self.calls["listings"] += 1
        return self._infos

    def open_input_file(self, path: str) -> pa.NativeFile:
        self.opened.add(path)
        self.calls["openings"] += 1
        return pa.PythonFile(Counting(self._content, self.calls), mode="r")

    def open_input_stream(self, path: str) -> pa.NativeFile:
        return self.open_input_file(path)

    def _refuse(self, *_: object) -> Any:
        raise AssertionError("a dry run writes nothing")

    create_dir = delete_dir = delete_dir_contents = delete_root_dir_contents = _refuse
    delete_file = move = copy_file = open_output_stream = open_append_stream = _refuse


class Counting(io.BytesIO):
    """A file that counts the bytes that are read of it."""

    def __init__(self, content: bytes, calls: Counter[str]) -> None:
        super().__init__(content)
        self._calls = calls

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self._calls["bytes"] += len(data)
        return data


def csv() -> bytes:
    return b"a,b,label\n" + b"0.25,17,x\n0.5,4,y\n" * (HEAD_BYTES // 8)


def parquet_file() -> bytes:
    table = pa.table({"a": [0.25, 0.5] * 500, "b": [17, 4] * 500, "label": ["x", "y"] * 500})
    written = pa.BufferOutputStream()
    parquet.write_table(table, written)
    content: bytes = written.getvalue().to_pybytes()
    return content


@pytest.mark.parametrize(
    ("ending", "content", "most_opened", "most_bytes"),
    [(".csv", csv(), 1, 4 * HEAD_BYTES + UNIT_BYTES), (".parquet", parquet_file(), 16, 20 * 2**16)],
    ids=["csv", "parquet"],
)
def test_of_terabytes_in_many_files_the_beginning_is_read_and_the_folder_is_listed_once(
    ending: str,
    content: bytes,
    most_opened: int,
    most_bytes: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    many = Many(ending, content)
    system = fs.PyFileSystem(many)
    for module in (files, sources):
        monkeypatch.setattr(module, "filesystem_of", lambda uri: (system, uri))
    monkeypatch.setattr("distrain.workplace.is_connected", lambda: False)
    settings = settings_from_dict(
        {
            "data": {"source": "/data", "target": "label", "task": "classification"},
            "storage": str(tmp_path / "runs"),
        }
    )
    began = time.monotonic()

    found = dry_run.estimate(settings, is_offline=True)

    assert time.monotonic() - began < 60
    assert many.calls["listings"] == 1
    assert many.calls["looks"] == 1
    assert len(many.opened) <= most_opened
    assert many.calls["openings"] <= most_opened + 3
    assert 0 < many.calls["bytes"] <= most_bytes
    assert found.data.startswith(f"{NUM_FILES * FILE_BYTES / 2**20:,.1f} MiB, 3 columns")
    assert sum(found.rows.values()) >= NUM_FILES * 1_000
    assert found.train_s
    assert "rows, the data not being prepared" in found.how
    assert not (tmp_path / "runs").exists()
