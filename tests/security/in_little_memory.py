"""Reads forged files in a process that can have little more memory, and tells what came of each.

    python -m tests.security.in_little_memory FOLDER

For each case a line: its name, and the error's kind or `returned`.
"""

import gzip
import json
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from distrain.config.data import ReadSettings
from distrain.config.load import load_settings
from distrain.data.csv_files import read_csv_unit
from distrain.data.opening import open_source
from distrain.data.prepared import PreparedDataset
from distrain.data.reading import FileLog
from distrain.data.units import cut_into_units
from distrain.errors import DistrainError
from distrain.track.journal_reading import read_journal, written_by
from distrain.track.packaged import Predictor
from distrain.train.checkpoint import SavedState, commit, sha256_of
from distrain.train.taking_up import find
from tests.example_models import people_transform, save_example

ROOM: Final = 1 << 30
HUGE: Final = 16 << 30

Case = Callable[[Path], Callable[[], Any]]


def grown(path: Path) -> None:
    """Let a file claim far more than the memory; it takes no room on the disk."""
    with path.open("r+b") as file:
        file.truncate(HUGE)


def checkpoint_manifest(folder: Path) -> Callable[[], Any]:
    grown(commit(folder, SavedState(1, {}, {}, {})) / "manifest.json")
    return lambda: find(folder, keeps_tensors=True)


def checkpoint_claim(folder: Path) -> Callable[[], Any]:
    path = commit(folder, SavedState(1, {}, {}, {})) / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest.pop("sha256")
    manifest["files"]["state.safetensors"]["num_bytes"] = HUGE
    manifest["sha256"] = sha256_of(manifest)
    path.write_text(json.dumps(manifest))
    return lambda: find(folder, keeps_tensors=True)


def model_description(folder: Path) -> Callable[[], Any]:
    grown(save_example(folder / "model", people_transform()) / "model.json")
    return lambda: Predictor.load(folder / "model")


def model_layers(folder: Path) -> Callable[[], Any]:
    path = save_example(folder / "model", people_transform()) / "model.json"
    description = json.loads(path.read_text())
    description["model"]["hidden"] = [1 << 20, 1 << 20]
    path.write_text(json.dumps(description))
    return lambda: Predictor.load(folder / "model")


def dataset_shard(folder: Path) -> Callable[[], Any]:
    """A shard of some kilobytes that unpacks to gigabytes."""
    zeros = pa.array(np.zeros(1 << 28, np.int64))
    (folder / "shards").mkdir(parents=True)
    path = folder / "shards" / "train.arrow"
    batch = pa.record_batch([zeros], names=["y"])
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with (
        pa.OSFile(str(path), "wb") as file,
        pa.ipc.new_file(file, batch.schema, options=options) as writer,
    ):
        writer.write_batch(batch)
    shard = {"file": path.name, "num_rows": 9, "sha256": "0" * 64}
    shard["num_bytes"] = path.stat().st_size
    splits = {"train": {"shards": [shard]}, "validation": {"shards": []}, "test": {"shards": []}}
    columns = {"y": {"dtype": "int64", "shape": []}}
    manifest = {"format": 1, "splits": splits, "columns": columns, "transform": {}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return lambda: PreparedDataset.open(folder).split("train").slice(0, 9)


def journal_line(folder: Path) -> Callable[[], Any]:
    folder.mkdir()
    (folder / "driver-00001.jsonl").touch()
    grown(folder / "driver-00001.jsonl")
    return lambda: (read_journal(folder, {}, max_bytes=1 << 20), list(written_by("driver", folder)))


def packed_rows(folder: Path) -> Callable[[], Any]:
    folder.mkdir()
    path = folder / "rows.csv.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(b"a,b\n")
        for _ in range(48):
            file.write(b"1,%s\n" % (b"2" * (1 << 25)))

    def read() -> None:
        opened = open_source(str(path), None, ReadSettings())
        for unit in cut_into_units(opened.listing, opened.reading):
            for _ in read_csv_unit(unit, opened.reading, FileLog()):
                pass

    return read


def configuration(folder: Path) -> Callable[[], Any]:
    folder.mkdir()
    (folder / "run.yaml").touch()
    grown(folder / "run.yaml")
    return lambda: load_settings([folder / "run.yaml"])


CASES: Final[tuple[Case, ...]] = (
    checkpoint_manifest,
    checkpoint_claim,
    model_description,
    model_layers,
    dataset_shard,
    journal_line,
    packed_rows,
    configuration,
)


def main() -> None:
    """Make all files, bound the memory, and read them."""
    ready = {case.__name__: case(Path(sys.argv[1]) / case.__name__) for case in CASES}
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    bound = pages * resource.getpagesize() + ROOM
    resource.setrlimit(resource.RLIMIT_AS, (bound, bound))
    for name, read in ready.items():
        try:
            read()
            sys.stdout.write(f"{name} returned\n")
        except DistrainError as error:
            sys.stdout.write(f"{name} {type(error).__name__}\n")


if __name__ == "__main__":
    main()
