"""The driver of a search is killed again and again, and the search must not notice.

    python -m tests.chaos.search_kills [--kills 20] [--trials 60] [--seed 0] [--out FILE]

One search is left alone. The other has its driver killed (SIGKILL) at random times, by a seed:
while it starts, while it suggests trials, after so many reports and a moment, while a trial saves
its state at a rung, while the winner is evaluated and registered. Each time `distrain resume` goes
on with it. Then no trial may have run again behind its end, MLflow must hold one run for each, and
decisions, winner and weights must be those of the search that was left alone. Prints a table and a
line of JSON; exit code 1 where anything differs. What was computed again of trials that ran is
told.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, final

from tests.chaos.search_lives import Killed, Lives
from tests.chaos.search_oracle import (
    decisions,
    read_passes,
    recorded,
    repeated_after_end,
    trained_after_end,
)

# Of so many kills one falls into each of these; the others come after so many reports.
_ONE_IN = {"start-up": 7, "suggestion": 10, "winner": 6}


@final
@dataclass(frozen=True)
class Extent:
    """How long the search that was left alone took, by which moments are drawn.

    Attributes:
        start_s: seconds until it began.
        suggest_s: seconds from there until its trials were suggested, the start of Ray Tune's
            actors among them.
        num_reports: reports of all trials.
        winner_s: seconds from the end of the last trial to the end of the command.
    """

    start_s: float
    suggest_s: float
    num_reports: int
    winner_s: float


@final
@dataclass(frozen=True)
class Moment:
    """When a driver is killed.

    Attributes:
        name: what is aimed at.
        is_due: whether it has come.
        delay_s: seconds that follow.
    """

    name: str
    is_due: Callable[[Lives], bool]
    delay_s: float


def moments(num_kills: int, extent: Extent, chance: random.Random) -> list[Moment]:
    """Return moments in the order in which they can come."""
    num = {name: max(1, num_kills // one_in) for name, one_in in _ONE_IN.items()}
    first = [_suggesting(chance.uniform(0, extent.suggest_s)) for _ in range(num["suggestion"])]
    within = num_kills - sum(num.values())
    counts = sorted(chance.sample(range(1, extent.num_reports), within))
    middle = [
        _pausing(count) if number % 3 == 2 else _searching(count, chance.uniform(0, 0.5))
        for number, count in enumerate(counts)
    ]
    for _ in range(num["start-up"]):
        middle.insert(chance.randint(0, len(middle)), _starting(chance.uniform(0, extent.start_s)))
    last = [_winning(chance.uniform(0, 0.8 * extent.winner_s)) for _ in range(num["winner"])]
    return [*first, *middle, *last]


def _starting(delay_s: float) -> Moment:
    return Moment("start-up", lambda _: True, delay_s)


def _suggesting(delay_s: float) -> Moment:
    return Moment("suggestion", lambda lives: lives.has_begun, delay_s)


def _searching(count: int, delay_s: float) -> Moment:
    def is_due(lives: Lives) -> bool:
        return lives.has_begun and lives.standing.num["reported"] >= count

    return Moment("searching", is_due, delay_s)


def _pausing(count: int) -> Moment:
    def is_due(lives: Lives) -> bool:
        standing = lives.standing
        has_come = standing.num["reported"] >= count and standing.num_pausing > 0
        return lives.has_begun and (has_come or standing.num["won"] > 0)

    return Moment("pausing", is_due, 0.0)


def _winning(delay_s: float) -> Moment:
    def is_due(lives: Lives) -> bool:
        return lives.has_begun and lives.standing.num["won"] > 0

    return Moment("winner", is_due, delay_s)


def left_alone(folder: Path, num_trials: int) -> tuple[Lives, dict[str, Any], Extent]:
    """Run a search that nothing is done to; return it, its result, and how long it took."""
    lives = Lives(folder, num_trials)
    lives.start()
    try:
        while not lives.has_begun:
            time.sleep(0.05)
            lives.look()
            assert lives.life_s() < 300, lives.told()
        start_s = lives.life_s()
        result = lives.end()
        ended_s = time.time()
    finally:
        lives.abandon()
    events = lives.standing.events
    at_s = {event["event"]: event["time_ms"] / 1000 for event in events}  # the last of each
    suggest_s = at_s["suggested"] - at_s["began"]
    winner_s = ended_s - at_s["won"]
    return lives, result, Extent(start_s, suggest_s, lives.standing.num["reported"], winner_s)


def killed_again_and_again(
    folder: Path, num_trials: int, wanted: Sequence[Moment]
) -> tuple[Lives, dict[str, Any], list[Killed]]:
    """Run a search whose driver is killed at each of some moments; return what came of it."""
    lives, kills = Lives(folder, num_trials), []
    try:
        for moment in wanted:
            lives.start()
            killed = lives.kill_when(moment.is_due, moment.delay_s)
            if killed is None:  # it came to its end: the next one finds nothing left to do
                lives.end()
                continue
            kills.append(killed)
            print(f"{moment.name:10} {asdict(killed)}", file=sys.stderr, flush=True)
        lives.start()
        return lives, lives.end(), kills
    finally:
        lives.abandon()


def compared(
    alone: tuple[Lives, Mapping[str, Any]], killed: tuple[Lives, Mapping[str, Any]]
) -> dict[str, Any]:
    """Return by what the two searches differ, as figures: all `num_` are 0, all `is_` true."""
    (straight, wanted), (lives, result) = alone, killed
    events, passes = lives.standing.events, read_passes(lives.passes)
    at_mlflow = recorded(lives.storage / "mlflow.db")
    reference = recorded(straight.storage / "mlflow.db")
    return {
        "num_trials_logged_again": len(repeated_after_end(events)),
        "num_trials_trained_after_their_end": len(trained_after_end(events, passes, lives.drivers)),
        "num_runs_doubled": at_mlflow.num_doubled,
        "num_runs_missing": len(reference.trials.keys() - at_mlflow.trials.keys()),
        "num_runs_open": at_mlflow.num_open,
        "num_versions_doubled": at_mlflow.num_versions - reference.num_versions,
        "is_every_metric_the_same": at_mlflow.points == reference.points,
        "is_decision_log_the_same": decisions(events) == decisions(straight.standing.events),
        "is_winner_the_same": result["best"]["trial"] == wanted["best"]["trial"],
        "is_weights_sha256_the_same": result["weights_sha256"] == wanted["weights_sha256"],
    }


def main() -> None:
    """Measure, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=None)
    asked = parser.parse_args()
    chance = random.Random(asked.seed)
    with tempfile.TemporaryDirectory(prefix="kills-") as name:
        straight, wanted, extent = left_alone(Path(name) / "a", asked.trials)
        print(f"left alone: {asdict(extent)}", file=sys.stderr, flush=True)
        planned = moments(asked.kills, extent, chance)
        lives, result, kills = killed_again_and_again(Path(name) / "k", asked.trials, planned)
        differences = compared((straight, wanted), (lives, result))
        figures = {
            "kills": len(kills),
            "trials": result["num_trials"],
            "phases": Counter(killed.phase for killed in kills),
            "processes_left": sum(len(killed.left) for killed in kills),
            **differences,
            "winner": result["best"]["trial"],
            "weights_sha256": result["weights_sha256"],
            "decisions": lives.standing.num["decided"],
            "runs_deleted_again": recorded(lives.storage / "mlflow.db").num_deleted,
            "passes": [len(read_passes(one.passes)) for one in (straight, lives)],
            "lives": [asdict(killed) for killed in kills],
        }
    for key, value in figures.items():
        if key != "lives":
            print(f"{key:36} {dict(value) if key == 'phases' else value}", file=sys.stderr)
    text = json.dumps(figures)
    if asked.out is not None:
        asked.out.write_text(text + "\n", encoding="utf-8")
    print(text)
    is_as_wanted = not any(v for k, v in differences.items() if k.startswith("num_")) and all(
        v for k, v in differences.items() if k.startswith("is_")
    )
    sys.exit(0 if is_as_wanted and len(kills) == asked.kills else 1)


if __name__ == "__main__":
    main()
