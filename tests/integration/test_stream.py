"""`data.ingest: stream` on a real Ray: the rows, the order and the bits of a prepared dataset."""

import json
import os
import shutil
import threading
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
import ray
from ray.util import list_named_actors

from distrain.config.data import DataSettings
from distrain.data import recipe, units
from distrain.data.loader import Loader, check_room
from distrain.data.plan import Plan
from distrain.data.prepare import Prepared, prepare
from distrain.data.prepared import PreparedDataset
from distrain.data.recipe import Streamed, streamed_files
from distrain.data.shard_cache import ShardCache
from distrain.data.shards import PROBE_FILE
from distrain.data.stream_on_ray import HubFeed, streaming
from distrain.data.streamed import Feed, OwnFeed, streamed_split
from distrain.data.worker_parts import WorkerParts
from distrain.errors import DataError
from distrain.evaluate.seen_rows import SEEN_ROWS, rows_of_streamed, seen_rows
from distrain.train.job import TrainJob
from distrain.train.loop import train
from distrain.train.world import World
from tests.command_line import run_in_process

pytestmark = [
    pytest.mark.usefixtures("ray_local"),
    # Ray 2.60 sets options that it calls deprecated itself, and leaves sockets to the collector.
    pytest.mark.filterwarnings("ignore:::ray"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

NUM_ROWS = 3000
NUM_FILES = 6
SEED = 3


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six files of 500 rows, a unit each, in CSV and in Parquet."""
    draw = np.random.default_rng(0)
    numbers = draw.standard_normal(NUM_ROWS)
    table = pa.table(
        {
            "a": pa.array(numbers, mask=draw.random(NUM_ROWS) < 0.05),
            "b": pa.array(draw.integers(-5, 5, NUM_ROWS)),
            "c": pa.array(draw.choice(["red", "green", ""], NUM_ROWS)),
            "w": pa.array(draw.random(NUM_ROWS) + 0.5),
            "label": pa.array(np.where(numbers > 0.5, "yes", "no")),
        }
    )
    for kind in ("csv", "parquet"):
        (tmp_path / kind).mkdir()
    rows = NUM_ROWS // NUM_FILES
    for number in range(NUM_FILES):
        part = table.slice(number * rows, rows)
        pyarrow.csv.write_csv(part, tmp_path / "csv" / f"{number}.csv")
        pyarrow.parquet.write_table(part, tmp_path / "parquet" / f"{number}.parquet")
    return tmp_path


@pytest.fixture
def small_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(units, "UNIT_BYTES", 30_000)


@pytest.fixture
def small_windows(monkeypatch: pytest.MonkeyPatch, small_units: None) -> None:
    monkeypatch.setattr(recipe, "WINDOW_ROWS", 900)


def prepared(folder: Path, kind: str = "csv", **changes: Any) -> Prepared:
    data = {"source": str(folder / kind), "target": "label", **changes}
    return prepare(DataSettings.model_validate(data), cache=folder / "cache")


def streamed(folder: Path, kind: str = "csv", **changes: Any) -> Prepared:
    return prepared(folder, kind, ingest="stream", **changes)


def rows_of(data: Prepared, feed: Feed, ends: tuple[int, int], own: range = range(4)) -> list[int]:
    """Return the rows of some steps, compared with what their file holds."""
    stream = Streamed(data.dataset)
    plan = Plan(data.rows["train"], 100, 4, 1, SEED, stream.blocks)
    rows: list[int] = []
    with Loader(streamed_split(stream, feed), WorkerParts(plan, own)).batches(*ends) as batches:
        for batch in batches:
            rows += [int(row) for part in batch.parts for row in part.indices]
    return rows


def steps_per_epoch(data: Prepared) -> int:
    return -(-data.rows["train"] // 100)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"weight": "w", "clean": {"deduplicate": True, "outliers": "clip", "missing": "drop"}},
        {"split": {"kind": "hash", "column": "b"}, "features": {"a": {"scale": "log"}}},
    ],
)
def test_what_is_streamed_is_what_would_have_been_written(
    folder: Path, small_units: None, kind: str, changes: dict[str, Any]
) -> None:
    written, left = prepared(folder, kind, **changes), streamed(folder, kind, **changes)
    assert left.dataset.manifest["splits"] == written.dataset.manifest["splits"]
    assert left.digest != written.digest
    stream = Streamed(left.dataset)
    train = written.dataset.split("train")
    with Loader(
        streamed_split(stream, OwnFeed(stream, SEED)),
        WorkerParts(Plan(train.num_rows, 256, 4, 1, SEED, stream.blocks), range(4)),
    ).batches(0, 3) as batches:
        for part in (part for batch in batches for part in batch.parts):
            expected = train.take(part.indices)
            assert np.array_equal(part.rows.x.numpy(), expected["x"])
            assert np.array_equal(part.rows.y.numpy(), expected["y"])


@pytest.mark.slow
def test_no_training_row_is_below_the_storage(folder: Path, small_units: None) -> None:
    left = streamed(folder)
    names = [path.name for path in Path(left.dataset.path, "shards").iterdir()]
    # But for the two that a run is tried with.
    assert [name for name in names if "train" in name and name.endswith(".arrow")] == [PROBE_FILE]
    found = next(found for found in left.findings if found["kind"] == "streamed")
    assert f"{left.rows['train']:,} training rows stay in the 6 files" in found["message"]


@pytest.mark.slow
def test_a_hub_gives_each_row_once_to_workers_that_begin_anywhere(
    folder: Path, small_windows: None
) -> None:
    left = streamed(folder)
    ends = (0, 2 * steps_per_epoch(left))
    whole = rows_of(left, OwnFeed(Streamed(left.dataset), SEED), ends)
    assert sorted(whole) == sorted([*range(left.rows["train"])] * 2)
    path, middle = str(left.dataset.path), steps_per_epoch(left) // 2
    with streaming(path, SEED, 1) as hub:
        assert rows_of(left, HubFeed(hub, 0), (middle, ends[1])) == whole[100 * middle :]
    found: dict[int, list[int]] = {}
    with streaming(path, SEED, 2) as hub:

        def take(rank: int) -> None:
            own = range(2 * rank, 2 * rank + 2)
            found[rank] = rows_of(left, HubFeed(hub, rank), ends, own)

        workers = [threading.Thread(target=take, args=(rank,)) for rank in range(2)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    assert sorted(found[0] + found[1]) == sorted(whole)
    assert [name for name in list_named_actors() if name.startswith("distrain")] == []


@pytest.mark.slow
def test_a_file_that_changes_while_it_is_streamed_is_named(
    folder: Path, small_windows: None
) -> None:
    left = streamed(folder)
    changed = folder / "csv" / "3.csv"
    changed.write_text(changed.read_text().replace("yes", "no"))
    with (
        streaming(str(left.dataset.path), SEED, 1) as hub,
        pytest.raises(DataError, match="has changed since it was prepared") as fault,
    ):
        rows_of(left, HubFeed(hub, 0), (0, steps_per_epoch(left)))
    assert str(changed) in fault.value.where


@pytest.mark.slow
def test_a_dataset_on_remote_storage_is_streamed_too(folder: Path, small_windows: None) -> None:
    data = {"source": str(folder / "csv"), "target": "label", "ingest": "stream"}
    uri = f"fsspec+local://{folder}/remote"
    left = prepare(DataSettings.model_validate(data), cache=uri)
    with streaming(str(left.dataset.path), SEED, 1) as hub:
        rows = rows_of(left, HubFeed(hub, 0), (0, steps_per_epoch(left)))
    assert sorted(rows) == list(range(left.rows["train"]))


@pytest.mark.slow
def test_a_hub_that_is_lost_is_no_fault_of_the_data(folder: Path, small_windows: None) -> None:
    left = streamed(folder)
    with streaming(str(left.dataset.path), SEED, 1) as hub:
        ray.kill(ray.get_actor(hub))
        with pytest.raises(ConnectionError, match="the stream of training rows was lost"):
            rows_of(left, HubFeed(hub, 0), (0, 1))


@pytest.mark.slow
def test_a_dataset_that_lacks_a_file_says_so(folder: Path, small_units: None) -> None:
    left = streamed(folder)
    next(Path(left.dataset.path, "shards").glob("*.rows")).unlink()
    with pytest.raises(DataError, match="the file cannot be read") as fault:
        rows_of(left, OwnFeed(Streamed(left.dataset), SEED), (0, 1))
    assert "will be made anew" in fault.value.mend
    assert not streamed(folder).reused


@pytest.mark.slow
def test_damage_in_a_dataset_is_not_laid_to_the_source(folder: Path, small_units: None) -> None:
    left = streamed(folder)
    damaged = next(Path(left.dataset.path, "shards").glob("*.rows"))
    content = bytearray(damaged.read_bytes())
    content[3] ^= 0x40
    damaged.write_bytes(content)
    with (
        streaming(str(left.dataset.path), SEED, 1) as hub,
        pytest.raises(DataError, match="the file is damaged") as fault,
    ):
        rows_of(left, HubFeed(hub, 0), (0, 1))
    assert damaged.name in fault.value.where
    damaged.write_bytes(content[:10])
    with (
        streaming(str(left.dataset.path), SEED, 1) as hub,
        pytest.raises(DataError, match="the file has 10 bytes"),
    ):
        rows_of(left, HubFeed(hub, 0), (0, 1))
    assert not streamed(folder).reused


@pytest.mark.slow
def test_a_file_that_changes_unseen_is_named_by_its_rows(folder: Path, small_units: None) -> None:
    left = streamed(folder)
    changed = folder / "csv" / "3.csv"
    before, text = changed.stat(), changed.read_text()
    changed.write_text(text.replace("red", "der"))
    os.utime(changed, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(DataError, match="its rows are others") as fault:
        rows_of(left, OwnFeed(Streamed(left.dataset), SEED), (0, 1))
    assert str(changed) in fault.value.where


@pytest.mark.slow
def test_a_file_that_is_gone_is_named(folder: Path, small_units: None) -> None:
    left = streamed(folder)
    (folder / "csv" / "3.csv").unlink()
    with pytest.raises(DataError, match="no such file") as fault:
        rows_of(left, OwnFeed(Streamed(left.dataset), SEED), (0, 1))
    assert "3.csv" in fault.value.where


@pytest.mark.slow
def test_files_that_were_touched_or_moved_are_streamed_from_where_they_are(
    folder: Path, small_units: None
) -> None:
    first = streamed(folder)
    (folder / "csv" / "0.csv").touch()
    touched = streamed(folder)
    assert touched.digest == first.digest
    (folder / "csv").rename(folder / "moved")
    moved = streamed(folder, "moved")
    assert moved.digest == first.digest
    rows = rows_of(moved, OwnFeed(Streamed(moved.dataset), SEED), (0, steps_per_epoch(moved)))
    assert sorted(rows) == list(range(moved.rows["train"]))


@pytest.mark.slow
def test_runs_on_copies_of_a_source_do_not_move_one_another(
    folder: Path, small_windows: None, job: TrainJob
) -> None:
    first = streamed(folder)
    shutil.copytree(folder / "csv", folder / "copy")
    second = streamed(folder, "copy")
    assert second.reused
    assert second.dataset.path == first.dataset.path
    shutil.rmtree(folder / "csv")
    expected = weights(job, second, "in this process")
    files = streamed_files(second.dataset)
    with streaming(str(second.dataset.path), SEED, 1, files) as hub:
        rows = rows_of(second, HubFeed(hub, 0), (0, steps_per_epoch(second)))
    assert sorted(rows) == list(range(second.rows["train"]))
    (folder / "copy").rename(folder / "csv")
    for path, file in zip(sorted((folder / "csv").iterdir()), files, strict=True):
        os.utime(path, ns=(int(file.version), int(file.version)))
    again = streamed(folder)
    assert weights(job, again, "back") == expected


@pytest.mark.slow
def test_what_a_model_has_seen_is_known_of_streamed_rows_too(
    folder: Path, small_units: None
) -> None:
    train = prepared(folder).dataset.split("train")
    expected = seen_rows([train.slice(0, train.num_rows)], train.num_rows)
    found = rows_of_streamed(streamed(folder).dataset)
    assert found.one_in == expected.one_in
    assert np.array_equal(found.keys, expected.keys)


@pytest.mark.slow
def test_a_run_is_tried_before_it_begins_without_reading_the_source(
    folder: Path, small_units: None
) -> None:
    left = streamed(folder).dataset
    expected = prepared(folder).dataset.split("train").slice(0, 2)
    shutil.rmtree(folder / "csv")
    found = Streamed(left).first_rows()
    assert list(found) == list(expected)
    assert all(np.array_equal(found[name], expected[name]) for name in expected)


@pytest.mark.slow
def test_too_small_a_bound_on_what_is_fetched_is_refused(folder: Path, small_units: None) -> None:
    data = {"source": str(folder / "csv"), "target": "label", "ingest": "stream"}
    uri = f"fsspec+local://{folder}/remote"
    left = prepare(DataSettings.model_validate(data), cache=uri)
    dataset = PreparedDataset.open(left.dataset.path, ShardCache(folder / "local", 10))
    splits = {name: dataset.split(name) for name in ("train", "validation", "test")}
    evaluated = [splits["validation"], splits["test"]]
    plan = Plan(splits["train"].num_rows, 100, 4, 1, SEED)
    needed = sum(split.most_bytes(1) for split in evaluated)
    with pytest.raises(DataError, match=f"at least {needed:,}"):
        check_room(splits["train"], evaluated, plan, range(1))


@pytest.mark.slow
def test_a_source_with_other_content_is_another_dataset(folder: Path, small_units: None) -> None:
    first = streamed(folder)
    changed = folder / "csv" / "3.csv"
    changed.write_text(changed.read_text().replace("red", "green"))
    assert streamed(folder).digest != first.digest


@pytest.mark.slow
def test_a_unit_that_takes_too_much_memory_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipe, "MAX_UNIT_BYTES", 10_000)
    with pytest.raises(DataError, match="have to be read in one go"):
        streamed(folder)
    assert not list((folder / "cache").glob("*/manifest.json"))


@pytest.fixture
def job(folder: Path) -> TrainJob:
    return TrainJob(
        run_dir=str(folder / "run"),
        prepared_dir="",
        model={"name": "mlp", "hidden": [8], "dropout": 0.1},
        loss={"name": "cross_entropy", "class_weights": "balanced"},
        epochs=2,
        global_batch_size=100,
        checkpoint_every_steps=5,
        ledger=True,
    )


def weights(job: TrainJob, data: Prepared, name: str, stop_at: int | None = None) -> str:
    """Train in this process, once, or twice where the first time is to stop after a step."""
    job = replace(
        job,
        run_dir=str(Path(job.run_dir) / name),
        prepared_dir=str(data.dataset.path),
        source_files=[asdict(file) for file in streamed_files(data.dataset)],
    )
    if stop_at is not None:
        calls = iter(range(10**6))
        stopped = train(job, World.single("cpu"), stop_requested=lambda: next(calls) == stop_at)
        assert stopped.status == "interrupted"
    return train(job, World.single("cpu")).weights_sha256


@pytest.mark.slow
def test_weights_are_those_of_prepared_rows(folder: Path, small_units: None, job: TrainJob) -> None:
    expected = weights(job, prepared(folder), "prepared")
    assert weights(job, streamed(folder), "streamed") == expected
    assert weights(job, streamed(folder), "resumed", stop_at=30) == expected


@pytest.mark.slow
def test_weights_over_many_windows_are_the_same_after_an_interruption(
    folder: Path, small_windows: None, job: TrainJob
) -> None:
    left = streamed(folder)
    assert weights(job, left, "resumed", stop_at=9) == weights(job, left, "straight")
    ledger = [
        pyarrow.parquet.read_table(path)
        for path in (Path(job.run_dir) / "resumed" / "ledger").glob("*.parquet")
    ]
    rows = pa.concat_tables(ledger).column("row").to_pylist()
    assert sorted(rows) == sorted([*range(left.rows["train"])] * 2)


@pytest.mark.slow
def test_the_hub_needs_no_cpu(folder: Path, small_units: None) -> None:
    @ray.remote(num_cpus=4)
    class Holder:
        def is_there(self) -> bool:
            return True

    left = streamed(folder)
    holder = Holder.remote()  # type: ignore[attr-defined]  # Ray's decorator adds it
    assert ray.get(holder.is_there.remote())
    try:
        with streaming(str(left.dataset.path), SEED, 1) as hub:
            rows = rows_of(left, HubFeed(hub, 0), (0, steps_per_epoch(left)))
        assert sorted(rows) == list(range(left.rows["train"]))
    finally:
        ray.kill(holder)


# Files beside it have it end its process, once, or change the data, at some call in training.
NET = """
import contextlib, os, pathlib, signal, torch

def number(name):
    path = pathlib.Path(__file__).with_name(name)
    return int(path.read_text()) if path.exists() else -1

class Net(torch.nn.Module):
    def __init__(self, width):
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(width, 2), torch.nn.Dropout(0.2))
        self.calls = 0

    def forward(self, x):
        self.calls += self.training
        folder = pathlib.Path(__file__).parent
        if self.calls == number("dies_at"):
            with contextlib.suppress(FileNotFoundError):  # the other one was first
                (folder / "dies_at").unlink()
                os.kill(os.getpid(), signal.SIGKILL)
        if self.calls == number("changes_at"):
            (folder / "csv" / "3.csv").touch()
        return self.layers(x)
"""
RUN = """
data: {source: csv, target: label}
model: {target: "net:Net", args: {width: WIDTH}}
train:
  epochs: 2
  global_batch_size: 100
  num_workers: 1
  ledger: true
  checkpoint: {every_steps: 4}
"""


@pytest.fixture
def project(folder: Path) -> Path:
    width = prepared(folder).dataset.transform.input_shape[0]
    (folder / "net.py").write_text(NET)
    (folder / "run.yaml").write_text(RUN.replace("WIDTH", str(width)))
    return folder


def finished(project: Path, *words: str) -> dict[str, Any]:
    """Run to a good end."""
    fields = run(project, *words)
    assert fields["status"] == "finished", fields["error"]
    return fields


def run(project: Path, *words: str) -> dict[str, Any]:
    ended = run_in_process(["train", "run.yaml", *words, "--json"], project)
    assert ended.stdout, ended.stderr
    fields: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return fields


@pytest.mark.slow
def test_a_run_has_the_bits_of_prepared_rows(project: Path, small_units: None) -> None:
    expected = finished(project)["weights_sha256"]
    streamed_run = finished(project, "data.ingest=stream", "train.num_workers=2")
    assert streamed_run["weights_sha256"] == expected


@pytest.mark.slow
@pytest.mark.long
def test_a_run_through_many_windows_goes_on_after_the_loss_of_a_worker(
    project: Path, small_windows: None
) -> None:
    straight = finished(project, "data.ingest=stream")
    (project / "dies_at").write_text("70")  # four parts a step: the eighteenth step
    killed = finished(project, "data.ingest=stream", "train.num_workers=2")
    assert not (project / "dies_at").exists()
    assert killed["resumed_from_step"] is not None
    assert killed["weights_sha256"] == straight["weights_sha256"]
    ledger = pyarrow.parquet.read_table(Path(killed["run_dir"]) / "ledger").to_pydict()
    rows = Counter(zip(ledger["epoch"], ledger["row"], strict=True))
    assert set(rows.values()) == {1}
    assert len(rows) == 2 * straight["step"] * 50
    names = [path.name for path in (project / "runs").rglob("*.arrow")]
    assert names
    assert {name for name in names if name.startswith("train")} == {PROBE_FILE}
    assert next(Path(killed["run_dir"]).rglob(SEEN_ROWS), None)


@pytest.mark.slow
def test_a_run_whose_data_changes_fails_with_the_name_of_the_file(
    project: Path, small_units: None
) -> None:
    (project / "changes_at").write_text("20")
    failed = run(project, "data.ingest=stream", "train.epochs=100", "train.early_stopping=null")
    assert failed["status"] == "failed"
    assert "has changed since it was prepared" in failed["error"]["message"]
    assert str(project / "csv" / "3.csv") in failed["error"]["message"]
    assert [name for name in list_named_actors() if name.startswith("distrain")] == []
