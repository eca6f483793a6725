"""What is told of a run at its start."""

from types import SimpleNamespace
from typing import Any, Literal

import pytest

from distrain.config.load import settings_from_dict
from distrain.run_facts import StartedRun, recorded_facts, training_text
from distrain.train.job import TrainJob
from distrain.train.placement import Placement


def started(reduction: Literal["exact", "fast"]) -> StartedRun:
    """A run of which only what is told at its start is there."""
    data = {"source": "digits", "target": "target"}
    nothing: Any = None
    prepared: Any = SimpleNamespace(dataset=SimpleNamespace(manifest={}, digest="d" * 64))
    return StartedRun(
        settings=settings_from_dict({"data": data, "model": {"name": "linear"}}),
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
