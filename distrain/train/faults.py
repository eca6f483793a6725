"""Whose fault it is that an attempt ended, and whether another one is worth making.

The user's (an exception in the model, the loss or a metric, no memory left, a loss that is not
finite) ends the run at once. The cluster's (a worker or its node lost, a collective call that did
not end, storage that failed, a GPU's hardware) is tried again from the newest checkpoint, up to
`train.max_failures` times; but the same one twice in a row at the same step is no bad luck, and
ends the run with its cause. Of a process that was killed, the third time ends it: whoever ends
processes may hit one step twice, as in a row of kills while workers begin, of which only the
tenth ends it. A node that was announced to leave counts for nothing. A person who
resumes a run has looked at what ended it and decided anew: what was lost before is not counted.

Workers that lost a peer fail too: their errors are looked at last. Where a process died, that is
the cause, whatever the others said of it.
"""

import itertools
import json
import logging
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal, final

from distrain.data.files import is_of_storage
from distrain.errors import DataError, DistrainError, TrainError
from distrain.listing import paths_in
from distrain.train.beat import LOG_FOLDER

Cause = Literal["user", "cluster", "peer"]
Kind = Literal[
    "user",
    "cluster",
    "peer",
    "killed",
    "crashed",
    "out_of_memory",
    "node_lost",
    "preempted",
    "no_room",
]

NODE_LOST: Final = "its node was lost"
NODE_LEFT: Final = "its node left, as was announced"
CRASHED: Final = "the worker's process crashed: "
"""What a death begins with whose cause is in the worker's log; the cause follows."""

FAILURE_FILE: Final = "failure-rank-{rank}.json"
# Of whom it cannot be told in which of these ways they went: it may be the same cause.
_GONE: Final = ("killed", "crashed", "out_of_memory", "peer")
# What may come from outside, and proves something of the run only when it comes thrice.
_FROM_OUTSIDE: Final = ("killed", "peer")
# How often in a row that may happen to workers that only begin.
_MOST_AT_START: Final = 10
_NOBODY_S: Final = ("preempted", "no_room")
_LOST_PEER: Final = (
    "connection closed by peer",
    "connection reset by peer",
    "timed out waiting",
    "gloo",
)
# CUDA's own words for what a program is not to blame for.
_BROKEN_GPU: Final = (
    "uncorrectable",
    "nvlink",
    "hardware stack error",
    "busy or unavailable",
    "unspecified launch failure",
    "gpu is lost",
)
# Not "OOM": Ray says of every process that was killed that the kernel's may have done it.
_OUT_OF_MEMORY: Final = re.compile(r"running low on memory|due to memory pressure")
# As an OSError's text begins: what follows names the file.
_ERRNO: Final = re.compile(r"\[Errno -?\d+\]")
_NODE_DIED: Final = re.compile(r"node (has |was |is )?(died|dead|terminated|lost)", re.IGNORECASE)

logger = logging.getLogger(__name__)


@final
@dataclass(frozen=True)
class Fault:
    """What ended an attempt.

    Attributes:
        kind: what it is.
        error: what ends the run, if this does.
        step: committed steps at that time; None: unknown.
        raised: class of a worker's error, as `TrainError` has it; empty: the kind tells more.
        is_at_start: whether the worker had yet to begin with its first step.
    """

    kind: Kind
    error: TrainError
    step: int | None
    raised: str = ""
    is_at_start: bool = False

    @property
    def text(self) -> str:
        """Return in a few words what happened, and to whom."""
        where = f"{self.error.where}: " if self.error.where else ""
        return f"{where}{self.error.message}"

    def is_at_start_again(self, earlier: "Fault") -> bool:
        """Return whether this and an earlier one are kills of workers that only began."""
        return not (self._is_of_step or earlier._is_of_step)

    @property
    def _is_of_step(self) -> bool:
        """Return whether it may have come by what the step does."""
        return not (self.is_at_start and self.kind in _FROM_OUTSIDE)

    def is_again(self, earlier: "Fault") -> bool:
        """Return whether this is an earlier fault over again, at the same step."""
        if self.step != earlier.step:
            return False
        if self.kind in _GONE and earlier.kind in _GONE:
            return self.step is not None and self._is_of_step and earlier._is_of_step
        told, told_earlier = _gist(self.error.message), _gist(earlier.error.message)
        if self.step is None and _ERRNO.search(told):
            return False  # the driver's own files: its storage may be back at the next attempt
        return self.kind == earlier.kind == "cluster" and told == told_earlier


def cause_of(error: BaseException) -> Cause:
    """Return whose fault an exception is that a worker's training raised."""
    import torch

    if isinstance(error, DataError) and is_of_storage(error.__cause__):
        return "cluster"
    if isinstance(error, DistrainError | MemoryError | torch.OutOfMemoryError):
        return "user"
    if is_lost_peer(error):
        return "peer"
    if isinstance(error, OSError):
        return "cluster"
    is_broken = isinstance(error, RuntimeError) and _says(error, _BROKEN_GPU)
    return "cluster" if is_broken else "user"


def is_lost_peer(error: BaseException) -> bool:
    """Return whether an exception says that another worker went away during a collective call."""
    import torch.distributed

    return isinstance(error, torch.distributed.DistError) or (
        isinstance(error, RuntimeError) and _says(error, _LOST_PEER)
    )


def is_out_of_memory(said: str) -> bool:
    """Return whether what Ray says of a process that died is that it ended it to free memory."""
    return _OUT_OF_MEMORY.search(said) is not None


