"""Metrics of the test split with their intervals, from predictions made here, now.

    each model predicts the test rows that its run was prepared with, on the CPU
    rows are drawn anew with replacement: a metric's values on them are its interval
    where runs have the same test rows, on the same draws: is one better by more than chance?

A run keeps no predictions, but its model and its prepared rows, and these give them again. Where
that would take long, or one of both is gone, accuracy has the exact interval of its rows' number,
and other metrics have none.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from distrain.compare.intervals import SPLIT, Interval, Measured
from distrain.compare.sides import Side
from distrain.config.environment import expand_env
from distrain.config.names import is_remote, metric_mode, metric_names
from distrain.contest import digest_of_test_rows
from distrain.data.features import Transform
from distrain.data.files import below
from distrain.data.plan import evaluation_batches
from distrain.data.prepared import PreparedDataset, Split
from distrain.errors import DistrainError, first_line
from distrain.evaluate.comparison import (
    NUM_DRAWS,
    Comparison,
    Drawn,
    Measure,
    Question,
    compare_drawn,
    draw,
    interval,
)
from distrain.evaluate.measures import measure_of
from distrain.finish import MODEL_FOLDER, PACKAGED
from distrain.object_store.link import link_of
from distrain.run_folder import PREPARED
from distrain.track.packaged import Predictor
from distrain.train.metrics import Metric
from distrain.tune.audit import share_interval

LEVEL: Final = 0.025
"""The chance that a value is below its interval, and that it is above it."""
PREDICT_S: Final = 20.0
"""Seconds that a model's predictions may take."""
_LEAST_S: Final = 1.0
MAX_ROWS: Final = 200_000
_DRAWN_ROWS: Final = 20_000_000
_LEAST_DRAWS: Final = 500


class _NoPredictionsError(Exception):
    """Why a run's predictions cannot be had, in words."""


@final
@dataclass(frozen=True)
class _Predicted:
    """A model's predictions of its test rows.

    Attributes:
        transform: of its data.
        targets: as metrics take them.
        predictions: as a packaged model returns them.
        digest: names the rows.
    """

    transform: Transform
    targets: npt.NDArray[Any]
    predictions: pa.Table
    digest: str


def measure(sides: Sequence[Side]) -> Measured:
    """Return the intervals of the test metrics of runs, and how much better one is than the first.

    A model of the user's own runs as it was saved with its run.

    Args:
        sides: the runs, or searches, whose winners' models are meant.
    """
    predicted, notes = _predict_all(sides)
    intervals: list[dict[str, Interval]] = [_by_count(side) for side in sides]
    gains: list[dict[str, Comparison]] = [{} for _ in sides]
    for digest in dict.fromkeys(one.digest for one in predicted.values()):
        places = [place for place, one in predicted.items() if one.digest == digest]
        drawn = _drawn([sides[place] for place in places], [predicted[place] for place in places])
        for place, of_metrics in zip(places, drawn, strict=True):
            intervals[place] |= {name: interval(one, LEVEL) for name, one in of_metrics.items()}
            if places[0] == 0 < place:
                gains[place] = _gains(of_metrics, drawn[0], len(predicted[0].targets))
    notes += _notes(sides, predicted)
    if any(intervals):
        paired = max((gain.num_rows for of_run in gains for gain in of_run.values()), default=0)
        same = f"; differences from {sides[0].letter} are paired, on the same {paired:,} test rows"
        notes.append(f"intervals are of 95 %{same if paired else ''}")
    return Measured(tuple(intervals), tuple(gains), tuple(notes))


def _predict_all(sides: Sequence[Side]) -> tuple[dict[int, _Predicted], list[str]]:
    """Return the predictions of those runs that have any, by place, and why others have none."""
    predicted: dict[int, _Predicted] = {}
    notes: list[str] = []
    for place, side in enumerate(sides):
        try:
            predicted[place] = _predict(side)
        except (_NoPredictionsError, DistrainError) as obstacle:
            notes.append(f"{side.letter} is not predicted again: {first_line(obstacle)}")
        except Exception as fault:  # told: the code of a model of the user's own may raise anything
            told = f"{type(fault).__name__}: {first_line(fault)}"
            notes.append(f"{side.letter} is not predicted again: {told}")
    return predicted, notes


def _notes(sides: Sequence[Side], predicted: Mapping[int, _Predicted]) -> Iterator[str]:
    """Yield who was tested on other rows than the first, in words."""
    if 0 in predicted:
        digest = predicted[0].digest
        others = [sides[place].letter for place in predicted if predicted[place].digest != digest]
        if others:
            told = "was" if len(others) == 1 else "were"
            yield f"{', '.join(others)} {told} tested on other rows than {sides[0].letter}"


