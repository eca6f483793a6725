"""Files of every format on a real Ray: the same rows give the same shards, weights, predictions."""

import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distrain.config.data import DataSettings
from distrain.data.prepare import Prepared, prepare
from tests.command_line import run_in_process
from tests.file_formats import TABLES, write_image_folder, write_image_table, write_json_lines

pytestmark = [
    pytest.mark.usefixtures("ray_local"),
    # Ray 2.60 sets options that it calls deprecated itself, and leaves sockets to the collector.
    pytest.mark.filterwarnings("ignore:::ray"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

DRAW = np.random.default_rng(5)
NUM_ROWS = 60
ROWS: Mapping[str, Sequence[Any]] = {
    "age": [int(value) for value in DRAW.integers(18, 90, NUM_ROWS)],
    "share": [float(value) for value in DRAW.standard_normal(NUM_ROWS)],
    "city": [("Bern", "Oslo", "Rome")[value] for value in DRAW.integers(0, 3, NUM_ROWS)],
    "member": [bool(value) for value in DRAW.integers(0, 2, NUM_ROWS)],
    "income": [("low", "high")[value] for value in DRAW.integers(0, 2, NUM_ROWS)],
    "hours": [float(value) for value in DRAW.normal(40, 5, NUM_ROWS)],
}
TARGETS = {"classification": "income", "regression": "hours"}
IMAGES = DRAW.integers(0, 256, (NUM_ROWS, 6, 5), dtype=np.uint8)
DIGITS = sorted(int(value) for value in DRAW.integers(0, 3, NUM_ROWS))
WORDS = ("plot", "film", "dull", "great", "actors", "story", "long", "sharp", "tender", "noise")
REVIEWS = [" ".join(DRAW.choice(WORDS, 12)) + f" {number}" for number in range(NUM_ROWS)]
OPINIONS = ["bad"] * 30 + ["good"] * 30
QUICK = ("train.num_workers=1", "train.epochs=2", "model.hidden=[4]", "track.register.model=m")


def write_idx(folder: Path) -> dict[str, Any]:
    header = struct.pack(">4I", 2051, *IMAGES.shape)
    (folder / "images").write_bytes(header + IMAGES.tobytes())
    (folder / "labels").write_bytes(struct.pack(">2I", 2049, NUM_ROWS) + bytes(DIGITS))
    return {"source": {"idx": {"images": f"{folder}/images", "labels": f"{folder}/labels"}}}


def write_npz(folder: Path) -> dict[str, Any]:
    np.savez_compressed(folder / "a.npz", x_train=IMAGES, y_train=np.array(DIGITS), other=[1])
    arrays = {"image": "x_train", "label": "y_train"}
    return {"source": f"{folder}/a.npz", "read": {"arrays": arrays}}


def write_folders(folder: Path) -> dict[str, Any]:
    write_image_folder(folder / "images", IMAGES, DIGITS)
    return {"source": f"{folder}/images"}


def write_parquet(folder: Path) -> dict[str, Any]:
    write_image_table(folder / "a.parquet", IMAGES, DIGITS)
    return {"source": f"{folder}/a.parquet"}


def write_text_files(folder: Path) -> dict[str, Any]:
    for number, (text, label) in enumerate(zip(REVIEWS, OPINIONS, strict=True)):
        path = folder / "text" / label / f"{number:03d}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return {"source": f"{folder}/text", "format": "text"}


def write_text_lines(folder: Path) -> dict[str, Any]:
    for label, part in (("bad", REVIEWS[:30]), ("good", REVIEWS[30:])):
        (folder / f"{label}.txt").write_text("\n".join(part))
    return {"source": f"{folder}/*.txt", "format": "text", "read": {"example": "line"}}


def write_texts(folder: Path) -> dict[str, Any]:
    write_json_lines(folder / "a.jsonl", {"text": REVIEWS, "label": OPINIONS})
    return {"source": f"{folder}/a.jsonl"}


PICTURES = {"idx": write_idx, "npz": write_npz, "folders": write_folders, "bytes": write_parquet}
TEXTS = {"files": write_text_files, "lines": write_text_lines, "jsonl": write_texts}


def hashes(prepared: Prepared) -> list[str]:
    return [shard.sha256 for shard in prepared.dataset.shards()]


FEW = ("rows.csv", "rows.jsonl", "rows.npz")
CASES = [
    pytest.param("classification", FEW, id="few"),
    pytest.param("classification", tuple(TABLES), id="classification", marks=pytest.mark.long),
    pytest.param("regression", tuple(TABLES), id="regression", marks=pytest.mark.long),
]


@pytest.mark.slow
@pytest.mark.parametrize(("task", "names"), CASES)
def test_same_rows_give_the_same_shards_in_every_format(
    tmp_path: Path, task: str, names: Sequence[str]
) -> None:
    found = {}
    for name in names:
        TABLES[name](tmp_path / name, ROWS)
        data = {"source": str(tmp_path / name), "target": TARGETS[task], "task": task}
        found[name] = hashes(prepare(DataSettings(**data), cache=tmp_path / "cache"))
    assert len(found["rows.csv"]) == 3
    assert found == dict.fromkeys(names, found["rows.csv"])


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("kinds", [PICTURES, TEXTS], ids=["images", "text"])
def test_same_examples_give_the_same_shards_however_they_are_stored(
    tmp_path: Path, kinds: Mapping[str, Any]
) -> None:
    found = []
    for kind, write in kinds.items():
        (tmp_path / kind).mkdir()
        data = DataSettings(target="label", task="classification", **write(tmp_path / kind))
        found.append(hashes(prepare(data, cache=tmp_path / "cache")))
    assert len(found[0]) == 3
    assert found == [found[0]] * len(kinds)


def command(folder: Path, *words: str) -> dict[str, Any]:
    ended = run_in_process([*words, "--json"], folder)
    assert ended.code == 0, ended.stderr
    answer: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return answer


def trained_and_used(folder: Path, data: Mapping[str, Any]) -> tuple[str, list[Any]]:
    """Train, register and predict from the same source, and return the weights' hash and rows."""
    folder.mkdir(exist_ok=True)
    (folder / "run.yaml").write_text(json.dumps({"data": data}))
    trained = command(folder, "train", "run.yaml", *QUICK)
    assert trained["model"]["version"] is not None
    told = command(
        folder, "predict", trained["run_dir"], "--data", str(data["source"]), "--out", "out.jsonl"
    )
    assert told["num_rows"] == NUM_ROWS
    rows = [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()]
    return trained["weights_sha256"], [row["prediction"] for row in rows]


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("task", TARGETS)
def test_every_format_trains_registers_and_predicts_alike(tmp_path: Path, task: str) -> None:
    found = []
    for name, write in TABLES.items():
        write(tmp_path / name, ROWS)
        data = {"source": str(tmp_path / name), "target": TARGETS[task], "task": task}
        found.append(trained_and_used(tmp_path / f"in {name}", data))
    assert found == [found[0]] * len(TABLES)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("kind", [write_npz, write_folders, write_parquet])
def test_images_train_register_and_predict(tmp_path: Path, kind: Any) -> None:
    data = {"target": "label", "task": "classification", **kind(tmp_path)}
    assert len(trained_and_used(tmp_path, data)[1]) == NUM_ROWS


@pytest.mark.slow
@pytest.mark.long
def test_text_trains_registers_and_predicts_alike(tmp_path: Path) -> None:
    found = []
    for kind, write in TEXTS.items():
        (tmp_path / kind).mkdir()
        data = {"target": "label", **write(tmp_path / kind)}
        found.append(trained_and_used(tmp_path / kind, data))
    assert found == [found[0]] * len(TEXTS)
