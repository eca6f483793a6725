"""The loop, in one process and milliseconds."""

import hashlib
import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from distrain import lease
from distrain.errors import CheckpointError, ConfigError, DataError, ModelError, TrainError
from distrain.models.weights import weights_sha256
from distrain.track.journal import JournalWriter
from distrain.track.journal_reading import read_journal
from distrain.train.checkpoint import STILL
from distrain.train.loop import TrainJob, TrainOutcome, train
from distrain.train.precision import Precision
from distrain.train.preflight import try_first_batch
from distrain.train.world import World
from tests.conformance_models import needs_bf16
from tests.example_jobs import job_maker
from tests.failing_storage import refusing_to_list
from tests.prepared_examples import write_classified, write_regression

CPU = World.single("cpu")
STEPS_PER_EPOCH = 8
MLP = {"name": "mlp", "hidden": [8], "dropout": 0.2, "norm": "batch"}


class Lost(BaseException):
    """Stands for the death of the process."""


class MemoryJournal:
    """Keeps what is recorded."""

    def __init__(self) -> None:
        self.records: list[tuple[int, dict[str, float]]] = []
        self.times: list[tuple[int, dict[str, float]]] = []
        self.shown: list[Mapping[str, Any]] = []
        self.notes: list[str] = []
        self.troubles: list[Mapping[str, Any]] = []
        self.assessments: dict[str, Mapping[str, Any]] = {}
        self.num_syncs = 0
        self.tagged: dict[str, str] = {}

    def earlier(self, _step: int) -> tuple[()]:
        return ()

    def start(self, step: int, *, is_exact: bool, every_steps: int) -> None:
        pass

    def checkpoint(self, step: int) -> None:
        pass

    def tags(self, values: Mapping[str, str]) -> None:
        self.tagged.update(values)

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        # Seconds are the one thing that no two runs have in common.
        kept = self.times if "time/data_s" in values else self.records
        kept.append((step, dict(values)))

    def progress(self, values: Mapping[str, Any]) -> None:
        self.shown.append(values)

    def note(self, text: str) -> None:
        self.notes.append(text)

    def trouble(self, values: Mapping[str, Any]) -> None:
        self.troubles.append(values)

    def assessment(self, split: str, counts: Mapping[str, Any]) -> None:
        self.assessments[split] = counts

    def sync(self) -> None:
        self.num_syncs += 1

    def of(self, name: str) -> dict[int, float]:
        return {step: values[name] for step, values in self.records if name in values}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = {"train": 123, "validation": 40, "test": 33}
    return write_classified(tmp_path_factory.mktemp("data"), rows, shard_rows=50)


@pytest.fixture
def job_of(data: Path, tmp_path: Path) -> Callable[..., TrainJob]:
    return job_maker(tmp_path, data, model=MLP, record_every_steps=5)


def change_digests(run_dir: Path, step: int, changes: Mapping[str, str | None]) -> None:
    """Write the manifest of a checkpoint with other digests; None: without one."""
    path = run_dir / "checkpoints" / f"step-{step}" / "manifest.json"
    manifest = json.loads(path.read_text())
    digests = {**manifest["digests"], **changes}
    manifest["digests"] = {name: text for name, text in digests.items() if text is not None}
    del manifest["sha256"]
    sha256 = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
    path.write_text(json.dumps({**manifest, "sha256": sha256}))


def killed_after(steps: int, job: TrainJob) -> None:
    """Run a job until its process would be killed, after so many steps of this attempt."""
    left = [steps]

    def count() -> bool:
        if left[0] == 0:
            raise Lost
        left[0] -= 1
        return False

    with pytest.raises(Lost):
        train(job, CPU, stop_requested=count)


def same_result(one: TrainOutcome, other: TrainOutcome) -> bool:
    return (one.weights_sha256, one.metrics, one.step, one.status) == (
        other.weights_sha256, other.metrics, other.step, other.status
    )  # fmt: skip


