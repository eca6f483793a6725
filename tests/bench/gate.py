"""How often the gate calls a candidate better: where it is not, and where it is.

`python -m tests.bench.gate` prints one line for each case, at a stated level of 0.05:

- two models whose right answers are drawn independently, or together so that they mostly agree;
- other metrics than accuracy, of models that do not differ;
- ten versions one after the other on the same test rows, none of which differs.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from distrain.data.features import Transform
from distrain.evaluate.comparison import Floats, Measure, Question, compare
from distrain.evaluate.gate import level_of
from distrain.evaluate.measures import measure_of
from distrain.train.metrics import Metric

LEVEL = 0.05
# As the gate compares the first candidate with a holder.
FIRST_LEVEL = level_of(LEVEL, 2)
QUESTION = Question("accuracy", "max", FIRST_LEVEL)
NUM_TIMES = 1_000
NUM_VERSIONS = 10


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


def rare_classes(random: np.random.Generator, num_rows: int) -> tuple[Transform, Any, list[Any]]:
    """Return labels, one in ten of them positive, and the scores of two models as good."""
    transform = Transform("classification", ["y"], [0, 1], 1)
    targets = (random.random(num_rows) < 0.1).astype(np.int64)
    logits = np.zeros((2, num_rows, 2), dtype=np.float32)
    logits[:, :, 1] = 3 * targets - 2.5 + random.normal(size=(2, num_rows))
    return transform, targets, [transform.decode(part) for part in logits]


def heavy_tails(random: np.random.Generator, num_rows: int) -> tuple[Transform, Any, list[Any]]:
    """Return values, some of them far out, and the predictions of two models as good."""
    transform = Transform("regression", ["y"], target_mean=[0.0], target_std=[1.0])
    targets = np.exp(1.5 * random.normal(size=(num_rows, 1)))
    wrong = random.normal(size=(2, num_rows, 1)) * targets * 0.3
    return transform, targets, [transform.decode((targets + w).astype(np.float32)) for w in wrong]


def share_mistaken(
    name: str, made: Callable[..., tuple[Transform, Any, list[Any]]], num_rows: int
) -> float:
    """Return how often one of two models as good is called better by a metric."""
    random = np.random.default_rng(0)
    mode: Any = "min" if name in ("rmse", "mae", "log_loss") else "max"
    better = 0
    for _ in range(NUM_TIMES):
        transform, targets, predictions = made(random, num_rows)
        measures = [measure_of(Metric(name), transform, targets, part) for part in predictions]
        found = compare(Question(name, mode, FIRST_LEVEL), *measures, num_rows)
        better += found.is_better
    return better / NUM_TIMES


def share_of_series(num_rows: int) -> float:
    """Return how often any of ten versions, none better than the others, gets the alias."""
    random = np.random.default_rng(0)
    return sum(_any_moves(random, num_rows) for _ in range(NUM_TIMES)) / NUM_TIMES


def _any_moves(random: np.random.Generator, num_rows: int) -> bool:
    holder, *candidates = (random.random((NUM_VERSIONS, num_rows)) < 0.85).astype(np.float64)
    return any(
        compare(
            Question("accuracy", "max", level_of(LEVEL, number)),
            _mean(candidate),
            _mean(holder),
            num_rows,
        ).is_better
        for number, candidate in enumerate(candidates, start=2)
        if candidate.mean() > holder.mean()  # the others are never called better
    )


def _mean(values: Floats) -> Measure:
    return lambda draws: draws @ values / draws.sum(axis=1)


if __name__ == "__main__":
    print("rows   gain   agreed  called better")
    for num_rows in (200, 1_000):
        for agreed in (0.0, 0.9):
            for gain in (0.0, 0.01, 0.02, 0.05):
                share = share_better(num_rows, gain, agreed)
                print(f"{num_rows:<6,} {gain:<6} {agreed:<7} {share:.3f}", flush=True)
    print("\nmetric of 200 rows  called better, though it is not")
    for name in ("f1", "roc_auc", "log_loss"):
        print(f"{name:<19} {share_mistaken(name, rare_classes, 200):.3f}", flush=True)
    for name in ("rmse", "mae", "r2"):
        print(f"{name:<19} {share_mistaken(name, heavy_tails, 200):.3f}", flush=True)
    print(f"\nany of {NUM_VERSIONS} versions, of 200 test rows: {share_of_series(200):.3f}")
