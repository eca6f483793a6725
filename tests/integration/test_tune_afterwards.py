"""What comes after a search on real Ray Tune and MLflow: other seeds, the audit, another search."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import distrain
from distrain import hindsight
from distrain.results import TuneResult
from distrain.run_folder import JOURNAL
from distrain.track.trials import AUDITS_FROM, confirming_trial, kind_of
from distrain.tune.events import read_events
from tests.digits_search import decisions, digits_search
from tests.killed_search import end_search, kill_search

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("ray_local")]


def config(storage: Path, **tune: Any) -> dict[str, Any]:
    return digits_search(
        storage, tune={"scheduler": {"name": "asha", "reduction_factor": 2}, **tune}
    )


AFTER: dict[str, Any] = {"scheduler": {"name": "sha", "reduction_factor": 2}, "num_trials": 8}
AFTER |= {"confirm": 2, "audit_fraction": 0.6}


def events_of(result: TuneResult) -> list[Any]:
    return list(read_events(result.run_dir / JOURNAL))


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("afterwards")


@pytest.fixture(scope="module")
def searched(storage: Path) -> TuneResult:
    return distrain.tune(config(storage, **AFTER))


def test_the_search_is_as_it_is_alone(searched: TuneResult, storage: Path) -> None:
    alone = {**AFTER, "confirm": None, "audit_fraction": None}

    plain = distrain.tune(config(storage, **alone))

    assert decisions(plain.run_dir) == decisions(searched.run_dir)
    assert plain.weights_sha256 == searched.weights_sha256
    assert plain.epochs_spent == searched.epochs_spent
    assert (plain.confirm, plain.audit) == (None, None)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["confirm", "audit"])
def test_what_comes_after_has_the_weights_that_train_gives(
    searched: TuneResult, storage: Path, kind: str
) -> None:
    events = events_of(searched)
    ended = next(
        event for event in events
        if event["event"] == "ended" and kind_of(event["trial"])[0] == kind
    )  # fmt: skip
    [values] = (
        event["assignment"] for event in events
        if event["event"] == "suggested" and event["trial"] == ended["trial"]
    )  # fmt: skip
    overrides = [f"{path}={json.dumps(value)}" for path, value in values.items()]

    trained = distrain.train(config(storage), overrides)

    assert trained.weights_sha256 == ended["weights_sha256"]
    assert trained.metrics["validation/accuracy"] == ended["metrics"]["validation/accuracy"]


def test_mean_and_spread_are_in_the_result_and_at_mlflow(
    searched: TuneResult, storage: Path
) -> None:
    from mlflow import MlflowClient

    assert searched.confirm is not None
    assert searched.audit is not None
    assert searched.confirm["seeds"] == [4, 5]
    client = MlflowClient(f"sqlite:///{storage}/mlflow.db")
    metrics = client.get_run(searched.run_id).data.metrics
    assert metrics["confirm/mean"] == searched.confirm["mean"]
    assert metrics["confirm/std"] == searched.confirm["std"]
    assert metrics["audit/wrong_fraction"] == searched.audit["wrong_fraction"]
    assert metrics["audit/wrong_fraction_high"] == searched.audit["wrong_interval"][1]
    assert metrics["audit/epochs"] == searched.audit["epochs"] > 0
    assert (
        "**With other seeds**" in client.get_run(searched.run_id).data.tags["mlflow.note.content"]
    )


def test_each_of_them_is_a_run_below_the_search_s_own(searched: TuneResult, storage: Path) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{storage}/mlflow.db")
    experiment = client.get_experiment_by_name("digits")
    runs = client.search_runs(
        [experiment.experiment_id], f"tags.`mlflow.parentRunId` = '{searched.run_id}'"
    )
    kinds = [run.data.tags["distrain.kind"] for run in runs]
    assert searched.best is not None
    assert searched.audit is not None
    best = searched.best["trial"]
    assert kinds.count("trial") == 8
    assert kinds.count("audit") == searched.audit["num_audited"] > 0
    confirming = [run for run in runs if run.data.tags["distrain.kind"] == "confirm"]
    assert {run.info.run_name for run in confirming} == {
        f"trial {best:04d}-confirm-{place} of {searched.run_dir.name}" for place in (1, 2)
    }
    assert {run.data.tags["distrain.seed"] for run in confirming} == {"4", "5"}
    assert {run.data.tags["distrain.trial"] for run in confirming} == {str(best)}


def test_nothing_is_left_of_them_but_the_record(searched: TuneResult) -> None:
    assert list((searched.run_dir / "trials").iterdir()) == []


def test_why_tells_of_an_audited_stop_and_of_the_winner(
    searched: TuneResult, storage: Path
) -> None:
    audited = next(
        kind_of(event["trial"])[1] for event in events_of(searched)
        if event["event"] == "ended" and kind_of(event["trial"])[0] == "audit"
    )  # fmt: skip
    assert searched.best is not None

    stopped = hindsight.why(searched.run_dir.name, audited, storage=storage)
    winner = hindsight.why(searched.run_dir.name, searched.best["trial"], storage=storage)

    assert stopped.audit is not None
    assert "It was audited: run on to its end after the search" in stopped.text
    assert "audited stops wrong" in stopped.text
    assert winner.confirm == searched.confirm
    assert "with 2 other seeds" in winner.text


def test_replay_knows_the_curves_that_were_audited(searched: TuneResult, storage: Path) -> None:
    same = hindsight.replay(
        searched.run_dir.name, ["tune.scheduler.reduction_factor=2"], storage=storage
    )

    assert same.recorded == same.played
    assert same.played.epochs == searched.epochs_spent


@pytest.mark.long
def test_a_driver_that_is_killed_meanwhile_goes_on_to_the_same(
    searched: TuneResult, tmp_path: Path
) -> None:
    """The driver is killed while the winner is confirmed, and again while trials are audited."""
    events = events_of(searched)
    first = next(
        place for place, event in enumerate(events)
        if kind_of(event.get("trial", -1))[0] == "confirm"
    )  # fmt: skip
    file = tmp_path / "digits.yaml"
    file.write_text(json.dumps(config(tmp_path / "runs", **AFTER)))
    command = ["tune", str(file)]
    for num_events in (first + 5, first + 18):
        run_dir = kill_search(command, tmp_path / "runs", num_events)
        command = ["resume", str(run_dir)]
    result = end_search(command, tmp_path / "runs")

    again = list(read_events(run_dir / JOURNAL))
    ends = [event["trial"] for event in again if event["event"] == "ended"]
    assert len(ends) == len(set(ends))
    assert decisions(run_dir) == decisions(searched.run_dir)
    assert result["confirm"] == searched.confirm
    assert result["audit"] == searched.audit
    assert result["weights_sha256"] == searched.weights_sha256


@pytest.mark.long
def test_trials_that_run_while_they_are_stopped_are_audited_from_where_they_were(
    storage: Path,
) -> None:
    result = distrain.tune(config(storage, audit_fraction=1))

    events = events_of(result)
    stopped = {event["trial"] for event in events if event["event"] == "ended"
               and event["outcome"] == "stopped"}  # fmt: skip
    audited = {event["trial"] - AUDITS_FROM: event for event in events
               if event["event"] == "ended" and kind_of(event["trial"])[0] == "audit"}  # fmt: skip
    assert stopped
    assert set(audited) == stopped
    assert {event["epoch"] for event in audited.values()} == {4}
    assert not any(event["event"] == "lost" for event in events)


@pytest.mark.long
def test_more_seeds_can_be_asked_for_when_a_search_is_finished(
    searched: TuneResult, storage: Path
) -> None:
    assert searched.best is not None

    again = distrain.resume(searched.run_dir, ["tune.confirm=3"], storage=storage)

    assert isinstance(again, TuneResult)
    assert again.confirm is not None
    assert again.confirm["seeds"] == [4, 5, 6]
    assert again.weights_sha256 == searched.weights_sha256
    started = [event for event in events_of(again) if event["event"] == "started"]
    assert started[-1]["trial"] == confirming_trial(searched.best["trial"], 2)


@pytest.mark.long
def test_an_earlier_search_gives_the_first_trials_and_is_needed_no_more(
    searched: TuneResult, storage: Path
) -> None:
    assert searched.best is not None
    asked = config(storage, search_alg="tpe", start_from=searched.run_dir.name)

    result = distrain.tune(asked)

    suggested = [event for event in events_of(result) if event["event"] == "suggested"]
    assert suggested[1]["assignment"] == searched.best["config"]
    assert events_of(result)[0]["event"] == "inherited"
    shutil.move(searched.run_dir, storage / "elsewhere")
    try:
        more = distrain.resume(result.run_dir, ["tune.num_trials=8"], storage=storage)
    finally:
        shutil.move(storage / "elsewhere", searched.run_dir)
    assert isinstance(more, TuneResult)
    assert more.num_trials == 8


@pytest.mark.long
def test_several_seeds_share_a_setting_and_the_best_mean_wins(storage: Path) -> None:
    from mlflow import MlflowClient

    scheduler = {"name": "sha", "reduction_factor": 2}
    result = distrain.tune(config(storage, num_seeds=2, num_trials=8, scheduler=scheduler))

    events, best = events_of(result), result.best
    assert best is not None
    setting = best["trial"] // 2
    finals = {
        event["trial"]: event["metrics"]["validation/accuracy"]
        for event in events
        if event["event"] == "ended" and event["outcome"] == "finished"
    }
    assert best["mean"] == sum(finals[2 * setting + place] for place in (0, 1)) / 2
    assert best["mean"] == max(sum(finals[n + k] for k in (0, 1)) / 2 for n in finals if n % 2 == 0)
    assert best["config"]["seed"] == 3
    for stopped in (event["trial"] for event in events if event["event"] == "ended"):
        assert (stopped in finals) == (stopped ^ 1 in finals)
    winner = MlflowClient(f"sqlite:///{storage}/mlflow.db").get_run(best["run_id"])
    assert winner.data.tags["distrain.setting"] == str(setting)
