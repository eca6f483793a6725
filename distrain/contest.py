"""A candidate against the holder of an alias: both predict the same raw test rows, here and now.

In: the candidate's packaged folder, its data, and what it has to be better by. Out: the gate's
verdict. The holder is taken from the registry and measured again; numbers that were recorded of it
earlier, on other rows or by other code, count for nothing. Ray must be connected.
"""

import hashlib
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

import pyarrow as pa

from distrain.config.data import DataSettings
from distrain.config.names import metric_mode
from distrain.config.settings import RegisterSettings, Settings
from distrain.data.features import Transform
from distrain.data.plan import EVALUATION_BATCH_ROWS, evaluation_batches
from distrain.data.prepared import PreparedDataset
from distrain.errors import DistrainError, first_line
from distrain.evaluate.comparison import Comparison, Measure, Question, compare
from distrain.evaluate.fair_rows import Contestant, FairRows, NotComparableError, fair_rows
from distrain.evaluate.gate import (
    Contest,
    Costs,
    Equal,
    Verdict,
    judge,
    judge_again,
    judge_alone,
    judge_goals,
    level_of,
)
from distrain.evaluate.goals import GoalOutcome
from distrain.evaluate.measures import measure_of
from distrain.track.aliases import holder_of, telling
from distrain.track.looks import Look, take_look
from distrain.track.model_versions import RegisteredVersion, download_model
from distrain.track.origin import DATA_TAG
from distrain.track.packaged import Predictor, find_packaged
from distrain.track.patient import patient
from distrain.track.sending import KEY_TAG
from distrain.track.tracking_server import TrackingServer, connect
from distrain.train.metrics import Metric, resolve_metrics

_TIMED_ROWS: Final = 4 * EVALUATION_BATCH_ROWS
_TIMES: Final = 5


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


def digest_of_test_rows(dataset: PreparedDataset) -> str | None:
    """Return what names the rows of a test split, None where it has none, or a Dataset has them.

    The SHA-256 over their targets in order: it stays the same for other features, another cleaning
    and more training rows.
    """
    if dataset.own is not None:  # all of them would be read once more
        return None
    split = dataset.shard_split("test")
    if not split.num_rows:
        return None
    state = hashlib.sha256()
    for start, stop in evaluation_batches(split.num_rows):
        rows = split.slice(start, stop)
        state.update(rows["target" if "target" in rows else "y"].tobytes())
    return state.hexdigest()


def hold_contest(candidate: Candidate, alias: str, server: TrackingServer) -> Verdict:
    """Return whether a candidate has earned an alias.

    Side effect: where it is compared, the registered model keeps that its test rows were looked at.

    Args:
        candidate: the candidate.
        alias: which one.
        server: the registry.

    Raises:
        TrackingError: the registry does not answer, or leaves no turn.
    """
    refusal = judge_goals(candidate.goals)
    if refusal is not None:
        return refusal
    digest = digest_of_test_rows(candidate.dataset)
    tags: Mapping[str, str] = {}
    num_versions = 1
    with telling(server):
        client = patient(connect(server))
        holder = holder_of(client, candidate.name, alias)
        if holder is not None:
            tags = client.get_model_version(candidate.name, holder).tags
        is_again = tags.get(KEY_TAG) == candidate.key
        if holder is not None and digest is not None and not is_again:
            look = Look(digest, candidate.key, holder)
            num_versions = take_look(client, candidate.name, look)
    if holder is None:
        return judge_alone(candidate.goals)
    if is_again:
        return judge_again(tags)
    version = RegisteredVersion(candidate.name, holder, None)
    contest = _contest(candidate, version, tags.get(DATA_TAG, ""), server, num_versions)
    equal = candidate.settings.track.register_.or_equal
    allowed = Equal(equal.within, equal.but) if equal else None
    return judge(contest, num_versions=num_versions, equal=allowed)


def _contest(
    candidate: Candidate,
    holder: RegisteredVersion,
    holder_data: str,
    server: TrackingServer,
    num_versions: int,
) -> Contest:
    asked = candidate.settings.track.register_
    with tempfile.TemporaryDirectory(prefix="distrain-holder-") as temporary:
        try:
            own = Contestant.load("this model", candidate.packaged, candidate.dataset.digest)
            packaged = find_packaged(download_model(server, holder, Path(temporary)))
            if packaged is None:
                raise NotComparableError("it was not made by distrain")
            others = Contestant.load("the holder", packaged, holder_data)
            _check_alike(own.predictor.transform, others.predictor.transform)
            metric, question = _question(candidate, own.predictor.transform, num_versions)
            rows = fair_rows(candidate.data, candidate.dataset, own, others)
            found = _compared(metric, question, rows, own.predictor, others.predictor)
            costs = _costs(asked, rows.raw, own.predictor, others.predictor)
        except (NotComparableError, DistrainError) as obstacle:
            return Contest(holder.version, None, first_line(obstacle))
        except Exception as fault:  # told as the reason: the code of either model, or a metric of
            # the user's, may raise anything, and a trained model must not be lost by that.
            return Contest(holder.version, None, f"{type(fault).__name__}: {first_line(fault)}")
    return Contest(holder.version, found, notes=rows.notes, costs=costs)


def _check_alike(own: Transform, others: Transform) -> None:
    for what in ("task", "targets", "classes"):
        mine, theirs = getattr(own, what), getattr(others, what)
        if mine != theirs:
            raise NotComparableError(f"its {what} {theirs!r} are not this model's {mine!r}")


def _question(
    candidate: Candidate, transform: Transform, num_versions: int
) -> tuple[Metric, Question]:
    asked = candidate.settings.track.register_
    metrics = {m.name: m for m in _metrics(candidate.settings, transform.task)}
    usual = "accuracy" if transform.task == "classification" else "rmse"
    name = asked.metric or next(iter(metrics), usual)
    mode = asked.mode or metric_mode(name) or "max"
    return metrics.get(name, Metric(name)), Question(
        name, mode, level_of(asked.level, num_versions)
    )


def _metrics(settings: Settings, task: str) -> Sequence[Metric]:
    asked = settings.evaluate.metrics
    plain = [m if isinstance(m, str) else m.model_dump() for m in asked] if asked else None
    return resolve_metrics(plain, task)


def _compared(
    metric: Metric, question: Question, rows: FairRows, own: Predictor, others: Predictor
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
