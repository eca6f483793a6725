"""How runs and searches are doing, for Prometheus: gauges that Ray exports from each node.

    the driver is told of progress anyway, and so is a trial's actor: the last of it is kept
    a thread sets the gauges from it, every second
    Ray sends what was set since it last sent, every 10 s, to the node's agent, which serves it and
        forgets what it did not get twice

So nothing has to be taken back: a gauge that nobody sets any more, because its run is over or its
process died, is gone after 20 s at most (Ray 2.60.0). A second is the shortest pause between two
sendings that Ray knows. Series are few: one for each run, and of a search one for each actor, not
one for each trial. Training needs none of this: what fails here is logged, and ends the metrics.

On the Ray that a command starts for itself nobody looks: nothing is done there.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache, partial
from pathlib import Path
from typing import Any, Final, final

from distrain.background import in_background
from distrain.display import Display
from distrain.ray_session import is_own_ray
from distrain.train.speed import Speed

GAUGES: Final[Mapping[str, str]] = {
    "rows_per_second": "Training rows per second, over all workers.",
    "data_wait_fraction": "Share of rank zero's time in which it waits for data.",
    "reduce_fraction": "Share of rank zero's time in which workers exchange gradients.",
    "journal_backlog": "Records in the journal that the tracking server has not been sent.",
    "trials": "Trials of a search by state.",
}
LABELS: Final = ("run", "experiment")
STATE: Final = "state"
"""The label that `trials` has beside."""
SET_S: Final = 1.0
END_S: Final = 10.0

logger = logging.getLogger(__name__)


@contextmanager
def exporting(run_dir: Path, display: Display, backlog: Callable[[], int]) -> Iterator[Display]:
    """Export what is told of a run, or of a search, for the length of a `with` block.

    Args:
        run_dir: its folder.
        display: what is told to it is passed on.
        backlog: returns how many of its records are not shipped; may raise OSError.

    Yields:
        What is to be told in the display's place.
    """
    labels = labels_of(run_dir)
    if labels is None:
        yield display
        return
    told = _ToldDisplay(display)

    def look() -> None:
        _set_all(told.speed.now(), labels)
        with suppress(OSError):  # storage that is away for a moment
            _set("journal_backlog", backlog(), labels)
        for state, count in told.trials.items():
            _set("trials", count, {**labels, STATE: state})

    with in_background(partial(_repeat, look), "gauges", patience_s=END_S):
        yield told


@contextmanager
def exporting_speed(labels: Mapping[str, str] | None) -> Iterator[Speed]:
    """Export the speed that is told in a `with` block: that of an actor of a search.

    Args:
        labels: the search's; None: nothing is exported.
    """
    speed = Speed()
    if labels is None:
        yield speed
        return
    look = partial(_repeat, lambda: _set_all(speed.now(), labels))
    with in_background(look, "gauges", patience_s=END_S):
        yield speed


def labels_of(run_dir: Path) -> dict[str, str] | None:
    """Return the labels of a run's or a search's gauges; None: nobody looks at them."""
    if is_own_ray():
        return None
    return dict(zip(LABELS, (run_dir.name, run_dir.parent.name), strict=True))


def trials_by_state(standing: Mapping[str, Any]) -> dict[str, int]:
    """Return how many trials of a search are in each state.

    Args:
        standing: as `Search.standing` has it.
    """
    ended, running = standing["num_ended"], standing["num_running"]
    finished, failed = standing["num_finished"], standing["num_failed"]
    return {
        "waiting": max(0, standing["num_trials"] - ended - running),
        "running": running,
        "stopped_early": ended - finished - failed,
        "finished": finished,
        "failed": failed,
    }


@final
class _ToldDisplay:
    """Passes on what is told, and keeps what gauges are set from.

    Args:
        display: what it is passed on to.
    """

    def __init__(self, display: Display) -> None:
        self.speed = Speed()
        self.trials: Mapping[str, int] = {}
        self._display = display

    def stage(self, text: str) -> None:
        """Pass it on."""
        self._display.stage(text)

    def note(self, text: str) -> None:
        """Pass it on."""
        self._display.note(text)

    def waiting(self, text: str) -> None:
        """Pass it on."""
        self._display.waiting(text)

    def progress(self, record: Mapping[str, Any]) -> None:
        """Take in how fast it is, and pass it on."""
        self.speed.take(record)
        self._display.progress(record)

    def search(self, standing: Mapping[str, Any]) -> None:
        """Take in where the trials are, and pass it on."""
        self.trials = trials_by_state(standing)
        self._display.search(standing)


def _repeat(look: Callable[[], None], has_ended: threading.Event) -> None:
    try:
        while not has_ended.wait(SET_S):
            look()
    except Exception:  # logged, with its traceback; the metrics end, the training goes on
        logger.warning("no more gauges of this process for Prometheus", exc_info=True)


def _set_all(values: Mapping[str, float], labels: Mapping[str, str]) -> None:
    for name, value in values.items():
        _set(name, value, labels)


def _set(name: str, value: float, labels: Mapping[str, str]) -> None:
    _gauge(name).set(value, tags=dict(labels))


@cache
def _gauge(name: str) -> Any:
    """Return Ray's gauge of a name, one a process."""
    from ray.util.metrics import Gauge

    labels = (*LABELS, STATE) if name == "trials" else LABELS
    return Gauge(f"distrain_{name}", GAUGES[name], tag_keys=labels)