def _gains(
    candidate: Mapping[str, Drawn], holder: Mapping[str, Drawn], num_rows: int
) -> dict[str, Comparison]:
    questions = {name: Question(name, metric_mode(name) or "max", LEVEL) for name in candidate}
    return {
        name: compare_drawn(question, candidate[name], holder[name], num_rows)
        for name, question in questions.items()
        if name in holder
    }


def _drawn(sides: Sequence[Side], predicted: Sequence[_Predicted]) -> list[dict[str, Drawn]]:
    """Return each run's metrics on the same draws of the same rows."""
    num_rows = len(predicted[0].targets)
    num_draws = min(NUM_DRAWS, max(_LEAST_DRAWS, _DRAWN_ROWS // num_rows))
    measures: list[Measure] = []
    places: list[tuple[int, str]] = []
    for place, (side, one) in enumerate(zip(sides, predicted, strict=True)):
        for name in _names(side, one.transform):
            metric = Metric(name.removeprefix(SPLIT))
            measures.append(measure_of(metric, one.transform, one.targets, one.predictions))
            places.append((place, name))
    found: list[dict[str, Drawn]] = [{} for _ in sides]
    for (place, name), drawn in zip(places, draw(measures, num_rows, num_draws), strict=True):
        found[place][name] = drawn
    return found


def _names(side: Side, transform: Transform) -> list[str]:
    """Return the built-in test metrics that a run has recorded and predictions tell."""
    is_classification = transform.task == "classification"
    told = metric_names("classification" if is_classification else "regression")
    known = {f"{SPLIT}{name}" for name in told if name != "loss"}
    return [name for name in side.metrics if name in known]


def _by_count(side: Side) -> dict[str, Interval]:
    """Return the interval of a test accuracy by the number of its rows alone."""
    name = f"{SPLIT}accuracy"
    splits = side.kept.data["splits"] if side.kept is not None else {}
    num_rows = splits.get("test", {}).get("num_rows", 0)
    if name not in side.metrics or not num_rows:
        return {}
    return {name: share_interval(round(side.metrics[name] * num_rows), num_rows)}


def _predict(side: Side) -> _Predicted:
    packaged = side.model_dir / MODEL_FOLDER / PACKAGED
    if not packaged.is_dir():
        raise _NoPredictionsError("it has no model")
    dataset = PreparedDataset.open(_prepared(side))
    if dataset.own is not None:
        raise _NoPredictionsError("its test rows are those of a Dataset of its own")
    split = dataset.shard_split("test")
    if not split.num_rows:
        raise _NoPredictionsError("it has no test split")
    if split.num_rows > MAX_ROWS:
        raise _NoPredictionsError(f"it has {split.num_rows:,} test rows, more than {MAX_ROWS:,}")
    predictor = Predictor.load(packaged)
    outputs, targets = _outputs(predictor, split)
    digest = digest_of_test_rows(dataset)
    assert digest is not None
    transform = predictor.transform
    return _Predicted(transform, targets, transform.decode(outputs), digest)


def _prepared(side: Side) -> Path | str:
    """Return the folder of the data that a run was trained on, or its URI."""
    digest = side.kept.data["digest"] if side.kept is not None else ""
    cache = (side.config.get("data", {}).get("cache") or {}).get("path")
    link = link_of(side.run_dir)
    if cache is not None:
        kept_in = expand_env(cache)
    elif link is not None:
        kept_in = link.storage.below(PREPARED).uri
    else:
        kept_in = str(side.run_dir.parent.parent / PREPARED)
    if digest and is_remote(kept_in):
        return below(kept_in, digest)
    folder = Path(kept_in.removeprefix("file://")) / digest
    if not digest or not folder.is_dir():
        raise _NoPredictionsError(f"its prepared data is not at hand ({folder})")
    return folder


def _outputs(
    predictor: Predictor, split: Split
) -> tuple[npt.NDArray[np.float32], npt.NDArray[Any]]:
    """Return the outputs for a split's rows, and what they should have been."""
    outputs, targets = [], []
    began, done = 0.0, 0
    for start, stop in evaluation_batches(split.num_rows):
        rows = split.slice(start, stop)
        outputs.append(predictor.outputs(rows["x"]))
        targets.append(rows["target" if "target" in rows else "y"])
        if not start:  # what is done once, at the first batch, says nothing of the others
            began, done = time.monotonic(), stop
            continue
        spent_s = time.monotonic() - began
        expected_s = spent_s / (stop - done) * split.num_rows
        if expected_s > PREDICT_S and spent_s > _LEAST_S:
            raise _NoPredictionsError(
                f"to predict its {split.num_rows:,} test rows would take {expected_s:,.0f} s"
            )
    return np.concatenate(outputs), np.concatenate(targets)
