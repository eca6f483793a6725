"""What Ray Train's errors tell of workers: who died, who refused, the last word of the others."""

from distrain.errors import TrainError
from distrain.train.faults import NODE_LEFT


def deaths_told(lost: Exception | None) -> dict[int | None, str]:
    """Return what Ray says of the workers whose processes died, by rank; None: it had none yet.

    A worker may die before it is one: where Ray Train's controller waits for it to begin, it fails
    with that death, or by that death. What a worker fails with on its way, such as an import, is
    none: it would come again.

    Args:
        lost: what a trainer raised.
    """
    deaths: dict[int | None, str] = {}
    failure = getattr(lost, "controller_failure", None)
    for cause in (failure, getattr(failure, "__cause__", None)):
        said = _death_told(cause)
        if said is not None:
            deaths[None] = said
    for rank, failure in getattr(lost, "worker_failures", {}).items():
        said = _death_told(getattr(failure, "health_check_failure", failure))
        if said is not None:
            deaths[rank] = said
    return deaths


def refusal_told(lost: Exception | None) -> TrainError | None:
    """Return what a worker told Ray that could leave no record, and the user is to mend.

    Args:
        lost: what a trainer raised.
    """
    for failure in getattr(lost, "worker_failures", {}).values():
        if isinstance(failure, TrainError) and failure.cause == "user":
            return failure
    return None


def last_line(lost: Exception | None) -> str:
    """Return the last line of what a trainer raised."""
    lines = str(lost).strip().splitlines() if lost else []
    return lines[-1].strip()[:300] if lines else "no worker came to an end"


def _death_told(failure: BaseException | None) -> str | None:
    """Return what Ray says of a process that died, None where this is something else."""
    from ray.exceptions import OutOfMemoryError, RayActorError

    if isinstance(failure, OutOfMemoryError):  # not a RayActorError, though an actor died of it
        return str(failure)
    if isinstance(failure, RayActorError) and not failure.actor_init_failed:
        return NODE_LEFT if failure.preempted else str(failure)
    return None
