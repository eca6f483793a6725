"""How fast a run is now, from the progress records that it tells a few times a second."""

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final, final

SPAN_S: Final = 10.0
LONG_WINDOWS: Final = 3.0
"""Records count for 10 s, or for three times the longest that one of them speaks of: slow steps."""


@final
class Speed:
    """The mean over the last seconds; told by one thread, asked by another.

    Args:
        clock: seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._told: deque[tuple[float, Mapping[str, Any]]] = deque()
        self._has_begun = False

    def take(self, progress: Mapping[str, Any]) -> None:
        """Take in a `progress` record; see `recorder.ProgressLine`."""
        with self._lock:
            self._told.append((self._clock(), progress))
            self._has_begun = True
            self._forget()

    def now(self) -> dict[str, float]:
        """Return rows per second, and the shares of time in waiting for data and in the exchange.

        Where no step has come for long, there are 0 rows, and no shares; before the first step,
        nothing at all.
        """
        with self._lock:
            self._forget()
            told = list(self._told)
        if not told:
            return {"rows_per_second": 0.0} if self._has_begun else {}
        first, last = told[0], told[-1]
        # By the clock, too: between two trials of an actor no record speaks of the time.
        span_s = max(
            sum(record["window_s"] for _, record in told),
            last[0] - first[0] + first[1]["window_s"],
        )
        rows = sum(record["rows_per_s"] * record["window_s"] for _, record in told)
        data_s, reduce_s = (
            sum(record[name] for _, record in told) for name in ("data_s", "reduce_s")
        )
        return {
            "rows_per_second": rows / span_s,
            "data_wait_fraction": min(data_s / span_s, 1.0),
            "reduce_fraction": min(reduce_s / span_s, 1.0),
        }

    def _forget(self) -> None:
        longest_s = max((record["window_s"] for _, record in self._told), default=0.0)
        oldest = self._clock() - max(SPAN_S, LONG_WINDOWS * longest_s)
        while self._told and self._told[0][0] < oldest:
            self._told.popleft()
