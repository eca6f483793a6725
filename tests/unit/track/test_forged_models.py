"""Packaged models that somebody has forged: refused in words, and nothing of them is run."""

import json
import os
import pickle
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distrain.errors import ModelError
from distrain.evaluate.seen_rows import SEEN_ROWS, SeenRows
from distrain.track.packaged import Predictor, read_source
from tests.example_models import people_transform, save_example

Description = dict[str, Any]


class Payload:
    """What leaves a trace where it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("unpickled",)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return save_example(tmp_path / "model", people_transform())


def setting(key: str, value: object) -> Callable[[Description], object]:
    return lambda description: description.update({key: value})


def layers(hidden: list[int]) -> Callable[[Description], object]:
    return lambda description: description["model"].update(hidden=hidden)


DESCRIPTIONS = {
    "code from above": (setting("user_code", ["../../../../usr"]), "user_code"),
    "code by its whole path": (setting("user_code", ["/usr/lib/json"]), "user_code"),
    "code that is a number": (setting("user_code", [5]), "user_code"),
    "code of a model that has none": (setting("user_code", ["torch.py"]), "brings code"),
    "no transform": (setting("transform", None), "transform"),
    "another transform": (setting("transform", {"features": 5}), "other fields"),
    "a model that is none": (setting("model", "mlp"), "model is"),
    "a model of other fields": (layers(["x"]), "other fields"),  # type: ignore[list-item]
    "a million threads": (setting("threads", 10**6), "threads"),
    "layers of terabytes": (layers([1 << 20, 1 << 20]), "shape"),
    "a million layers": (layers([1] * 10**6), "more layers"),
}


@pytest.mark.parametrize(("change", "told"), DESCRIPTIONS.values(), ids=DESCRIPTIONS)
def test_a_description_of_something_else_is_refused(
    folder: Path, change: Callable[[Description], object], told: str
) -> None:
    description = json.loads((folder / "model.json").read_text())
    change(description)
    (folder / "model.json").write_text(json.dumps(description))
    with pytest.raises(ModelError, match=told) as caught:
        Predictor.load(folder)
    assert all((caught.value.where, caught.value.expected, caught.value.mend))


def test_a_file_beside_a_model_stands_in_for_no_library(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "user_code").mkdir()
    (folder / "user_code" / "a_library.py").write_text("raise SystemExit\n")
    seen: list[str] = []
    build = sys.modules["distrain.track.packaged"].build_model  # type: ignore[attr-defined]

    def watched(*args: Any, **named: Any) -> Any:
        seen.extend(sys.path)
        return build(*args, **named)

    monkeypatch.setattr("distrain.track.packaged.build_model", watched)
    Predictor.load(folder)
    assert seen
    assert str(folder / "user_code") not in seen


def large(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(10 << 30)


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def holding(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


FILES = {
    "a description without end": ("model.json", holding(b"[" * 100_000)),
    "a description of gigabytes": ("model.json", large),
    "weights that are a pickle": ("model.safetensors", holding(pickle.dumps(Payload()))),
    "weights with a header of 2^60 bytes": (
        "model.safetensors",
        holding(struct.pack("<Q", 1 << 60)),
    ),
    "weights that are a pipe": ("model.safetensors", pipe),
}


@pytest.mark.parametrize(("name", "change"), FILES.values(), ids=FILES)
def test_a_file_that_is_something_else_is_refused(
    folder: Path, name: str, change: Callable[[Path], object]
) -> None:
    change(folder / name)
    with pytest.raises(ModelError, match=r"cannot be read|no model can be read"):
        Predictor.load(folder)
    assert not Path("unpickled").exists()


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 1}', "[" * 100_000])
def test_a_source_that_is_none_is_refused(folder: Path, text: str) -> None:
    (folder / "source.json").write_text(text)
    with pytest.raises(ModelError, match="cannot be read"):
        read_source(folder)


def array_file(shape: str, content: bytes = b"") -> bytes:
    header = f"{{'descr': '<u8', 'fortran_order': False, 'shape': ({shape},), }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + content


ROWS = {
    "more than there are": array_file("1342177280", bytes(100)),
    "more than there can be": array_file("1152921504606846976"),
    "none": array_file("0"),
    "one in none": array_file("2", bytes(16)),
    "no file of arrays": b"PK",
}


@pytest.mark.parametrize("content", ROWS.values(), ids=ROWS)
def test_rows_that_are_not_there_are_refused(folder: Path, content: bytes) -> None:
    (folder / SEEN_ROWS).write_bytes(content)
    with pytest.raises(ModelError, match="rows that it was trained on cannot be read"):
        SeenRows.load(folder)


def test_rows_are_not_unpickled(folder: Path) -> None:
    np.save(folder / SEEN_ROWS, np.array([Payload()], dtype=object), allow_pickle=True)
    with pytest.raises(ModelError, match="rows that it was trained on cannot be read"):
        SeenRows.load(folder)
    assert not Path("unpickled").exists()