def find_fault(
    records: Sequence[Mapping[str, Any]],
    deaths: Mapping[int | None, str],
    step: int | None,
    other: str,
    begun: Collection[int] = (),
) -> Fault:
    """Return what ended an attempt.

    Args:
        records: what workers left behind (see `read_failures`), the earliest first.
        deaths: what Ray says of the workers whose processes died, by rank; None: of one that had
            none yet.
        step: committed steps by the beats of the workers; None: unknown.
        other: what Ray says, where neither tells anything.
        begun: ranks that had begun with their first step.
    """
    if deaths:
        rank = min(deaths, key=lambda rank: _by_weight(_death("", deaths[rank], step)))
        fault = _death(_who(rank), deaths[rank], step)
        return replace(fault, is_at_start=rank not in begun)
    by_cause = {cause: [r for r in records if r["cause"] == cause] for cause in ("user", "cluster")}
    for found in (by_cause["user"], by_cause["cluster"], list(records)):
        if found:
            first = found[0]
            said_step = first["step"] - 1 if first["step"] is not None else step
            return Fault(first["cause"], failure_error(first), said_step, first["raised"])
    return Fault("cluster", TrainError(other), step)


def verdict(faults: Sequence[Fault], max_failures: int) -> TrainError | None:
    """Return the error that ends the run, or None where another attempt is to be made.

    Args:
        faults: of all attempts since the run was started or resumed, the last one included.
        max_failures: how many of the cluster's are survived.
    """
    last = faults[-1]
    if last.kind == "user":
        return _ending(last, last.error.message)
    if last.kind in _NOBODY_S:
        return None
    alike = [last, *itertools.takewhile(last.is_again, reversed(faults[:-1]))]
    enough = 3 if all(fault.kind in _FROM_OUTSIDE for fault in alike) else 2
    if len(alike) >= enough:
        often = {2: "twice", 3: "three times"}[len(alike)]
        return _ending(last, f"{last.error.message}, {often} {_when(last.step)}")
    if len(list(itertools.takewhile(last.is_at_start_again, reversed(faults)))) >= _MOST_AT_START:
        return _ending(last, f"{last.error.message}, {_MOST_AT_START} times while workers began")
    count = sum(fault.kind not in _NOBODY_S for fault in faults)
    if count > max_failures:
        return _ending(
            last,
            f"workers were lost more than {max_failures} times, at last: {last.error.message}",
            mend=f"Raise train.max_failures. {last.error.mend}",
        )
    return None


def read_failures(run_dir: Path) -> list[dict[str, Any]]:
    """Return the failure records of a run that can be read, the earliest first."""
    found = []
    for path in (run_dir / LOG_FOLDER).glob(FAILURE_FILE.format(rank="*")):
        try:
            found.append(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError) as fault:  # what Ray says of that worker is told instead
            logger.warning("%s cannot be read, and is left out: %s", path, fault)
    return sorted(found, key=lambda failure: float(failure["time_s"]))


def remove_failures(run_dir: Path) -> None:
    """Remove the failure records of earlier attempts."""
    for path in paths_in(run_dir / LOG_FOLDER, FAILURE_FILE.format(rank="*")):
        path.unlink(missing_ok=True)


def failure_error(failure: Mapping[str, Any]) -> TrainError:
    """Return the error that a driver raises for a worker's failure record."""
    return TrainError(
        failure["message"],
        where=failure["where"],
        expected=failure["expected"],
        mend=failure["mend"],
    )


def death_of(who: str, said: str, step: int | None) -> TrainError:
    """Return the error that tells how a process died.

    Args:
        who: whose it was.
        said: what Ray says of it.
        step: committed steps by its beats; None: unknown.
    """
    fault = _death(who, said, step)
    return _ending(fault, fault.error.message)


def _death(who: str, said: str, step: int | None) -> Fault:
    where = f"{who}, {_when(step)}"
    if is_out_of_memory(said):
        error = TrainError(
            "Ray killed the worker, because its machine ran out of memory",
            where=where,
            expected="memory for all workers of the machine",
            mend="Use fewer workers to a machine, a smaller train.global_batch_size or model, or "
            "more train.logical_shards, which makes the parts of a batch smaller",
        )
        return Fault("out_of_memory", error, step)
    if said == NODE_LEFT:
        return Fault("preempted", TrainError(said, where=where), step)
    if said == NODE_LOST or _NODE_DIED.search(said):
        return Fault("node_lost", TrainError(NODE_LOST, where=where), step)
    if said.startswith(CRASHED):
        mend = "The stack is in the worker's log; such a crash comes from native code"
        return Fault("crashed", TrainError(said, where=where, mend=mend), step)
    error = TrainError(
        "the worker's process was killed",
        where=where,
        mend="Look for a crash in native code, or for the kernel's out-of-memory killer, in the "
        "worker's log and in `dmesg`",
    )
    return Fault("killed", error, step)


def _who(rank: int | None) -> str:
    return "a worker that was starting" if rank is None else f"worker of rank {rank}"


def _gist(message: str) -> str:
    """Return what a message says of a fault, but for the file's name, which may be a random one."""
    told = _ERRNO.search(message)
    return message[: told.end()] if told else message


def _by_weight(fault: Fault) -> int:
    """Return what tells more of the cause first: a lost node takes its workers with it."""
    return ("preempted", "out_of_memory", "node_lost", "crashed", "killed").index(fault.kind)


def _when(step: int | None) -> str:
    return f"after step {step}" if step else "before the first step"


def _ending(fault: Fault, message: str, *, mend: str | None = None) -> TrainError:
    """Return the error of a run that a fault ends, with whose fault it is and what was raised."""
    error = fault.error
    return TrainError(
        message,
        where=error.where,
        expected=error.expected,
        mend=error.mend if mend is None else mend,
        cause="user" if fault.kind == "user" else "cluster",
        error_class=fault.raised or fault.kind,
    )


def _says(error: BaseException, words: Sequence[str]) -> bool:
    text = str(error).lower()
    return any(word in text for word in words)
