"""What is told of a run at its start."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import pytest

from distrain.config.load import settings_from_dict
from distrain.run_facts import StartedRun, nothing_trained, recorded_facts, training_text
from distrain.track.origin import MODEL_ARGS_TAG
from distrain.train.job import TrainJob
from distrain.train.placement import Placement


def started(reduction: Literal["exact", "fast"] = "exact", **sections: Any) -> StartedRun:
    """A run of which only what is told at its start is there."""
    data = {"source": "digits", "target": "target"}
    nothing: Any = None
    prepared: Any = SimpleNamespace(dataset=SimpleNamespace(manifest={}, digest="d" * 64))
    return StartedRun(
        settings=settings_from_dict({"data": data, "model": {"name": "linear"}, **sections}),
        server=nothing,
        prepared=prepared,
        placement=Placement(num_workers=1, cpu=1.0, gpu=0.0),
        preflight=nothing,
        job=TrainJob("runs/digits/one", "prepared", {"name": "linear"}, reduction=reduction),
        import_paths=[],
    )


@pytest.mark.parametrize(("reduction", "is_told"), [("fast", True), ("exact", False)])
def test_a_run_says_that_its_bits_are_not_promised(
    reduction: Literal["exact", "fast"], is_told: bool
) -> None:
    run = started(reduction)
    assert ("reduction: fast" in training_text(run)) is is_told
    told = recorded_facts(run).tags.get("distrain.bits")
    assert told == ("not promised (reduction: fast)" if is_told else None)


def test_variables_in_the_model_s_args_are_told_by_a_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A module alone: of a package, such as the tests, all files would be read.
    (tmp_path / "own_net.py").write_text("class Drops: ...\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    model = {"target": "own_net:Drops", "args": {"p": "${DROPOUT}"}}
    digests = []
    for value in ("0.1", "0.9"):
        monkeypatch.setenv("DROPOUT", value)
        digests.append(recorded_facts(started(model=model)).tags[MODEL_ARGS_TAG])
    assert digests[0] != digests[1]
    assert MODEL_ARGS_TAG not in recorded_facts(started()).tags


@pytest.mark.parametrize(("num_workers", "is_told"), [(1, True), (2, False)])
def test_a_worker_alone_is_told_to_shard_nothing(num_workers: int, is_told: bool) -> None:
    run = started()
    run = replace(
        run,
        job=replace(run.job, strategy="fsdp"),
        placement=replace(run.placement, num_workers=num_workers),
    )
    assert ("one worker alone shards nothing" in training_text(run)) is is_told


@pytest.mark.parametrize(("num_hosts", "is_told"), [(1, True), (4, False)])
def test_workers_share_cores_where_all_of_them_are_on_this_host(
    num_hosts: int, is_told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distrain.run_facts.num_cores", lambda: 2)
    placement = Placement(num_workers=8, cpu=1.0, gpu=0.0, num_hosts=num_hosts)

    told = training_text(replace(started(), placement=placement))

    assert ("8 workers, who share 2 cores" in told) is is_told


@pytest.mark.parametrize(
    "sections",
    [
        {"train": {"loss": "own_parts:loss"}},
        {"evaluate": {"metrics": [{"target": "own_parts:score"}]}},
    ],
)
def test_the_code_of_an_own_loss_or_metric_is_part_of_the_code(
    sections: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    digests = set()
    for text in ("a = 1\n", "a = 2\n"):
        (tmp_path / "own_parts.py").write_text(text)
        digests.add(recorded_facts(started(**sections)).tags["distrain.code.sha256"])

    assert len(digests) == 2


@pytest.mark.parametrize(
    ("changed", "status", "is_told"),
    [
        ({"train.epochs": "5 -> 80"}, "stopped_early", True),
        ({"train.epochs": "5 -> 80"}, "interrupted", False),
        ({"track.uri": "null -> x"}, "stopped_early", False),
        (None, "stopped_early", False),
    ],
)
def test_a_longer_run_that_had_stopped_early_says_why_it_does_not_train(
    changed: dict[str, str] | None, status: str, is_told: bool
) -> None:
    run = replace(started(train={"early_stopping": {}}), changed=changed)
    outcome: Any = SimpleNamespace(status=status, step=12, resumed_from_step=12)

    told = "nothing was left to train: train.early_stopping had ended the run at step 12"
    assert nothing_trained(run, outcome) == ([told] if is_told else [])
