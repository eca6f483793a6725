"""A run's folder as it is when the run has begun."""

from pathlib import Path
from typing import Any

from distrain.config.digest import dump_yaml
from distrain.config.load import settings_from_dict
from distrain.stored_run import Started

SHAPES = {"0.weight": [4, 6], "0.bias": [4]}
STARTED = Started(
    import_paths=["/code"],
    dataset_digest="d" * 64,
    files=[{"uri": "/a.csv", "sha256": "a" * 64}],
    shapes=SHAPES,
    tags={"distrain.code.sha256": "c" * 64, "distrain.env": "a 1, b 2", "distrain.cpu": "X x 2"},
)


def make_run(storage: Path, name: str = "a", run: str = "r", **sections: Any) -> Path:
    """Make the folder of a run that has begun, and return it."""
    run_dir = storage / name / run
    run_dir.mkdir(parents=True)
    values = {
        "name": name,
        "storage": str(storage),
        "data": {"source": "/a.csv", "target": "y"},
        "train": {"epochs": 5},
        **sections,
    }
    (run_dir / "config.yaml").write_text(dump_yaml(settings_from_dict(values)))
    STARTED.save(run_dir)
    return run_dir
