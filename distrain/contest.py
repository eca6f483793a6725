"""A candidate against the holder of an alias: both predict the same raw test rows, here and now.

In: the candidate's packaged folder, its data, and what it has to be better by. Out: the gate's
verdict. The holder is taken from the registry and measured again; numbers that were recorded of it
earlier, on other rows or by other code, count for nothing. Ray must be connected.
"""

import hashlib
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from distrain.config.data import DataSettings
from distrain.config.names import metric_mode
from distrain.config.settings import RegisterSettings, Settings
from distrain.data.features import Transform
from distrain.data.plan import EVALUATION_BATCH_ROWS, evaluation_batches
from distrain.data.prepared import PreparedDataset
from distrain.errors import DistrainError, TrackingError, first_line
from distrain.evaluate.comparison import Comparison, Measure, Question, compare
from distrain.evaluate.gate import (
    Contest,
    Costs,
    Equal,
    Verdict,
    judge,
    judge_alone,
    judge_goals,
    judge_unseen,
    level_of,
)
from distrain.evaluate.goals import GoalOutcome
from distrain.evaluate.measures import measure_of
from distrain.evaluate.seen_rows import SeenRows, keys_of
from distrain.track.aliases import holder_of, num_uses, telling
from distrain.track.model_versions import RegisteredVersion, download_model
from distrain.track.packaged import DESCRIPTION, Predictor
from distrain.track.tracking_server import TrackingServer, connect
from distrain.train.metrics import Metric, resolve_metrics

DATA_TAG: Final = "distrain.data.sha256"
_TIMED_ROWS: Final = 4 * EVALUATION_BATCH_ROWS
_TIMES: Final = 5

Mask = npt.NDArray[np.bool_]


@final
@dataclass(frozen=True)
class Candidate:
    """A trained model that would like to have an alias.

    Attributes:
        name: of its registered model.
        key: of its version.
        packaged: the packaged model's folder.
        settings: of its run.
        data: their data section, with its places filled in.
        dataset: what it was trained on.
        goals: what was met.
    """

    name: str
    key: str
    packaged: Path
    settings: Settings
    data: DataSettings
    dataset: PreparedDataset
    goals: tuple[GoalOutcome, ...]


@final
@dataclass(frozen=True)
class _Model:
    """One of the two.

    Attributes:
        predictor: what predicts.
        seen: the rows it was trained on; None: not known.
        dataset_digest: of what it was trained on; empty: not known.
    """

    predictor: Predictor
    seen: SeenRows | None
    dataset_digest: str

    @classmethod
    def load(cls, folder: Path, dataset_digest: str) -> "_Model":
        return cls(Predictor.load(folder), SeenRows.load(folder), dataset_digest)


@final
@dataclass(frozen=True)
class _TestRows:
    """Test rows that neither model was trained on.

    Attributes:
        raw: the rows.
        targets: as metrics take them.
        notes: what was left out, in words.
    """

    raw: pa.Table
    targets: npt.NDArray[Any]
    notes: tuple[str, ...]


class _NotComparableError(Exception):
    """Why two models cannot be compared, in words."""


def digest_of_test_rows(dataset: PreparedDataset) -> str | None:
    """Return what names the rows of a test split, None where it has none.

    The SHA-256 over their targets in order: it stays the same for other features, another cleaning
    and more training rows.
    """
    split = dataset.split("test")
    if not split.num_rows:
        return None
    state = hashlib.sha256()
    for start, stop in evaluation_batches(split.num_rows):
        rows = split.slice(start, stop)
        state.update(rows["target" if "target" in rows else "y"].tobytes())
    return state.hexdigest()


def hold_contest(candidate: Candidate, alias: str, server: TrackingServer) -> Verdict:
    """Return whether a candidate has earned an alias.

    Args:
        candidate: the candidate.
        alias: which one.
        server: the registry.
    """
    refusal = judge_goals(candidate.goals)
    if refusal is not None:
        return refusal
    digest = digest_of_test_rows(candidate.dataset)
    uses = 1
    try:
        with telling(server):
            client = connect(server)
            holder = holder_of(client, candidate.name, alias)
            if holder is not None and digest is not None:
                uses = num_uses(client, candidate.name, digest, candidate.key)
    except TrackingError:
        return judge_unseen(candidate.goals)
    if holder is None:
        return judge_alone(candidate.goals)
    equal = candidate.settings.track.register_.or_equal
    contest = _contest(candidate, RegisteredVersion(candidate.name, holder, None), server, uses)
    return judge(contest, num_uses=uses, equal=Equal(equal.within, equal.but) if equal else None)


def _contest(
    candidate: Candidate, holder: RegisteredVersion, server: TrackingServer, uses: int
) -> Contest:
    asked = candidate.settings.track.register_
    with tempfile.TemporaryDirectory(prefix="distrain-holder-") as temporary:
        try:
            own = _Model.load(candidate.packaged, candidate.dataset.digest)
            others = _load_holder(holder, server, Path(temporary))
            _check_alike(own.predictor.transform, others.predictor.transform)
            metric, question = _question(candidate, own.predictor.transform, uses)
            rows = _test_rows(candidate, own, others)
            found = _compared(metric, question, rows, own.predictor, others.predictor)
            costs = _costs(asked, rows.raw, own.predictor, others.predictor)
        except (_NotComparableError, DistrainError) as obstacle:
            return Contest(holder.version, None, first_line(obstacle))
    return Contest(holder.version, found, notes=rows.notes, costs=costs)


