"""What another scheduler would have done, read from a search's folder."""

import json
from pathlib import Path

import pytest

from distrain.config.digest import dump_yaml
from distrain.config.load import settings_from_dict
from distrain.errors import ConfigError
from distrain.hindsight import replay
from distrain.run_folder import CONFIG, JOURNAL
from distrain.tune.events import writing_events

TO_SHA = [
    "tune.scheduler.name=sha",
    "tune.scheduler.time_attr=step",
    "tune.scheduler.grace_period=10",
    "tune.scheduler.reduction_factor=2",
]


def search_by_steps(folder: Path, times: list[int]) -> Path:
    """Leave a search of two trials of 20 steps, which report at these times; return its folder."""
    run_dir = folder / "digits" / "20261129T193230-5872f0"
    run_dir.mkdir(parents=True)
    settings = settings_from_dict(
        {
            "data": {"source": "a.csv", "target": "y"},
            "train": {"steps": 20},
            "evaluate": {"every_steps": 10},
            "tune": {
                "space": {"train.optimizer.lr": {"loguniform": [1e-4, 1e-1]}},
                "num_trials": 2,
            },
        }
    )
    (run_dir / CONFIG).write_text(dump_yaml(settings))
    started = {"import_paths": [], "dataset_digest": "", "files": [], "shapes": {}, "tags": {}}
    (run_dir / "started.json").write_text(json.dumps({**started, "is_sweep": True}))
    with writing_events(run_dir / JOURNAL, lambda: True) as log:
        for trial in (0, 1):
            values = {"validation/loss": 0.5 + trial}
            for epoch, time in enumerate(times, 1):
                at = {"time": time, "epoch": epoch, "step": 10 * epoch}
                log.add("reported", trial=trial, **at, values=values, train_s=0.1)
            log.add("ended", trial=trial, outcome="finished", epoch=2, metrics=values)
    return run_dir


def test_another_scheduler_plays_the_curves_of_a_search_by_steps(tmp_path: Path) -> None:
    run_dir = search_by_steps(tmp_path, [10, 20])

    result = replay(str(run_dir), TO_SHA, storage=tmp_path)

    assert (result.recorded.epochs, result.played.epochs) == (4, 3)
    assert result.played.best == (0, 0.5)


def test_curves_by_epochs_are_not_played_by_a_scheduler_that_counts_steps(tmp_path: Path) -> None:
    run_dir = search_by_steps(tmp_path, [1, 2])

    with pytest.raises(ConfigError, match=r"counts steps, and the search's curves were not"):
        replay(str(run_dir), TO_SHA, storage=tmp_path)