def test_a_run_records_its_curves_and_ends_with_the_test_split(
    job_of: Callable[..., TrainJob],
) -> None:
    journal = MemoryJournal()
    outcome = train(job_of(), CPU, journal)
    assert outcome.status == "finished"
    assert (outcome.step, outcome.epoch, outcome.steps_per_epoch) == (24, 3, STEPS_PER_EPOCH)
    assert sorted(journal.of("train/loss")) == [5, 10, 15, 20, 24]
    assert sorted(journal.of("validation/accuracy")) == [8, 16, 24]
    assert list(journal.of("test/accuracy")) == [24]
    wrong = journal.assessments["test"]
    assert sum(wrong["right"]) / wrong["num_rows"] == journal.of("test/accuracy")[24]
    assert set(outcome.metrics) == {
        "train/loss", "validation/loss", "validation/accuracy", "test/loss", "test/accuracy",
    }  # fmt: skip
    assert outcome.samples_per_second is None
    assert journal.num_syncs > 0


def test_the_recorded_loss_is_the_mean_over_the_rows_since_the_last_record(
    job_of: Callable[..., TrainJob],
) -> None:
    each, by_eight = MemoryJournal(), MemoryJournal()
    train(job_of("one", record_every_steps=1, epochs=1), CPU, each)
    train(job_of("two", record_every_steps=8, epochs=1), CPU, by_eight)
    losses = each.of("train/loss")
    rows = dict.fromkeys(range(1, 8), 16) | {8: 11}
    mean = sum(losses[step] * rows[step] for step in losses) / 123
    assert by_eight.of("train/loss")[8] == pytest.approx(mean, rel=1e-6)


def test_weights_file_and_outcome_have_one_hash(job_of: Callable[..., TrainJob]) -> None:
    outcome = train(job_of(), CPU)
    assert weights_sha256(load_file(outcome.weights_file)) == outcome.weights_sha256


def test_the_seed_decides(job_of: Callable[..., TrainJob]) -> None:
    runs = [train(job_of(f"run-{i}", seed=seed), CPU) for i, seed in enumerate((1, 1, 2))]
    assert runs[0].weights_sha256 == runs[1].weights_sha256 != runs[2].weights_sha256


def test_a_loop_in_a_thread_of_its_own_gives_the_same_bits(
    job_of: Callable[..., TrainJob],
) -> None:
    outcomes: list[TrainOutcome] = []
    thread = threading.Thread(target=lambda: outcomes.append(train(job_of("thread"), CPU)))
    thread.start()
    thread.join()
    assert outcomes[0].weights_sha256 == train(job_of("here"), CPU).weights_sha256


def test_the_process_is_left_as_it_was(job_of: Callable[..., TrainJob]) -> None:
    torch.manual_seed(5)
    expected = (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled())
    random = torch.rand(1)
    torch.manual_seed(5)
    train(job_of(epochs=1), CPU)
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == expected
    assert torch.equal(torch.rand(1), random)


KILLED: dict[str, Any] = {
    "model": MLP,
    "epochs": 6,
    "restore_best": True,
    "early_stopping": {"metric": "validation/loss", "mode": "min", "patience": 2},
    "lr_schedule": {"name": "cosine", "warmup_steps": 3},
    "optimizer": {"name": "adamw", "lr": 0.02, "weight_decay": 0.01},
    "global_batch_size": 16,
    "metrics": ["accuracy"],
    "checkpoint_every_s": None,
    "ledger": True,
}


@pytest.fixture(scope="module")
def straight(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TrainOutcome]:
    """A run that nothing interrupts."""
    folder = tmp_path_factory.mktemp("straight")
    return folder, train(TrainJob(str(folder), str(data), **KILLED), CPU)


