"""A step out of the ordinary: traced to logical shards and rows, recorded, and acted on.

    record   a spike is recorded and trained on; what is not finite ends the run
    skip     either is recorded, and the step, which counts, is left without an update
    stop     either ends the run

All workers know the same losses, so they decide alike; what they do not know, whose rows it were,
they find by running the step again, row by row. Nothing of this costs an ordinary step anything.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, final

import numpy as np
import numpy.typing as npt

from distrain.data.loader import StepBatch
from distrain.errors import TrainError
from distrain.train.collective import gather_rows
from distrain.train.spikes import (
    MOST_SKIPPED_IN_A_ROW,
    SPIKE_FACTOR,
    WINDOW_STEPS,
    Finding,
    LossWatch,
)
from distrain.train.state import Attempt
from distrain.train.step import StepResult
from distrain.train.world import parts_by_worker

Action = Literal["recorded", "skipped", "stopped"]

MAX_SHOWN_ROWS: Final = 8
MAX_RECORDED_ROWS: Final = 1000
MAX_NOTES: Final = 5


@final
@dataclass(frozen=True)
class Blamed:
    """A logical shard that made a step what it was.

    Attributes:
        logical_shard: which part of the step, from 0.
        loss: mean loss of its rows.
        rows: the rows it is due to, as indices into the prepared training split.
    """

    logical_shard: int
    loss: float
    rows: list[int]


def is_worth_its_update(run: Attempt, batch: StepBatch, result: StepResult) -> bool:
    """Return whether a step's update is to be made; all workers must call, and decide alike.

    Args:
        run: the attempt; its losses are followed, and what is found is recorded.
        batch: this worker's parts of the step.
        result: the sums of the step, before the update.

    Raises:
        TrainError: the run must end here; the message names logical shards and rows.
    """
    plan, scale = run.setup.plan, run.state.scale
    # A gradient that overflows fp16 is cured by a smaller scale, as long as there is one.
    is_overflow = scale is not None and not scale.is_exhausted
    before = LossWatch(list(run.state.losses.recent))  # its median is asked for if there is need
    finding = run.state.losses.judge(
        result.loss,
        is_finite=result.has_finite_loss and (result.has_finite_gradient or is_overflow),
        is_whole=batch.num_rows >= min(plan.global_batch_size, plan.num_rows),
    )
    if finding is None:
        return True
    action = _action(run, finding)
    blamed = _blamed(run, batch, before.limit if finding == "spike" else None)
    message = _message(finding, result, before.median, blamed)
    run.journal.trouble(
        {
            "step": batch.step + 1,
            "epoch": batch.epoch + 1,
            "finding": finding,
            "action": action,
            "loss": str(result.loss),
            "median": before.median,
            "blamed": [_recorded(one) for one in blamed],
        }
    )
    if action == "stopped":
        raise _error(batch, finding, message, blamed)
    _tell(run, f"step {batch.step + 1}, {_shards(blamed)}: {message}; it was {action}")
    return action == "recorded"


def _recorded(blamed: Blamed) -> dict[str, Any]:
    # JSON has no nan.
    rows = blamed.rows[:MAX_RECORDED_ROWS]
    return {**asdict(blamed), "loss": str(blamed.loss), "rows": rows}


def _tell(run: Attempt, text: str) -> None:
    run.num_troubles += 1
    if run.num_troubles <= MAX_NOTES:
        more = "" if run.num_troubles < MAX_NOTES else "; further ones stand in the journal alone"
        run.journal.note(text + more)


def _action(run: Attempt, finding: Finding) -> Action:
    asked = run.job.on_spike
    if asked == "stop" or run.state.losses.num_not_finite > MOST_SKIPPED_IN_A_ROW:
        return "stopped"
    if asked == "skip":
        return "skipped"
    return "recorded" if finding == "spike" else "stopped"


def _blamed(run: Attempt, batch: StepBatch, limit: float | None) -> list[Blamed]:
    """Return the logical shards that a step's loss is due to, at least one.

    Args:
        run: the attempt.
        batch: this worker's parts of the step.
        limit: what a loss must exceed to count; None: it must not be finite.
    """
    plan = run.setup.plan
    cuts = plan.parts(batch.num_rows)
    owned = parts_by_worker(plan.logical_shards, run.world.world_size)
    counts = [sum(stop - start for start, stop in cuts[own.start : own.stop]) for own in owned]
    found = gather_rows(run.setup.stepper.examine(batch), counts, run.world)
    rows = plan.rows(*plan.position(batch.step))
    shards = [
        _shard(index, rows[start:stop], found[start:stop], limit)
        for index, (start, stop) in enumerate(cuts)
    ]
    if limit is None:
        guilty = [shard for shard in shards if shard.rows]
    else:
        guilty = [shard for shard in shards if shard.loss > limit]
    # Each shard may be within bounds where their sum is not.
    return guilty or [max(shards, key=lambda shard: shard.loss)]


def _shard(
    index: int,
    rows: npt.NDArray[np.int64],
    found: npt.NDArray[np.float64],
    limit: float | None,
) -> Blamed:
    losses, has_finite_gradient = found[:, 0], found[:, 1] > 0
    is_guilty = ~np.isfinite(losses) if limit is None else losses > limit
    if limit is None and not is_guilty.any():
        is_guilty = ~has_finite_gradient
    return Blamed(index, float(losses.mean()), [int(row) for row in rows[is_guilty]])


def _message(
    finding: Finding, result: StepResult, median: float | None, blamed: Sequence[Blamed]
) -> str:
    rows = [row for one in blamed for row in one.rows]
    shown = ", ".join(map(str, rows[:MAX_SHOWN_ROWS]))
    more = f" and {len(rows) - MAX_SHOWN_ROWS} more" if len(rows) > MAX_SHOWN_ROWS else ""
    source = f", from row{'s' if len(rows) > 1 else ''} {shown}{more}" if rows else ""
    of = " of the prepared training split" if rows else ""
    if finding == "spike":
        return (
            f"the loss is {result.loss:.6g}, more than {SPIKE_FACTOR:g} times the median of the "
            f"last {WINDOW_STEPS} steps ({median:.6g}){source}{of}"
        )
    if result.has_finite_loss:
        return f"the gradient is not finite, though the loss is {result.loss:.6g}{source}{of}"
    return f"the loss is {result.loss}{source}{of}"


def _error(
    batch: StepBatch, finding: Finding, message: str, blamed: Sequence[Blamed]
) -> TrainError:
    return TrainError(
        message,
        where=f"step {batch.step + 1}, epoch {batch.epoch + 1}, {_shards(blamed)}",
        expected="a finite number" if finding == "not finite" else "a loss like those before it",
        mend="Lower train.optimizer.lr, set train.gradient_clip_norm, look at these rows, or leave "
        "such steps out with train.on_spike: skip",
        error_class=finding.replace(" ", "_"),
    )


def _shards(blamed: Sequence[Blamed]) -> str:
    numbers = ", ".join(str(one.logical_shard) for one in blamed)
    return f"logical shard{'s' if len(blamed) > 1 else ''} {numbers}"
