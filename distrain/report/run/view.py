"""A training run as its report shows it, gathered from its folder.

What cannot be read is missing, and its section with it: a report is of use above all where
something went wrong.
"""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal, final

from distrain import lease
from distrain.config.source_lines import read_tree
from distrain.errors import DistrainError
from distrain.foreign import read_json
from distrain.object_store.link import shown
from distrain.past.clock import TimeSplit, split_time
from distrain.past.story import Story, read_story
from distrain.report.loading import tracking_uri_of
from distrain.results import TrainResult
from distrain.run_folder import CONFIG, JOURNAL
from distrain.since import Since, compare_line, since_last_run
from distrain.stored_run import read_result
from distrain.track import lineage_folder
from distrain.train.selection import Selection

RunState = Literal["finished", "stopped_early", "failed", "interrupted", "running", "cut_off"]
"""As in a result; `running`: somebody drives it; `cut_off`: nobody does, and it told no end."""

LINEAGE: Final = lineage_folder.FOLDER

logger = logging.getLogger(__name__)


@final
@dataclass(frozen=True)
class RunView:
    """A run as its report shows it.

    Attributes:
        name: the experiment.
        run: the run's name.
        folder: where it is kept.
        state: how it stands.
        result: how it ended; None: it has not.
        story: what its journal tells.
        time: where its time went.
        config: its configuration, resolved.
        data: source files, splits, profile and findings, as `lineage/data.json` has them.
        machine: what it was made on, as `lineage/machine.json` has it.
        code: what code it was made by, as `lineage/code.json` has it.
        tracking_uri: where MLflow has it, without credentials; None: that is not known here.
        since: what changed since the run of the experiment before it; None: none is at hand.
        compare_line: the command that tells what differs from another run.
        made_ms: when this was gathered.
    """

    name: str
    run: str
    folder: str
    state: RunState
    result: TrainResult | None
    story: Story
    time: TimeSplit
    config: Mapping[str, Any]
    data: Mapping[str, Any]
    machine: Mapping[str, Any]
    code: Mapping[str, Any]
    tracking_uri: str | None
    since: Since | None
    compare_line: str
    made_ms: int

    @property
    def key(self) -> str:
        """Return `<experiment>/<run>`."""
        return f"{self.name}/{self.run}"

    @cached_property
    def metrics(self) -> dict[str, float]:
        """Return final metrics by name; of a run that has no end, what was measured last."""
        if self.result is not None and self.result.metrics:
            return dict(self.result.metrics)
        names = [name for name in self.story.metrics if name.startswith(("train/", "validation/"))]
        last = {name: self.story.last(name) for name in names}
        return {name: value for name, value in last.items() if value is not None}

    @property
    def goals(self) -> Mapping[str, str]:
        """Return the goals that were stated, metric to bound."""
        goals = self.setting("evaluate.goals")
        return goals if isinstance(goals, Mapping) else {}

    @cached_property
    def selection(self) -> Selection:
        """Return which metric said what was best, having seen all that was measured."""
        selection = Selection.of(self.setting("train.early_stopping"))
        for step, value in self.story.points(selection.metric):
            selection.observe(int(step), {selection.metric: value})
        return selection

    @property
    def num_workers(self) -> int:
        """Return the workers of the last attempt; 0: there was none."""
        if self.result is not None:
            return self.result.num_workers
        return self.story.attempts[-1].num_workers if self.story.attempts else 0

    @property
    def gpus_per_worker(self) -> float:
        """Return how many GPUs a worker had."""
        if self.machine.get("device") != "cuda":
            return 0.0
        asked = self.setting("train.resources_per_worker.gpu")
        return float(asked) if isinstance(asked, int | float) else 1.0

    def setting(self, key: str) -> Any:
        """Return a value of the configuration by its dotted key; None: it is not there."""
        value: Any = self.config
        for part in key.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        return value


def view_run(run_dir: Path, result: TrainResult | None = None) -> RunView:
    """Return a run as its report shows it.

    Args:
        run_dir: its folder.
        result: how it ended, where its command is about to write that; None: what it has written.

    Raises:
        OSError: the journal cannot be read.
    """
    ended = result or read_result(run_dir)
    story = read_story(run_dir / JOURNAL)
    state = _state(run_dir, ended)
    since = since_last_run(run_dir)
    config = _config(run_dir / CONFIG)
    now_ms = time.time_ns() // 1_000_000
    is_open = state == "running" or result is not None
    return RunView(
        name=run_dir.parent.name,
        run=run_dir.name,
        folder=ended.folder if ended is not None else shown(run_dir),
        state=state,
        result=ended,
        story=story,
        time=split_time(story, now_ms if is_open else None),
        config=config,
        data=_table(run_dir / LINEAGE / lineage_folder.DATA),
        machine=_table(run_dir / LINEAGE / lineage_folder.MACHINE),
        code=_table(run_dir / LINEAGE / lineage_folder.CODE),
        tracking_uri=tracking_uri_of(run_dir, _configured_uri(config)),
        since=since,
        compare_line=compare_line(run_dir, since.run if since is not None else None),
        made_ms=now_ms,
    )


def when_text(time_ms: int) -> str:
    """Return a moment for people: `2026-11-30 17:43:12 UTC`."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _state(run_dir: Path, result: TrainResult | None) -> RunState:
    if result is not None:
        return result.status
    return "cut_off" if lease.is_free(run_dir) else "running"


def _configured_uri(config: Mapping[str, Any]) -> Any:
    track = config.get("track")
    return track.get("uri") if isinstance(track, Mapping) else None


def _config(path: Path) -> dict[str, Any]:
    try:
        values = read_tree(path, str(path), 0)[0].values
    except (DistrainError, OSError) as fault:
        logger.warning("%s is left out of the report: %s", path, fault)
        return {}
    return dict(values)


def _table(path: Path) -> dict[str, Any]:
    try:
        found = read_json(path)
    except (OSError, ValueError) as fault:
        logger.warning("%s is left out of the report: %s", path, fault)
        return {}
    return found if isinstance(found, dict) else {}
