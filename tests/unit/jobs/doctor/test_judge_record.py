"""What planted facts of the tracking store, of runs and of measured GPUs are judged to be."""

from dataclasses import replace

from distrain.errors import TrackingError
from distrain.jobs.doctor import judge_record as judge
from distrain.jobs.doctor.facts import Speed
from distrain.jobs.doctor.look import LeftRun
from distrain.track.examination import TrackingFacts

FIT = TrackingFacts("http://mlflow:5000", "track.uri", "3.17.2", version="3.17.0")


def test_a_server_that_takes_a_version_is_well() -> None:
    [found] = judge.judge_tracking(FIT)

    assert found.level == "ok"
    assert "MLflow 3.17.0" in found.text


def test_a_server_that_is_down_ends_the_command_with_four() -> None:
    error = TrackingError("no tracking server answers there", where="track.uri", mend="Start it")

    [found] = judge.judge_tracking(replace(FIT, error=error))

    assert (found.check, found.level, found.exit_code) == ("MLflow", "fault", 4)
    assert found.mend == "Start it"


def test_a_server_without_a_registry_is_a_fault() -> None:
    error = TrackingError("the tracking server has no model registry", mend="Start it with one")

    [found] = judge.judge_tracking(replace(FIT, registry_error=error))

    assert (found.check, found.level, found.mend) == ("registry", "fault", "Start it with one")


def test_a_server_of_another_version_is_a_warning() -> None:
    [found] = judge.judge_tracking(replace(FIT, version="3.12.1"))

    assert (found.level, found.where) == ("warning", "track.uri = http://mlflow:5000")
    assert "pip install mlflow==3.12.1" in found.mend


def test_a_database_that_is_not_there_yet_is_no_fault() -> None:
    [found] = judge.judge_tracking(replace(FIT, is_made=False))

    assert found.level == "ok"


def test_left_runs_and_journals_are_named_with_the_commands_that_mend_them() -> None:
    left = LeftRun("digits/a", is_unfinished=True, is_pending=True)
    sent = LeftRun("digits/b", is_unfinished=True, is_pending=False)

    unfinished, pending = judge.judge_runs([left, sent], "./runs")

    assert (unfinished.level, pending.level) == ("warning", "warning")
    assert "2 runs without an end" in unfinished.text
    assert "distrain resume digits/a" in unfinished.mend
    assert "1 journal with what MLflow lacks: digits/a" in pending.text
    assert pending.mend == "distrain sync --storage ./runs"


def test_a_slow_card_and_a_slow_link_are_named_beside_the_median() -> None:
    speeds = [
        Speed("node-1", (700.0, 705.0), 350.0),
        Speed("node-2", (710.0, 420.0), 345.0),
        Speed("node-3", (701.0, 702.0), 60.0),
    ]

    card, link = judge.judge_speeds(speeds)

    assert (card.level, card.where) == ("warning", "GPU 1 on node-2")
    assert card.text == "420 TFLOP/s in a matrix product, where the median is 702"
    assert (link.where, link.text) == (
        "node-3",
        "60 GB/s in an all-reduce, where the median is 345",
    )
    assert "nvidia-smi topo -m" in link.mend


def test_gpus_of_one_speed_are_well() -> None:
    [found] = judge.judge_speeds([Speed("node-1", (700.0,)), Speed("node-2", (690.0,))])

    assert found.text == "2 GPUs, 695 TFLOP/s each, no all-reduce: no node has two GPUs"


def test_gpus_that_are_in_use_are_told_and_not_judged() -> None:
    [found] = judge.judge_speeds([Speed("node-1", why="all 2 GPUs are in use")])

    assert (found.level, found.text) == ("warning", "all 2 GPUs are in use")
