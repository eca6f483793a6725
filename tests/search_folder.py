"""The folder of a search that nobody trained: its event log is a real one, of made-up curves.

Trials run on slots by a clock of their own, so that the log tells of hours in a moment. The search
itself is the real one: sampler, scheduler, verdicts.
"""

import heapq
import json
import math
import random
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

from distrain.config.digest import dump_yaml
from distrain.config.load import settings_from_dict
from distrain.config.settings import Settings
from distrain.errors import TrainError
from distrain.object_store.files import TRIALS
from distrain.run_folder import CONFIG, JOURNAL, RESULT, STARTED
from distrain.track.journal_reading import CRC_HEAD
from distrain.tune.search import Search
from distrain.tune.space import Space
from distrain.tune.sweep import new_search
from distrain.tune.trials import Report, Work

RUN = "20261130T120000-5eed00"
METRIC = "validation/accuracy"
BEGAN_MS = 1_796_000_000_000
STEPS = 50
FAULTS = (
    "RuntimeError: shapes (64, 10) and (128, 10) do not fit",
    "torch.OutOfMemoryError: CUDA out of memory",
)


@final
@dataclass
class ClockedLog:
    """The event log of a search, with a clock that is set by hand.

    Attributes:
        now_s: seconds since the search began.
        lines: of the journal.
        events: as `read_events` gives them.
    """

    now_s: float = 0.0
    lines: list[bytes] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)

    def add(self, event: str, /, **fields: Any) -> None:
        time_ms = BEGAN_MS + round(1000 * self.now_s)
        payload = json.dumps({"event": event, **fields}, separators=(",", ":"))
        seq = len(self.lines) + 1
        body = f'"seq":{seq},"time_ms":{time_ms},"kind":"search","payload":{payload}}}'.encode()
        self.lines.append(b'%b%08x",%b\n' % (CRC_HEAD, zlib.crc32(body), body))
        self.events.append({"event": event, **json.loads(payload), "time_ms": time_ms})

    def commit(self) -> None:
        pass


def settings_of(folder: Path, num_trials: int, epochs: int, **tune: Any) -> Settings:
    """Return the settings of a search over five parameters."""
    space = {
        "train.optimizer.lr": {"loguniform": [1e-4, 1e-1]},
        "train.optimizer.weight_decay": {"loguniform": [1e-5, 1e-1]},
        "model.dropout": {"uniform": [0, 0.6]},
        "model.hidden": {"choice": [[64], [128], [64, 64], [256, 128]]},
        "model.activation": {"choice": ["relu", "gelu", "tanh"]},
    }
    search = {"metric": METRIC, "mode": "max", "num_trials": num_trials, "space": space}
    return settings_from_dict(
        {
            "name": "made-up",
            "seed": 5,
            "storage": str(folder),
            "data": {"source": "sklearn:digits", "target": "target"},
            "model": {"name": "mlp"},
            "train": {"epochs": epochs, "num_workers": 1},
            "cluster": {"price_per_gpu_hour": 2.5},
            "tune": {**search, "scheduler": {"name": "asha"}, **tune},
        }
    )


def make_search(
    folder: Path,
    num_trials: int = 48,
    epochs: int = 20,
    num_slots: int = 8,
    until_s: float = math.inf,
    **tune: Any,
) -> tuple[Path, ClockedLog]:
    """Leave the folder of a search, and return it with the events of its log.

    Args:
        folder: the storage.
        num_trials: how many there are.
        epochs: of each.
        num_slots: trials at a time.
        until_s: when its driver is killed; what runs then has not ended.
        tune: further settings of the search.
    """
    settings = settings_of(folder, num_trials, epochs, **tune)
    run_dir = folder / settings.name / RUN
    (run_dir / JOURNAL).mkdir(parents=True)
    log = ClockedLog()
    search = new_search(settings, Space.of(settings), log, gpus=1.0)
    search.begin()
    runner = _Runner(search, log, random.Random(11), epochs, run_dir)
    is_over = runner.run(num_slots, until_s)
    best = search.best
    if is_over and best is not None:
        log.now_s += 40  # while the winner is evaluated
        log.add("won", trial=best.number)
        (run_dir / RESULT).write_text(json.dumps(_result(run_dir, search)))
    (run_dir / JOURNAL / "search-00001.jsonl").write_bytes(b"".join(log.lines))
    (run_dir / CONFIG).write_text(dump_yaml(settings))
    started = {"import_paths": [], "dataset_digest": "d" * 64, "files": [], "shapes": {}}
    facts = {**started, "tags": {"distrain.cpu": "made-up"}, "is_sweep": True}
    (run_dir / STARTED).write_text(json.dumps(facts))
    return run_dir, log


