"""How often the gate calls a candidate better: where it is not, and where it is.

`python -m tests.bench.gate` prints one line for each case: 1,000 test splits, two models whose
right answers are drawn independently, or together so that they mostly agree.
"""

import numpy as np

from distrain.evaluate.comparison import Floats, Question, compare

QUESTION = Question("accuracy", "max", 0.05)
NUM_TIMES = 1_000


def drawn(random: np.random.Generator, num_rows: int, gain: float, agreed: float) -> Floats:
    """Return the right answers of a holder, right in 0.85 of the rows, and of a candidate."""
    chances = np.array([[0.85], [0.85 + gain]])
    apart = random.random((2, num_rows)) < chances
    together = random.random(num_rows) < chances
    right: Floats = np.where(random.random(num_rows) < agreed, together, apart).astype(np.float64)
    return right


def share_better(num_rows: int, gain: float, agreed: float) -> float:
    """Return how often a candidate that is better by `gain` is called better."""
    random = np.random.default_rng(0)
    better = 0
    for _ in range(NUM_TIMES):
        holder, candidate = drawn(random, num_rows, gain, agreed)
        found = compare(QUESTION, _mean(candidate), _mean(holder), num_rows)
        better += found.is_better
    return better / NUM_TIMES


def _mean(values: Floats):  # type: ignore[no-untyped-def]
    return lambda draws: draws @ values / draws.sum(axis=1)


if __name__ == "__main__":
    print("rows   gain   agreed  called better")
    for num_rows in (200, 1_000):
        for agreed in (0.0, 0.9):
            for gain in (0.0, 0.01, 0.02, 0.05):
                share = share_better(num_rows, gain, agreed)
                print(f"{num_rows:<6,} {gain:<6} {agreed:<7} {share:.3f}", flush=True)
