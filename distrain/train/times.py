"""Where the time of an epoch went, told once at its end.

    time/data_s, compute_s, reduce_s, record_s, evaluate_s, checkpoint_s     rank zero's seconds
    time/node-<k>/step_s_median, step_s_slowest                              of the node's workers

A worker's step is its wait for data and its own computing; the exchange is left out, since in it
all workers wait for the slowest one.
"""

from typing import final

import numpy as np
import numpy.typing as npt

from distrain.train.collective import gather_rows
from distrain.train.state import Attempt


@final
class EpochTimes:
    """Tells the times of one epoch after another.

    Args:
        run: the attempt; times count from here on.
    """

    def __init__(self, run: Attempt) -> None:
        self._run = run
        self._step = run.state.step
        self._waits = dict(run.state.stopwatch.waits)

    def tell(self) -> None:
        """Record the times since the last call; all workers must call."""
        run, waits = self._run, self._run.state.stopwatch.waits
        spent = {name: value - self._waits[name] for name, value in waits.items()}
        own_s = (spent["data"] + spent["compute"]) / max(1, run.state.step - self._step)
        by_worker = gather_rows(
            np.array([[float(run.world.node_rank), own_s]]), [1] * run.world.world_size, run.world
        )
        values = {f"time/{name}_s": value for name, value in spent.items()}
        run.journal.metrics(run.state.step, values | by_node(by_worker))
        self._step, self._waits = run.state.step, dict(waits)


def by_node(by_worker: npt.NDArray[np.float64]) -> dict[str, float]:
    """Return each node's median and slowest worker as metrics.

    Args:
        by_worker: node and mean seconds of a step, `(workers, 2)`.
    """
    values: dict[str, float] = {}
    for node in np.unique(by_worker[:, 0]):
        steps_s = by_worker[by_worker[:, 0] == node, 1]
        values[f"time/node-{int(node)}/step_s_median"] = float(np.median(steps_s))
        values[f"time/node-{int(node)}/step_s_slowest"] = float(steps_s.max())
    return values
