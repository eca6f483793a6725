"""A search whose trials a function of the user's own allows, on real Ray Tune."""

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

import distrain
from distrain.results import TuneResult
from distrain.run_folder import JOURNAL
from distrain.tune.events import read_events

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("ray_local")]

LR = "train.optimizer.lr"
RULES = f"""
def is_slow(trial):
    return trial["{LR}"] < 0.01
"""


def rates(result: TuneResult) -> list[float]:
    events = read_events(result.run_dir / JOURNAL)
    return [event["assignment"][LR] for event in events if event["event"] == "suggested"]


@pytest.mark.long
def test_a_search_that_goes_on_finds_the_function_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "own_rules.py").write_text(RULES)
    monkeypatch.setattr(sys, "path", [*sys.path])
    importable = [*sys.path]
    sys.path.insert(0, str(tmp_path / "own"))
    own_rules = importlib.import_module("own_rules")
    asked: dict[str, Any] = {
        "name": "digits",
        "storage": str(tmp_path / "runs"),
        "data": {"source": "sklearn:digits", "target": "target"},
        "model": {"name": "linear"},
        "train": {"epochs": 1, "num_workers": 1},
        "tune": {"space": {LR: {"loguniform": [1e-4, 1e-1]}}, "num_trials": 3},
    }
    begun = distrain.tune(asked, constraints=[own_rules.is_slow])
    first = rates(begun)
    sys.path[:] = importable
    del sys.modules["own_rules"]

    result = distrain.resume(begun.run_dir, ["tune.num_trials=6"], storage=tmp_path / "runs")

    assert isinstance(result, TuneResult)
    assert result.error is None
    assert (len(first), len(rates(result))) == (3, 6)
    assert rates(result)[:3] == first
    assert max(rates(result)) < 0.01
    stored = distrain.load_config(result.run_dir / "config.yaml").tune
    assert stored is not None
    assert stored.constraints == ["own_rules:is_slow"]
