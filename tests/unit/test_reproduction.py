"""What is said of a run that was made again."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from distrain import reproduction
from distrain.config.load import settings_from_dict
from distrain.config.settings import Settings
from distrain.differences import Difference
from distrain.display import NoDisplay
from distrain.errors import DataError, TrainError
from distrain.report.tables import reproduce_table
from distrain.reproduction import ReproduceResult, _compared, _kept_text
from distrain.results import TrainResult
from distrain.track.journal import JournalWriter
from distrain.track.origin import MODEL_ARGS_TAG, STEPS_TAG, WEIGHTS_TAG
from distrain.track.recorded import RecordedRun
from tests.lineage_examples import MACHINE, manifest, recorded_run


def settings(model: dict[str, Any] | None = None, **train: Any) -> Settings:
    data = {"source": "/a.csv", "target": "y"}
    sections = {"data": data, "train": train, "track": {"every_steps": 1}}
    return settings_from_dict({**sections, **({"model": model} if model else {})})


@pytest.fixture
def made(tmp_path: Path) -> TrainResult:
    with JournalWriter(tmp_path / "journal", "rank0") as journal:
        for step in range(1, 5):
            journal.metrics(step, {"train/loss": 1 / step})
    return TrainResult(
        status="finished",
        run_id=None,
        run_dir=tmp_path,
        epoch=1,
        step=4,
        metrics={},
        weights_sha256="f" * 64,
        samples_per_second=None,
        num_workers=1,
        dataset_digest="d" * 64,
        model=None,
        goals=(),
        resumed_from_step=None,
        tracking="complete",
    )


@pytest.fixture
def recorded(tmp_path: Path) -> RecordedRun:
    return RecordedRun(
        key="a/r",
        run_id=None,
        run_dir=None,
        lineage=tmp_path,
        config_copy=None,
        tags={WEIGHTS_TAG: "f" * 64, STEPS_TAG: "4", "distrain.outcome": "finished"},
        params={},
        values={(step, "train/loss"): 1 / step for step in range(1, 5)},
    )


def compare(recorded: RecordedRun, made: TrainResult, **train: Any) -> ReproduceResult:
    return _compared(recorded, (settings(**train), settings(**train)), made, [])


def test_the_same_values_and_weights_are_equal(recorded: RecordedRun, made: TrainResult) -> None:
    result = compare(recorded, made)

    assert (result.status, result.exit_code, result.steps_compared) == ("equal", 0, 4)
    assert "equal: 4 steps compared, and the weights" in str(reproduce_table(result).__rich__())
    assert result.to_json()["weights_sha256"] == {"recorded": "f" * 64, "rebuilt": "f" * 64}
    assert _kept_text(result).startswith("equal, 20")


def test_other_weights_are_different_though_all_values_are_the_same(
    recorded: RecordedRun, made: TrainResult
) -> None:
    result = compare(recorded, replace(made, weights_sha256="e" * 64))

    assert (result.status, result.exit_code) == ("different", 3)
    assert [difference.what for difference in result.differences] == ["weights_sha256"]
    assert _kept_text(result) == "different, training: weights_sha256 ffffffffffff -> eeeeeeeeeeee"


def test_the_first_step_that_differs_comes_first(recorded: RecordedRun, made: TrainResult) -> None:
    values = {**recorded.values, (3, "train/loss"): 0.5, (4, "train/loss"): 0.6}

    result = compare(replace(recorded, values=values), replace(made, weights_sha256="e" * 64))

    shown = str(reproduce_table(result).__rich__())
    assert "differs first  training: train/loss of step 3 0.5 -> 0.3333333333333333" in shown
    assert result.steps_compared == 2


def test_a_run_that_the_clock_ended_is_compared_as_far_as_both_went(
    recorded: RecordedRun, made: TrainResult
) -> None:
    tags = {**recorded.tags, "distrain.outcome": "stopped_early", STEPS_TAG: "7"}
    values = {(step, "train/loss"): 1 / step for step in range(1, 8)}
    longer = replace(recorded, tags=tags, values=values)

    result = compare(longer, replace(made, weights_sha256="e" * 64), max_time_s=60)

    assert (result.status, result.exit_code, result.steps_compared) == ("not_promised", 0, 4)
    assert "train.max_time_s ended the run" in result.why


def test_a_run_that_the_clock_ends_only_now_is_not_said_to_differ(
    recorded: RecordedRun, made: TrainResult
) -> None:
    values = {(step, "train/loss"): 1 / step for step in range(1, 8)}
    whole = replace(recorded, tags={**recorded.tags, STEPS_TAG: "7"}, values=values)
    cut = replace(made, status="stopped_early", weights_sha256="e" * 64)

    result = compare(whole, cut, max_time_s=60)

    assert (result.status, result.exit_code, result.steps_compared) == ("not_promised", 0, 4)


def test_what_makes_it_another_run_is_told_as_the_first_difference(
    recorded: RecordedRun, made: TrainResult
) -> None:
    result = ReproduceResult(
        "different",
        "a/r",
        (
            Difference("libraries", "rich", "13", "14"),
            Difference("data", "/a.csv", "1", "2", is_decisive=True),
        ),
        recorded.weights_sha256,
    )

    assert _kept_text(result) == "different, data: /a.csv 1 -> 2"
    shown = str(reproduce_table(result).__rich__())
    assert "differs        libraries: rich" in shown
    assert "differs first  data: /a.csv" in shown
    assert made.run_dir.is_dir()


@pytest.mark.parametrize(
    ("order", "args", "status", "parts"),
    [
        ("0" * 64, {}, "not_promised", []),
        ("1" * 64, {}, "different", ["order"]),
        ("0" * 64, {"p": "${DROPOUT:-0.9}"}, "different", ["configuration"]),
    ],
)
def test_where_bits_are_not_promised_nothing_is_trained_and_order_and_variables_compared(
    order: str,
    args: dict[str, str],
    status: str,
    parts: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    recorded = recorded_run(tmp_path, reduction="fast")
    if args:
        recorded = replace(recorded, tags={**recorded.tags, MODEL_ARGS_TAG: "a" * 64})
    monkeypatch.setattr(reproduction, "machine", lambda *_: MACHINE)
    model = {"target": "tests.user_models:Drops", "args": args}

    @contextmanager
    def ready(*_: object, **__: object) -> Iterator[SimpleNamespace]:
        yield SimpleNamespace(
            settings=settings(model=model),
            prepared=SimpleNamespace(
                dataset=SimpleNamespace(path="", manifest=manifest(tmp_path / "a.csv"))
            ),
            preflight=SimpleNamespace(plan_digest=order),
            job=SimpleNamespace(bits_given_up_by="reduction: fast"),
        )

    monkeypatch.setattr(reproduction, "ready", ready)

    result = reproduction._reproduced(recorded, [], tmp_path, NoDisplay())

    assert result.status == status
    assert [difference.part for difference in result.differences] == parts
    assert result.run_dir is None
    assert result.why.startswith("reduction: fast") is not bool(parts)


def test_a_version_of_other_weights_is_different_and_nothing_is_trained(
    recorded: RecordedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Difference("training", "registered weights", "f" * 64, "e" * 64, is_decisive=True)
    monkeypatch.setattr(reproduction, "check_reachable", lambda _: None)
    monkeypatch.setattr(reproduction, "found_recorded", lambda *_, **__: nullcontext(recorded))
    monkeypatch.setattr(reproduction, "of_registered", lambda *_: [other])

    result = reproduction.reproduce("models:/a/1", [], storage=tmp_path, display=NoDisplay())

    assert (result.status, result.exit_code, result.first) == ("different", 3, other)
    assert result.run_dir is None


def test_what_is_fetched_lies_where_all_hosts_see_it_for_the_time(
    recorded: RecordedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Difference("training", "registered weights", "f" * 64, "e" * 64, is_decisive=True)
    folders: list[Path] = []

    def find(*_: object, folder: Path, **__: object) -> AbstractContextManager[RecordedRun]:
        folders.append(folder)
        return nullcontext(recorded)

    monkeypatch.setattr(reproduction, "found_recorded", find)
    monkeypatch.setattr(reproduction, "of_registered", lambda *_: [other])
    monkeypatch.chdir(tmp_path)

    reproduction.reproduce("a/r", [], storage=Path("runs"), display=NoDisplay())

    assert [folder.parent for folder in folders] == [tmp_path / "runs"]
    assert folders[0].name.startswith(".")
    assert not (tmp_path / "runs").exists()


def test_what_changed_files_make_is_prepared_where_all_hosts_see_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    caches: list[Path] = []

    def prepare(_: object, cache: Path) -> None:
        caches.append(cache)
        raise DataError("no rows")

    monkeypatch.setattr(reproduction, "data_session", lambda *_: nullcontext())
    monkeypatch.setattr(reproduction, "check_sight", lambda _: None)
    monkeypatch.setattr(reproduction, "prepare_data", prepare)
    placed = settings().model_copy(update={"storage": str(tmp_path / "runs")})

    (difference,) = reproduction._of_changed({}, placed, NoDisplay())

    assert difference.what == "preparing it"
    assert [cache.parent for cache in caches] == [tmp_path / "runs"]
    assert not (tmp_path / "runs").exists()


def test_a_training_that_fails_is_its_own_error(recorded: RecordedRun, made: TrainResult) -> None:
    with pytest.raises(TrainError, match="why"):
        compare(recorded, replace(made, error=TrainError("why")))
