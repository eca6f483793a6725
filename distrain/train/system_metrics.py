"""How busy the machines of a run are while it trains: `system/node_<k>/...` in its journal.

    once an attempt's workers train    a sampler on each of their nodes       (see `samplers.py`)
    then, every so many seconds        all of them are asked, and what they answer is recorded

`k` counts the nodes in the order of their first workers, and stays with its machine over all
attempts; the tag `distrain.node.<k>` says which that is. As MLflow has it, the step of such a
metric is the number of the look. It goes on where an earlier attempt, or a run that is resumed,
left off; what the network carried is counted anew.

Training needs none of this: a node that does not answer, or is gone, is passed over in silence,
what fails here is logged, and what stands still is not waited for. Where another driver has taken
the run over, nothing more is recorded.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from distrain import lease
from distrain.background import in_background
from distrain.run_folder import JOURNAL
from distrain.track.journal import JournalWriter
from distrain.track.journal_reading import last_written
from distrain.train.beat import read_beats
from distrain.train.machines import Machine, number_machines

if TYPE_CHECKING:
    from distrain.train.samplers import Samplers

WRITER: Final = "system"
START_LOOK_S: Final = 0.5
FIRST_LOOK_S: Final = 1.0
"""The CPU's use is a mean over some time; yet a short run is to have one look, too."""
END_S: Final = 10.0
"""A disk that stands still, or Ray that does not answer, is not to hold up the end of a run."""

logger = logging.getLogger(__name__)


@contextmanager
def recording_system_metrics(
    run_dir: Path,
    attempt: int,
    num_workers: int,
    every_s: float | None,
    fence: int | None = None,
) -> Iterator[None]:
    """Record from a thread for the length of a `with` block; starts and ends actors.

    Args:
        run_dir: the run's folder.
        attempt: the attempt's number, from 1.
        num_workers: its workers.
        every_s: seconds from one look to the next; None: nothing is recorded.
        fence: the driver's number; None: the run has no driver that could be another.
    """
    if every_s is None:
        yield
        return
    work = partial(_record_training, run_dir, attempt, num_workers, every_s, fence)
    with in_background(work, "system-metrics", patience_s=END_S):
        yield


def _record_training(
    run_dir: Path,
    attempt: int,
    num_workers: int,
    every_s: float,
    fence: int | None,
    has_ended: threading.Event,
) -> None:
    try:
        nodes = _nodes_once_training(run_dir, attempt, num_workers, has_ended)
        if not nodes:
            return
        # Ray is loaded by now: where no driver runs, this package does without it.
        from distrain.train.samplers import sampling

        with sampling(nodes, has_ended) as samplers:
            is_ours = partial(lease.is_held, run_dir, fence)
            _record(run_dir / JOURNAL, samplers, every_s, is_ours, has_ended)
    except Exception:  # logged, with its traceback; the metrics end, the training goes on
        # Ray, the disk, or the kernel's counters: nothing of it may end the training.
        logger.warning("no more system metrics in this attempt", exc_info=True)


def _nodes_once_training(
    run_dir: Path, attempt: int, num_workers: int, has_ended: threading.Event
) -> list[str]:
    """Wait until the workers train; return their nodes by first rank, none if they never did."""
    while not has_ended.wait(START_LOOK_S):
        beats = read_beats(run_dir, attempt)
        if len(beats) == num_workers and any(beat.phase != "start" for beat in beats.values()):
            return list(dict.fromkeys(beats[rank].node for rank in sorted(beats)))
    return []


def _record(
    journal: Path,
    samplers: "Samplers",
    every_s: float,
    is_ours: Callable[[], bool],
    has_ended: threading.Event,
) -> None:
    before = last_written(WRITER, journal, "system")
    step = 0 if before is None else int(before.payload["step"]) + 1
    numbers, machines = number_machines(samplers.machines, _known_machines(journal))
    with JournalWriter(journal, WRITER) as writer:
        writer.machines([asdict(machine) for machine in machines])
        writer.tags({f"distrain.node.{number}": machines[number].text for number in numbers})
        next_look = time.monotonic() + FIRST_LOOK_S
        while not has_ended.wait(max(0.0, next_look - time.monotonic())) and is_ours():
            next_look = time.monotonic() + every_s
            values = {
                f"system/node_{numbers[place]}/{name}": value
                for place, usage in samplers.look().items()
                for name, value in usage.items()
            }
            if values:
                writer.system(step, values)
                step += 1


def _known_machines(journal: Path) -> list[Machine]:
    """Return the machines of earlier attempts, by number."""
    before = last_written(WRITER, journal, "machines")
    return [Machine(**facts) for facts in before.payload["machines"]] if before else []