def write_events(run_dir: Path, events: Sequence[Mapping[str, Any]]) -> None:
    """Write other events into the log of a search, each with its time."""
    log = ClockedLog()
    for event in events:
        fields = {name: value for name, value in event.items() if name not in ("event", "time_ms")}
        log.now_s = (event["time_ms"] - BEGAN_MS) / 1000
        log.add(event["event"], **fields)
    (run_dir / JOURNAL / "search-00001.jsonl").write_bytes(b"".join(log.lines))


@final
class _Runner:
    """Runs trials on slots, by the clock of their log."""

    def __init__(
        self, search: Search, log: ClockedLog, chance: random.Random, epochs: int, run_dir: Path
    ) -> None:
        self._search = search
        self._log = log
        self._chance = chance
        self._epochs = epochs
        self._run_dir = run_dir
        self._began: dict[int, int] = {}

    def run(self, num_slots: int, until_s: float) -> bool:
        """Run until the search is over, or its driver is killed; return whether it is over."""
        due: list[tuple[float, int, Work, int]] = []
        while True:
            while len(due) < num_slots and (work := self._search.next_work()) is not None:
                begin = self._began[work.trial] = self._search.trials[work.trial].time
                heapq.heappush(
                    due, (self._log.now_s + self._epoch_s(work), work.trial, work, begin)
                )
            if not due or due[0][0] > until_s:
                return not due
            self._log.now_s, _, work, time = heapq.heappop(due)
            if self._goes_on(work, time + 1):
                next_s = self._log.now_s + self._epoch_s(work)
                heapq.heappush(due, (next_s, work.trial, work, time + 1))

    def _epoch_s(self, work: Work) -> float:
        hidden = self._search.trials[work.trial].assignment.get("model.hidden", [64])
        return 8 + 0.05 * sum(hidden) * self._chance.uniform(0.9, 1.1)

    def _goes_on(self, work: Work, time: int) -> bool:
        search, trial = self._search, work.trial
        train_s, step = 10.0 * (time - self._began[trial]), STEPS * time
        if (trial == 46 or trial % 97 == 17) and time == 1:  # ten of one cause would end it
            self._fail(work, step)
            return False
        values = {METRIC: self._value(search.trials[trial].assignment, time)}
        is_end = time == self._epochs
        reply = search.reported(trial, Report(time, time, step, values, train_s, is_end))
        if reply == "stop":
            return False
        if is_end or reply == "end":
            told = {"metrics": values, "train_s": train_s, "weights_sha256": "a" * 64}
            outcome = "finished" if is_end else "stopped_early"
            search.ended(trial, outcome, step=step, epoch=time, **told)
            return False
        if work.until is not None and time >= work.until:
            search.paused(trial, step, train_s)
            return False
        return True

    def _fail(self, work: Work, step: int) -> None:
        message = FAULTS[work.trial % 2]
        logs = self._run_dir / TRIALS / f"{work.trial:04d}" / "logs"
        logs.mkdir(parents=True)
        (logs / "rank-0.txt").write_text(f"Traceback <of trial {work.trial}>\n{message}\n")
        error = TrainError(message, where=f"trial {work.trial}, step {step}", mend="See the log")
        self._search.ended(work.trial, "failed", step=step, epoch=0, train_s=5.0, error=error)

    def _value(self, assignment: Mapping[str, Any], time: int) -> float:
        lr = math.log10(assignment["train.optimizer.lr"])
        level = 0.97 - 0.09 * (lr + 2.2) ** 2 - 0.25 * (assignment["model.dropout"] - 0.25) ** 2
        level += 0.01 * (assignment.get("model.activation") == "gelu")
        level += 0.004 * len(assignment.get("model.hidden", [64]))
        level -= 0.004 * (math.log10(assignment["train.optimizer.weight_decay"]) + 3) ** 2
        risen = 1 - math.exp(-time * (0.35 + 0.12 * (lr + 3)))
        value = max(0.1, level) * (0.3 + 0.7 * max(0.05, risen)) + self._chance.gauss(0, 0.004)
        return round(min(0.9999, max(0.0, value)), 6)


def _result(run_dir: Path, search: Search) -> dict[str, Any]:
    best = search.best
    assert best is not None
    outcomes = [trial.outcome for trial in search.trials]
    return {
        "status": "finished",
        "run_id": "c" * 32,
        "run_dir": str(run_dir),
        "num_trials": len(search.trials),
        "num_stopped_early": outcomes.count("stopped"),
        "num_failed": outcomes.count("failed"),
        "best": {
            "trial": best.number,
            "run_id": "e" * 32,
            "config": dict(best.assignment),
            "metrics": {**best.metrics, "test/accuracy": 0.9321},
        },
        "epochs_spent": search.epochs_spent,
        "wall_s": 1.0,
        "weights_sha256": "a" * 64,
        "model": {"name": "made-up", "version": "3", "alias": "champion"},
        "goals": {"test/accuracy": {"goal": ">= 0.9", "value": 0.9321, "met": True}},
        "confirm": None,
        "audit": None,
        "tracking": "complete",
        "error": None,
    }