def _load_holder(holder: RegisteredVersion, server: TrackingServer, folder: Path) -> _Model:
    downloaded = download_model(server, holder, folder)
    found = sorted(downloaded.rglob(DESCRIPTION), key=lambda path: len(path.parts))
    if not found:
        raise _NotComparableError("it was not made by distrain")
    with telling(server):
        tags = connect(server).get_model_version(holder.name, holder.version).tags
    return _Model.load(found[0].parent, tags.get(DATA_TAG, ""))


def _check_alike(own: Transform, others: Transform) -> None:
    for what in ("task", "targets", "classes"):
        mine, theirs = getattr(own, what), getattr(others, what)
        if mine != theirs:
            raise _NotComparableError(f"its {what} {theirs!r} are not this model's {mine!r}")


def _question(candidate: Candidate, transform: Transform, uses: int) -> tuple[Metric, Question]:
    asked = candidate.settings.track.register_
    metrics = {m.name: m for m in _metrics(candidate.settings, transform.task)}
    usual = "accuracy" if transform.task == "classification" else "rmse"
    name = asked.metric or next(iter(metrics), usual)
    mode = asked.mode or metric_mode(name) or "max"
    return metrics.get(name, Metric(name)), Question(name, mode, level_of(asked.level, uses))


def _metrics(settings: Settings, task: str) -> Sequence[Metric]:
    asked = settings.evaluate.metrics
    plain = [m if isinstance(m, str) else m.model_dump() for m in asked] if asked else None
    return resolve_metrics(plain, task)


def _test_rows(candidate: Candidate, own: _Model, others: _Model) -> _TestRows:
    """Return the test rows that neither model was trained on.

    Raises:
        _NotComparableError: there are none, they are not the same any more, or what the holder was
            trained on is not known.
    """
    num_rows = candidate.dataset.split("test").num_rows
    if not num_rows:
        raise _NotComparableError("there is no test split")
    from distrain.data.test_rows import read_test_rows  # brings Ray Data along

    raw = read_test_rows(candidate.data)
    if raw.num_rows != num_rows:
        why = f"the source has {raw.num_rows:,} test rows now, where {num_rows:,} were prepared"
        raise _NotComparableError(why)
    is_kept, notes = np.ones(num_rows, dtype=np.bool_), []
    for model, who in ((own, "this model"), (others, "the holder")):
        kept, note = _unseen(model, who, raw, candidate.dataset.digest)
        is_kept &= kept
        notes += [note] if note else []
    if not is_kept.any():
        raise _NotComparableError("; ".join(["no test row is left", *notes]))
    left = raw.filter(pa.array(is_kept))
    encoded = own.predictor.transform.encode_target(left)
    return _TestRows(left, encoded.get("target", encoded["y"]), tuple(notes))


def _unseen(model: _Model, who: str, raw: pa.Table, dataset_digest: str) -> tuple[Mask, str]:
    """Return which rows a model was not trained on, and what there is to say of it.

    Raises:
        _NotComparableError: that is not known.
    """
    everything = np.ones(raw.num_rows, dtype=np.bool_)
    if model.seen is None:
        if model.dataset_digest == dataset_digest:
            return everything, f"{who} was trained on other rows of the same split"
        why = f"nothing tells which rows {who} was trained on, so test rows may be among them"
        raise _NotComparableError(why)
    transform = model.predictor.transform
    keys = keys_of(transform.apply(raw)["x"], transform.encode_target(raw)["y"])
    is_seen, is_known = model.seen.find(keys)
    if not is_seen.any():
        one_in = model.seen.one_in
        return everything, f"one in {one_in} of {who}'s training rows was looked at" * (one_in > 1)
    # Where only some rows can be told, those alone are compared on.
    left = is_known & ~is_seen
    return left, (
        f"{int(is_seen.sum()):,} of {int(is_known.sum()):,} test rows were among those that {who} "
        "was trained on, and are left out"
    )


def _compared(
    metric: Metric, question: Question, rows: _TestRows, own: Predictor, others: Predictor
) -> Comparison:
    def measured(predictor: Predictor) -> Measure:
        return measure_of(metric, own.transform, rows.targets, predictor.predict(rows.raw))

    return compare(question, measured(own), measured(others), len(rows.targets))


def _costs(
    asked: RegisterSettings, raw: pa.Table, own: Predictor, others: Predictor
) -> Costs | None:
    if asked.or_equal is None:
        return None
    seconds: tuple[list[float], list[float]] = ([], [])
    some = raw.slice(0, _TIMED_ROWS)
    for _ in range(_TIMES):
        for predictor, taken in zip((own, others), seconds, strict=True):
            began = time.perf_counter()
            predictor.predict(some)
            taken.append(time.perf_counter() - began)
    return Costs(
        (own.num_parameters, others.num_parameters),
        (statistics.median(seconds[0]), statistics.median(seconds[1])),
    )