@settings(max_examples=8, deadline=None)
@given(kills=st.lists(st.integers(0, 14), min_size=1, max_size=3), every=st.integers(1, 9))
def test_a_killed_run_ends_like_one_that_ran_through(
    kills: list[int],
    every: int,
    data: Path,
    straight: tuple[Path, TrainOutcome],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("killed")
    job = TrainJob(str(folder), str(data), checkpoint_every_steps=every, **KILLED)
    for steps in kills:
        killed_after(steps, job)
    assert same_result(train(job, CPU), straight[1])
    assert rows_in_ledger(folder) == rows_in_ledger(straight[0])


def rows_in_ledger(run_dir: Path) -> list[tuple[int, ...]]:
    rows: list[tuple[int, ...]] = []
    for path in sorted((run_dir / "ledger").glob("*.parquet")):
        table = pq.read_table(path)
        columns = [table[name].to_pylist() for name in table.column_names]
        rows += zip(*columns, strict=True)
    return rows


def test_the_ledger_has_each_row_once_an_epoch(job_of: Callable[..., TrainJob]) -> None:
    job = job_of(ledger=True, checkpoint_every_steps=5)
    train(job, CPU)
    rows = rows_in_ledger(Path(job.run_dir))
    for epoch in (1, 2, 3):
        assert sorted(row for e, _, _, row in rows if e == epoch) == list(range(123))
    assert sorted({step for _, step, _, _ in rows}) == list(range(1, 25))


def test_a_finished_run_that_is_started_again_trains_no_further(
    job_of: Callable[..., TrainJob],
) -> None:
    first = train(job_of(), CPU)
    again = train(job_of(), CPU)
    assert same_result(first, again)
    assert again.resumed_from_step == 24
    assert again.waits["compute"] == 0.0


def test_a_finished_run_that_is_given_more_epochs_goes_on_as_if_it_had_had_them(
    job_of: Callable[..., TrainJob],
) -> None:
    straight = train(job_of("straight", epochs=5, restore_best=True, ledger=True), CPU)
    train(job_of("longer", epochs=3, restore_best=True, ledger=True), CPU)

    longer = train(job_of("longer", epochs=5, restore_best=True, ledger=True), CPU)

    assert longer.resumed_from_step == 24
    assert same_result(longer, straight)
    assert pq.read_table(Path(longer.weights_file).parents[1] / "ledger").num_rows == 5 * 123


@pytest.mark.parametrize(("every", "epochs"), [(2, 8), (None, 5)])
def test_an_evaluation_that_only_the_end_called_for_leaves_no_trace_in_a_longer_run(
    job_of: Callable[..., TrainJob], every: int | None, epochs: int
) -> None:
    stops = {"metric": "validation/loss", "mode": "max", "patience": 2}
    changes = {"early_stopping": stops, "evaluate_every_epochs": every, "restore_best": True}
    straight = train(job_of("straight", epochs=epochs, **changes), CPU)
    train(job_of("longer", epochs=3, **changes), CPU)

    longer = train(job_of("longer", epochs=epochs, **changes), CPU)

    assert longer.resumed_from_step == 24
    assert longer.best_step == straight.best_step
    assert same_result(longer, straight)


def test_a_longer_run_whose_patience_was_used_up_at_its_old_end_has_stopped_early(
    job_of: Callable[..., TrainJob],
) -> None:
    stops = {"metric": "validation/loss", "mode": "max", "patience": 1}
    straight = train(job_of("straight", epochs=6, early_stopping=stops), CPU)
    train(job_of("longer", epochs=2, early_stopping=stops), CPU)

    longer = train(job_of("longer", epochs=6, early_stopping=stops), CPU)

    assert (longer.status, longer.step) == ("stopped_early", 16)
    assert same_result(longer, straight)


def test_a_run_that_stopped_early_by_its_metric_stays_stopped(
    job_of: Callable[..., TrainJob],
) -> None:
    stops = {"metric": "validation/loss", "mode": "max", "patience": 1}
    stopped = train(job_of(epochs=4, early_stopping=stops), CPU)

    again = train(job_of(epochs=9, early_stopping=stops), CPU)

    assert stopped.status == again.status == "stopped_early"
    assert again.step == stopped.step


def test_a_run_that_ran_out_of_time_goes_on_where_it_is_given_more(
    job_of: Callable[..., TrainJob],
) -> None:
    stopped = train(job_of(max_time_s=1e-6), CPU)
    assert (stopped.status, train(job_of(max_time_s=2e-6), CPU).step) == ("stopped_early", 1)

    longer = train(job_of(max_time_s=None), CPU)

    assert longer.status == "finished"
    assert longer.weights_sha256 == train(job_of("straight"), CPU).weights_sha256


def test_time_that_is_up_ends_a_run_though_it_is_asked_to_stop_at_the_same_step(
    job_of: Callable[..., TrainJob],
) -> None:
    stopped = train(job_of(max_time_s=1e-6), CPU, stop_requested=lambda: True)
    assert (stopped.status, stopped.step) == ("stopped_early", 1)

    longer = train(job_of(max_time_s=None), CPU)

    assert same_result(longer, train(job_of("straight"), CPU))


@pytest.mark.parametrize("name", ["checkpoints", "ledger"])
def test_storage_that_is_away_for_a_moment_costs_no_checkpoint_and_no_ledger(
    job_of: Callable[..., TrainJob], name: str
) -> None:
    job = job_of(checkpoint_every_steps=4, ledger=True)
    folder = Path(job.run_dir, name)
    killed_after(10, job)
    before = sorted(folder.iterdir())

    with refusing_to_list(folder), pytest.raises(PermissionError):
        train(job, CPU)

    assert sorted(folder.iterdir()) == before
    resumed = train(job, CPU)
    # Of step 8, or, where that of step 4 took long to write, a later one.
    assert resumed.resumed_from_step in range(4, 11)
    assert same_result(resumed, train(job_of("straight", ledger=True), CPU))


def test_a_run_that_was_taken_over_commits_nothing_more(job_of: Callable[..., TrainJob]) -> None:
    job = job_of(checkpoint_every_steps=2)
    run_dir = Path(job.run_dir)
    run_dir.mkdir()
    with lease.holding(run_dir, print) as first:
        killed_after(5, replace(job, fence=first.fence))
    before = sorted((run_dir / "checkpoints").iterdir())
    second = lease.take(run_dir)

    with pytest.raises(CheckpointError, match="taken over"):
        train(replace(job, fence=first.fence), CPU)

    assert sorted((run_dir / "checkpoints").iterdir()) == before
    assert train(replace(job, fence=second.fence), CPU).status == "finished"


def test_a_request_to_stop_saves_the_state_and_the_run_goes_on_from_there(
    job_of: Callable[..., TrainJob],
) -> None:
    asked = iter([False] * 6 + [True])
    stopped = train(job_of(), CPU, stop_requested=lambda: next(asked))
    assert (stopped.status, stopped.step, stopped.weights_file) == ("interrupted", 7, "")
    resumed = train(job_of(), CPU)
    assert resumed.resumed_from_step == 7
    assert same_result(resumed, train(job_of("straight"), CPU))


def test_a_resumed_worker_tells_from_the_start_where_it_goes_on(
    job_of: Callable[..., TrainJob],
) -> None:
    asked = iter([False] * 6 + [True])
    train(job_of(), CPU, stop_requested=lambda: next(asked))
    told: list[tuple[str, int]] = []

    train(job_of(), CPU, beat=lambda phase, step: told.append((phase, step)))

    assert told[:2] == [("start", 7), ("compute", 7)]


def test_records_of_an_interrupted_run_go_on_without_a_seam(
    job_of: Callable[..., TrainJob],
) -> None:
    asked = iter([False] * 6 + [True])
    journal, straight = MemoryJournal(), MemoryJournal()
    train(job_of(), CPU, journal, stop_requested=lambda: next(asked))
    train(job_of(), CPU, journal)
    train(job_of("straight"), CPU, straight)
    assert journal.records == straight.records


def test_early_stopping_restores_the_best_model(job_of: Callable[..., TrainJob]) -> None:
    journal = MemoryJournal()
    job = job_of(
        epochs=40,
        optimizer={"name": "adam", "lr": 0.1},
        early_stopping={"metric": "validation/loss", "mode": "min", "patience": 3},
        restore_best=True,
    )
    outcome = train(job, CPU, journal)
    losses = journal.of("validation/loss")
    best = min(losses, key=lambda step: losses[step])
    assert outcome.status == "stopped_early"
    assert outcome.step == best + 3 * STEPS_PER_EPOCH
    assert outcome.best_step == best
    assert outcome.metrics["validation/loss"] == losses[best]


def test_without_restoring_the_last_model_is_the_final_one(job_of: Callable[..., TrainJob]) -> None:
    journal = MemoryJournal()
    outcome = train(job_of(), CPU, journal)
    assert outcome.best_step is None
    assert outcome.metrics["validation/loss"] == journal.of("validation/loss")[24]


def test_training_loss_can_be_watched_without_a_validation_split(tmp_path: Path) -> None:
    folder = write_classified(tmp_path / "data", {"train": 60})
    job = TrainJob(
        str(tmp_path / "run"), str(folder), {"name": "linear"}, steps=30, global_batch_size=20,
        early_stopping={"metric": "train/loss", "mode": "min", "patience": 1, "min_delta": 10.0},
        metrics=[],
    )  # fmt: skip
    outcome = train(job, CPU)
    assert (outcome.status, outcome.step) == ("stopped_early", 6)
    assert set(outcome.metrics) == {"train/loss"}


def test_steps_between_evaluations_may_be_given(job_of: Callable[..., TrainJob]) -> None:
    journal = MemoryJournal()
    train(job_of(epochs=None, steps=10, evaluate_every_steps=4), CPU, journal)
    assert sorted(journal.of("validation/loss")) == [4, 8, 10]


def test_a_time_limit_ends_training_with_a_model(job_of: Callable[..., TrainJob]) -> None:
    journal = MemoryJournal()
    outcome = train(job_of(max_time_s=1e-9, restore_best=True), CPU, journal)
    assert (outcome.status, outcome.step) == ("stopped_early", 1)
    assert Path(outcome.weights_file).exists()
    assert set(journal.of("validation/loss")) == set(journal.of("test/loss")) == {1}
    assert journal.notes == [
        "training stopped after step 1 of 24, because it has taken train.max_time_s = 1e-09 s"
    ]


def test_the_time_limit_counts_all_attempts(job_of: Callable[..., TrainJob]) -> None:
    asked = iter([False] * 3 + [True])

    def stop_after_a_while() -> bool:
        time.sleep(0.1)
        return next(asked)

    train(job_of(max_time_s=60.0), CPU, stop_requested=stop_after_a_while)
    outcome = train(job_of(max_time_s=0.4), CPU)
    assert (outcome.status, outcome.step) == ("stopped_early", 5)


def test_a_few_steps_are_traced_where_that_is_asked(job_of: Callable[..., TrainJob]) -> None:
    job = job_of(profile=True)
    plain = train(job_of("plain"), CPU)
    assert train(job, CPU).weights_sha256 == plain.weights_sha256
    trace = json.loads(Path(job.run_dir, "profile", "steps.json").read_text(encoding="utf-8"))
    names = {event.get("name") for event in trace["traceEvents"]}
    assert {"aten::addmm", "ProfilerStep#11", "ProfilerStep#15"} <= names
    assert "ProfilerStep#16" not in names


def test_activation_checkpointing_changes_no_bit(job_of: Callable[..., TrainJob]) -> None:
    plain = train(job_of("plain"), CPU)
    saving = train(job_of("saving", activation_checkpointing=True), CPU)
    assert same_result(saving, plain)


def test_checkpoints_can_come_by_the_clock(job_of: Callable[..., TrainJob]) -> None:
    job = job_of(checkpoint_every_s=1e-9, checkpoint_keep=24)
    train(job, CPU, stop_requested=none_is_written)
    names = {path.name for path in Path(job.run_dir, "checkpoints").glob("step-*")}
    assert names == {f"step-{step}" for step in range(1, 25)}


def none_is_written() -> bool:
    """Wait for the checkpoint that is being written; ask for no stop."""
    for thread in threading.enumerate():
        if thread.name == "distrain-checkpoint":
            thread.join()
    return False


def test_a_loss_that_is_not_finite_ends_the_run_and_commits_nothing(
    job_of: Callable[..., TrainJob],
) -> None:
    job = job_of(optimizer={"name": "sgd", "lr": 1e30, "momentum": 0.0}, checkpoint_every_steps=50)
    with pytest.raises(TrainError, match=r"step \d+, epoch 1, logical shards? .*: the loss is"):
        train(job, CPU)
    assert not Path(job.run_dir, "checkpoints").exists()


def test_parameters_that_are_not_finite_are_not_committed(job_of: Callable[..., TrainJob]) -> None:
    job = job_of(optimizer={"name": "sgd", "lr": 1e39, "momentum": 0.0}, checkpoint_every_steps=1)
    with pytest.raises(TrainError, match="step 1: a parameter is not finite"):
        train(job, CPU)
    assert not Path(job.run_dir, "checkpoints").exists()


def test_state_of_another_configuration_is_refused(job_of: Callable[..., TrainJob]) -> None:
    train(job_of(config_digest="one"), CPU)
    with pytest.raises(CheckpointError, match="another configuration"):
        train(job_of(config_digest="two"), CPU)


@pytest.mark.parametrize("kept", ["frozen", "buffer"])
def test_other_values_of_what_training_leaves_alone_are_refused(
    job_of: Callable[..., TrainJob], tmp_path: Path, kept: str
) -> None:
    path = tmp_path / "kept.pt"
    args = {"path": str(path), "kept": kept}
    job = job_of(model={"target": "tests.user_models:Reads", "args": args})
    torch.save(torch.full((6,), 2.0), path)
    straight = train(job, CPU)
    assert train(job, CPU).resumed_from_step == straight.step
    torch.save(torch.full((6,), 3.0), path)
    with pytest.raises(CheckpointError, match="another content of the model's frozen parameters"):
        train(job, CPU)


def test_a_checkpoint_from_before_still_parts_had_a_digest_is_taken_up(
    job_of: Callable[..., TrainJob],
) -> None:
    job = job_of()
    step = train(job, CPU).step
    change_digests(Path(job.run_dir), step, {STILL: None})
    assert train(job, CPU).resumed_from_step == step


def test_another_prepared_dataset_is_refused(job_of: Callable[..., TrainJob]) -> None:
    with pytest.raises(DataError, match=r"Expected 0123456789ab\.\.\., which the run was started"):
        train(job_of(data_digest="0123456789abcdef"), CPU)


def test_speed_and_progress_are_told(job_of: Callable[..., TrainJob]) -> None:
    journal = MemoryJournal()
    outcome = train(job_of(epochs=6), CPU, journal)
    assert outcome.samples_per_second is not None
    assert outcome.samples_per_second > 0
    waits = {"data", "compute", "reduce", "record", "evaluate", "checkpoint"}
    assert set(outcome.waits) == waits
    assert [step for step, _ in journal.times] == [8, 16, 24, 32, 40, 48]
    for name in waits - {"checkpoint"}:  # the last of which comes after the last epoch
        told = sum(values[f"time/{name}_s"] for _, values in journal.times)
        assert told == pytest.approx(outcome.waits[name], abs=0.3)
    assert len(journal.shown) <= 3 + sum(outcome.waits.values()) * 4
    last = journal.shown[-1]
    assert (last["step"], last["total_steps"], last["epoch"], last["total_epochs"]) == (
        48,
        48,
        6,
        6,
    )
    assert last["validation"] == ["validation/loss", outcome.metrics["validation/loss"]]
    assert json.loads(json.dumps(last)) == last
    # What the records tell of waits is what the stopwatch has, each second once.
    told_s = {name: sum(one[f"{name}_s"] for one in journal.shown) for name in ("data", "reduce")}
    assert told_s == pytest.approx({name: outcome.waits[name] for name in told_s}, abs=1e-3)
    rows = sum(one["rows_per_s"] * one["window_s"] for one in journal.shown)
    assert rows == pytest.approx(123 * 6, rel=1e-3)


def test_the_run_s_journal_takes_the_records(job_of: Callable[..., TrainJob]) -> None:
    job = job_of()
    with JournalWriter(Path(job.run_dir) / "journal", "rank0") as journal:
        train(job, CPU, journal)
    records, _ = read_journal(Path(job.run_dir) / "journal", {})
    kinds = {record.kind for record in records}
    assert kinds == {"start", "metrics", "progress", "checkpoint", "assessment"}


def test_a_watched_metric_that_is_not_a_number_ends_nothing(
    job_of: Callable[..., TrainJob],
) -> None:
    name = "not_a_number"
    job = job_of(
        metrics=[{"target": f"tests.user_models:{name}"}],
        early_stopping={"metric": f"validation/{name}", "mode": "max", "patience": 9},
    )
    with JournalWriter(Path(job.run_dir) / "journal", "rank0") as journal:
        assert train(job, CPU, journal).status == "finished"


def test_an_ordinary_step_takes_no_median(
    job_of: Callable[..., TrainJob], monkeypatch: pytest.MonkeyPatch
) -> None:
    def median(_values: object) -> float:
        raise AssertionError("10 us that an ordinary step need not take")

    monkeypatch.setattr(statistics, "median", median)

    assert train(job_of(), CPU).status == "finished"


def test_the_loop_needs_torch_numpy_and_pyarrow_only() -> None:
    heavy = "{'ray', 'mlflow', 'pydantic', 'pandas', 'rich', 'sklearn', 'scipy'}"
    code = f"import sys, distrain.train.loop; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_job_and_outcome_pass_through_json(job_of: Callable[..., TrainJob]) -> None:
    job = job_of(early_stopping={"metric": "validation/loss", "mode": "min", "patience": 9})
    assert TrainJob.from_json(json.loads(json.dumps(job.to_json()))) == job
    outcome = train(job, CPU)
    assert TrainOutcome.from_json(json.loads(json.dumps(outcome.to_json()))) == outcome


@pytest.mark.parametrize(
    ("precision", "is_for_gpu", "is_refused"),
    [
        ("fp16", False, True),
        ("fp16", True, False),
        pytest.param("bf16", False, False, marks=needs_bf16),
    ],
)
def test_a_model_is_tried_in_the_precision_of_the_run(
    job_of: Callable[..., TrainJob], precision: Precision, is_for_gpu: bool, is_refused: bool
) -> None:
    # oneDNN has no kernel for an LSTM in fp16 (torch 2.13.0).
    job = job_of(model={"target": "tests.conformance_models:Recurrent"}, precision=precision)
    refused = pytest.raises(ModelError, match=r"train.precision: the model, which runs in fp32")
    with refused if is_refused else nullcontext():
        assert try_first_batch(job, is_for_gpu=is_for_gpu).num_outputs == 3


def test_a_regression_learns(tmp_path: Path) -> None:
    rows = {"train": 400, "validation": 50, "test": 60}
    folder = write_regression(tmp_path / "data", rows)
    job = TrainJob(
        str(tmp_path / "run"), str(folder), {"name": "linear"}, epochs=10, global_batch_size=20,
        optimizer={"name": "adam", "lr": 0.05}, metrics=["rmse", "r2"],
    )  # fmt: skip
    outcome = train(job, CPU)
    assert outcome.metrics["test/r2"] > 0.7
    assert outcome.metrics["test/rmse"] == pytest.approx(50.0, rel=0.25)


def test_the_first_batch_tells_what_the_run_will_be(job_of: Callable[..., TrainJob]) -> None:
    job = job_of()
    found = try_first_batch(job)
    assert (found.input_shape, found.num_outputs, found.total_steps) == ((6,), 3, 24)
    assert found.num_parameters == train(job, CPU).num_parameters


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        (
            {"model": {"target": "tests.user_models:TwoLayers", "args": {"features": 7}}},
            ModelError,
            r"forward failed on x of shape \(2, 6\)",
        ),
        ({"model": {"name": "cnn"}}, ModelError, "a cnn takes images"),
        (
            {"model": {"target": "tests.user_models:DrawnByTheSystem"}},
            ModelError,
            "made twice from the same seed, it begins with other values of layers.2.bias. Expected "
            "a model that each worker, and each restart, makes alike. Let it draw from torch",
        ),
        (
            {"loss": {"target": "tests.user_models:each_output"}},
            ModelError,
            r"returned a tensor of shape \(2, 3\). Expected the loss of each row",
        ),
        (
            {"loss": {"target": "tests.user_models:sum_of_outputs"}},
            ModelError,
            "twice as large where the rows are given twice over",
        ),
        ({"global_batch_size": 1}, ConfigError, "batch norm"),
        (
            {"early_stopping": {"metric": "validation/f1", "mode": "max", "patience": 3}},
            ConfigError,
            "'validation/f1' is not computed",
        ),
        (
            {"epochs": None},
            ConfigError,
            "train.epochs: neither epochs nor steps is given. Expected one of the two. Give train",
        ),
    ],
)
def test_the_first_batch_tells_what_is_wrong(
    job_of: Callable[..., TrainJob], changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    job = job_of(**changes)
    with pytest.raises(error, match=message):
        try_first_batch(job)
    assert not Path(job.run_dir).exists()
