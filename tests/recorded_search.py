"""The journal of a search, as its driver leaves it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self, final

from distrain.track.journal import JournalWriter
from distrain.track.layout import SearchLayout

SWEEP = "20261121T120000-abc123"
NAME = "adult"
KEY = f"{NAME}/{SWEEP}"
TAGS = {
    "mlflow.user": "ann",
    "mlflow.source.name": "distrain tune run.yaml",
    "distrain.kind": "sweep",
    "distrain.seed": "7",
    "distrain.data.sha256": "d" * 64,
    "distrain.config.sha256": "c" * 64,
}

LAYOUT: Final = SearchLayout(
    "validation/accuracy",
    "max",
    ("train.optimizer.lr", "model.hidden"),
    log_paths=("train.optimizer.lr",),
)
DATASET: Final = {
    "name": NAME,
    "digest": "d" * 64,
    "sources": ["people.csv"],
    "schema": {f"column {number}": "double" for number in range(20)},
    "splits": {"train": 900, "validation": 100},
    "tensors": {},
    "profile": {f"column {number}": {"kind": "numeric", "mean": 0.5} for number in range(20)},
    "findings": [],
}
"""Of twenty columns."""


def make_run(storage: Path, run: str, won: list[Any] | None = None) -> Path:
    """Leave the folder of a run, and what a search that it has won; return it."""
    run_dir = storage / NAME / run
    run_dir.mkdir(parents=True)
    (run_dir / "config.yaml").write_text("name: adult\n")
    (run_dir / "started.json").write_text(json.dumps({"won": won}))
    return run_dir


@final
class RecordedSearch:
    """Writes the two segments of a search.

    Args:
        folder: the journal's folder.
        layout: how it is laid out; None: as searches of earlier versions, which do not tell.
        dataset: what it is trained on, as `describe.dataset_facts` gives it; None: it is not told.
    """

    def __init__(
        self,
        folder: Path,
        layout: SearchLayout | None = None,
        dataset: Mapping[str, Any] | None = None,
    ) -> None:
        self.folder = folder
        self._layout, self._dataset = layout, dataset
        self.driver = JournalWriter(folder, "driver")
        self.events = JournalWriter(folder, "search")

    def begin(self) -> None:
        """Record what the search is."""
        told = {"search": self._layout.to_json()} if self._layout else {}
        self.driver.run({"experiment": NAME, "key": KEY, "name": SWEEP, "tags": TAGS, **told})
        if self._dataset is not None:
            self.driver.dataset(self._dataset)

    def suggest(self, trial: int, **assignment: Any) -> None:
        """Record a trial; `__` stands for the points of a path."""
        paths = {path.replace("__", "."): value for path, value in assignment.items()}
        event = {"event": "suggested", "trial": trial, "assignment": paths, "origin": "tpe"}
        self.events.search(event)

    def report(self, trial: int, time: int, step: int, **values: float) -> None:
        """Record metrics of a trial; `__` stands for `/`."""
        named = {name.replace("__", "/"): value for name, value in values.items()}
        at = {"time": time, "epoch": time, "step": step}
        self.events.search({"event": "reported", "trial": trial, **at, "values": named})

    def decide(self, trial: int, action: str, text: str, **more: Any) -> None:
        """Record what a scheduler decided."""
        ranks = {"rung": 0, "cut": 0.95, "rank": 17, "num_rivals": 64, "num_kept": 16}
        verdict = {"action": action, "time": 2, "value": 0.9, **ranks, "text": text, **more}
        self.events.search({"event": "decided", "trial": trial, **verdict})

    def end(self, trial: int, outcome: str, step: int = 40, **more: Any) -> None:
        """Record the end of a trial."""
        told = {"epoch": 2, "metrics": {}, "train_s": 1.2, "error": None, **more}
        self.events.search(
            {"event": "ended", "trial": trial, "outcome": outcome, "step": step, **told}
        )

    def close(self) -> None:
        """Close both."""
        self.driver.close()
        self.events.close()

    def __enter__(self) -> Self:
        self.begin()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
