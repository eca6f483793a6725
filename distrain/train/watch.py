"""Naming a worker that stands still, and who waits for it. Pure: times and beats come from outside.

The beats of all workers are compared with the driver's own clock: those of the machines need not
agree. Nothing is ended here: a hung collective call ends by `cluster.collective_timeout_s`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final, final

from distrain.train.beat import LOG_FOLDER, BeatRecord, Pace

SILENCE_S: Final = 15.0
"""A process that counts no tick for so long is stopped, or hangs without giving way."""


@final
class StallWatch:
    """Looks at beats once in a while and says, once for each step, who stands still.

    Args:
        run_dir: the run's folder, for the paths of the workers' logs.
    """

    def __init__(self, run_dir: Path) -> None:
        self._logs = run_dir / LOG_FOLDER
        self._pace = Pace()
        self._ticks: dict[int, tuple[int, float]] = {}
        self._told_step = -1

    def look(self, beats: Mapping[int, BeatRecord], now: float) -> str | None:
        """Return a sentence that names who holds the others up, or None.

        Args:
            beats: what all workers last told, by rank.
            now: seconds of a clock that never goes back.
        """
        for rank, beat in beats.items():
            if self._ticks.get(rank, (-1, 0.0))[0] != beat.ticks:
                self._ticks[rank] = (beat.ticks, now)
        if not beats:
            return None
        slowest = min(beats.values(), key=lambda beat: beat.step)
        stalled_s = self._pace.stalled_s(slowest.step, slowest.phase, now)
        if stalled_s == 0 or slowest.step == self._told_step:
            return None
        self._told_step = slowest.step
        return self._sentence(beats, stalled_s, now)

    def _sentence(self, beats: Mapping[int, BeatRecord], stalled_s: float, now: float) -> str:
        silent = {rank for rank in beats if now - self._ticks[rank][1] > SILENCE_S}
        waiting = {rank for rank, beat in beats.items() if beat.is_waiting} - silent
        busy = beats.keys() - silent - waiting
        step = min(beat.step for beat in beats.values())
        parts = [f"no new step for {stalled_s:.0f} s after step {step}"]
        for rank in sorted(silent):
            parts.append(
                f"the worker of rank {rank} (process {beats[rank].process}) is silent: it is "
                "stopped, or hangs without giving way"
            )
        for rank in sorted(busy):
            parts.append(
                f"the worker of rank {rank} is busy ({beats[rank].phase}); its stack is in "
                f"{self._logs / f'rank-{rank}.txt'}"
            )
        if waiting:
            blamed = silent or busy
            whom = f"for rank {_listed(blamed)}" if blamed else "for one another"
            parts.append(f"rank {_listed(waiting)} waits {whom}")
        return "; ".join(parts)


def _listed(ranks: set[int]) -> str:
    return ", ".join(map(str, sorted(ranks)))
