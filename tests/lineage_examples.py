"""A run as its folder tells it when it is to be made again, without having been trained."""

from pathlib import Path
from typing import Any

from distrain.config.digest import dump_yaml, resolved_dict
from distrain.config.load import settings_from_dict
from distrain.track import lineage
from distrain.track.describe import run_params
from distrain.track.lineage_folder import sha256, write_lineage
from distrain.track.origin import LINEAGE_TAG, ORDER_TAG, STEPS_TAG, WEIGHTS_TAG
from distrain.track.recorded import RecordedRun

MACHINE = {**lineage.machine("cpu", []), "cpu": "a processor"}


def manifest(source: Path) -> dict[str, Any]:
    """Return the manifest of data that was prepared from a file."""
    known = {"uri": str(source), "sha256": sha256(source.read_bytes())}
    return {"digest": "d" * 64, "splits": {}, "sources": [known]}


def recorded_run(folder: Path, source: str | None = None, **train: Any) -> RecordedRun:
    """Write `net.py`, `a.csv` and `runs/a/r` into a folder, and return the run.

    Args:
        folder: takes the files.
        source: what stands under `data.source`; None: the path of `a.csv`.
        train: keys of the section `train`.
    """
    (folder / "net.py").write_text("WIDTH = 3\n")
    (folder / "a.csv").write_text("x,y\n1,0\n2,1\n")
    run_dir = folder / "runs" / "a" / "r"
    data = {"source": source or str(folder / "a.csv"), "target": "y"}
    settings = settings_from_dict({"name": "a", "data": data, "train": {"epochs": 5, **train}})
    sha = write_lineage(
        run_dir / "lineage",
        config=dump_yaml(settings),
        manifest=manifest(folder / "a.csv"),
        user_code=[folder / "net.py"],
        machine=MACHINE,
    )
    (run_dir / "config.yaml").write_text(dump_yaml(settings))
    return RecordedRun(
        key="a/r",
        run_id=None,
        run_dir=run_dir,
        lineage=run_dir / "lineage",
        config_copy=run_dir / "config.yaml",
        tags={LINEAGE_TAG: sha, WEIGHTS_TAG: "f" * 64, ORDER_TAG: "0" * 64, STEPS_TAG: "4"},
        params=run_params(resolved_dict(settings)),
        values={},
    )
