"""One trial in a warm Tune actor: the training loop in its process, which reports to the driver.

The actor outlives the trial, so nothing is imported, prepared or read twice; all that a trial sets
in its process, the next one sets anew. Where a trial has several workers, the actor is their rank
zero, and those beside it are as warm: see `crew.py`.

An exception is reported, as what the user's code is to blame for or not; only a process that dies
is for Tune to notice. A trial that hangs has its process ended: see `hangs.py`.
"""

import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from distrain.errors import TrainError
from distrain.redaction import traceback_text
from distrain.train.beat import Beat, beating, last_step, read_beats
from distrain.train.gauges import exporting_speed
from distrain.train.job import Answer, GivenUpError, TrainJob, TrainOutcome
from distrain.train.speed import Speed
from distrain.train.taking_up import newest_good
from distrain.train.worker import STOP_FILE, StopFile
from distrain.tune.crew import PeerError, training_world
from distrain.tune.faults import OUT_OF_MEMORY, error_fields
from distrain.tune.hangs import watched
from distrain.tune.host import JOB_FILE, Here, keep_logs, processes_folder
from distrain.tune.peers import attempt_folder, enter, node_of_process
from distrain.tune.reporter import Channel, ClosedError, Reporter


def run_slot(common: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """Run one trial after the other, and report; called by Tune in an actor.

    Args:
        common: of all trials: `import_paths`, `environment` (what an actor sets for itself),
            `num_workers` (of each), `cpu` and
            `gpu` (of each worker), `reserved` (what a trial has, in words), `has_gpu`, `backend`
            and `collective_timeout_s` (of exchanges between workers), `by_epoch` (whether the
            search counts time in epochs), `sweep_dir`, `store` (as `processes_folder` takes it)
            and `labels` (as `exporting_speed` has them).
        config: `slot`, a folder for the driver's answers, and `work`: `folder` of a trial,
            `attempt`, `until` and `saved_step` as in `trials.Work`, and what
            `attempt_at_store` adds.
    """
    enter(common)
    try:
        with exporting_speed(common["labels"]) as speed, processes_folder(common) as here:
            channel = Channel(Path(config["slot"]), here)
            work = here.first_work(Path(config["slot"]), config["work"])
            while True:
                work = _run_trial(common, work, channel, speed)
    except ClosedError:  # a function that returns is waited for by Tune, to report once more
        raise SystemExit from None


def _run_trial(
    common: Mapping[str, Any], work: Mapping[str, Any], channel: Channel, speed: Speed
) -> dict[str, Any]:
    """Run or go on with a trial, tell what came of it, and return the slot's next work.

    Raises:
        ClosedError: there is none any more.
    """
    started = time.perf_counter()
    reporter = Reporter(common, work, channel, started, speed)
    try:
        with attempt_folder(channel.here, work, 0, common) as folder:
            try:
                own = {**work, "folder": str(folder)}
                kind, fields = _run(common, own, channel.here, reporter)
            except GivenUpError:
                if reporter.next_work is None:
                    raise ClosedError from None
                return reporter.next_work
            except (Exception, SystemExit) as error:  # told: the driver tells the user of it
                sys.stderr.write(traceback_text(error))
                kind, fields = _failure(error, folder, work["attempt"], common)
                keep_logs(folder)
    except TrainError as error:  # it has not begun
        kind, fields = _failure(error, Path(work["folder"]), work["attempt"], common)
    fields["train_s"] = time.perf_counter() - started
    next_work: dict[str, Any] = channel.tell(kind, fields)["work"]
    return next_work


def _run(
    common: Mapping[str, Any], work: Mapping[str, Any], here: Here, reporter: Reporter
) -> tuple[str, dict[str, Any]]:
    from distrain.train import loop

    folder = Path(work["folder"])
    job = TrainJob.from_json(json.loads((folder / JOB_FILE).read_text(encoding="utf-8")))
    saved = work["saved_step"]
    if saved is not None and newest_good(folder) == saved:
        return "paused", {"step": saved}
    attempt, timeout_s = work["attempt"], common["collective_timeout_s"]
    with (
        beating(folder, 0, attempt=attempt, node=node_of_process()) as beat,
        watched(folder, attempt, timeout_s),
    ):
        try:
            beat.rest()  # peers that have to be made are waited for by `crew.py`
            with training_world(common, work) as world:
                outcome = loop.train(
                    job,
                    world,
                    reporter,
                    StopFile(here.sweep_dir / STOP_FILE),
                    beat,
                    ask=_asking(reporter.ask, beat),
                )
        finally:  # what comes next is the driver's answer
            beat.rest()
    return _end_of(outcome)


def _asking(
    ask: Callable[[int, int, bool], Answer], beat: Beat
) -> Callable[[int, int, bool], Answer]:
    """Return a function that asks, and tells meanwhile that it waits."""

    def waiting(step: int, epoch: int, is_end: bool) -> Answer:
        beat.rest()
        answer = ask(step, epoch, is_end)
        beat("evaluate", step)
        return answer

    return waiting


def _end_of(outcome: TrainOutcome) -> tuple[str, dict[str, Any]]:
    if outcome.status == "interrupted":
        return "paused", {"step": outcome.step}
    return "ended", {
        "outcome": outcome.status,
        "step": outcome.step,
        "epoch": outcome.epoch,
        "metrics": outcome.metrics,
        "weights_sha256": outcome.weights_sha256,
    }


def _failure(
    error: BaseException, folder: Path, attempt: int, common: Mapping[str, Any]
) -> tuple[str, dict[str, Any]]:
    """Return how a trial failed: by itself, or by what may be gone when it is tried again."""
    told = error.fields if isinstance(error, PeerError) else error_fields(error, folder, 0, common)
    fields = {"step": last_step(read_beats(folder, attempt)) or 0, "error": told}
    if told["cause"] == "user" and told["class"] != OUT_OF_MEMORY:  # others may have had the memory
        return "ended", {**fields, "outcome": "failed"}
    return "lost", fields
