"""Tags that say how a run, or a trial of a search, ended, and why."""

from collections.abc import Mapping
from typing import Any, Final

from distrain.errors import DistrainError
from distrain.redaction import redacted

OUTCOME: Final = "distrain.outcome"
ERROR: Final = "distrain.error"
ERROR_KIND: Final = "distrain.error.kind"
ERROR_CAUSE: Final = "distrain.error.cause"
ERROR_CLASS: Final = "distrain.error.class"
STOP_STEP: Final = "distrain.stop_step"
STOP_REASON: Final = "distrain.stop_reason"
READY_S: Final = "time/ready_s"
"""A metric: how long a command took to get ready, before the run began."""
TRAINING_S: Final = "time/training_s"
"""A metric: how long training took by the driver's clock, the workers' start and end included."""
VOID: Final = "none"
"""What takes the place of a tag of an earlier end: MLflow has no request that takes one away."""


def failure_tags(error: Exception) -> dict[str, str]:
    """Return the tags that say why a run failed, in words and for searches.

    The kind is of what stage, as in `--json`; the class is of the exception, or what became of a
    worker; the cause is whose fault it is, `user` or `cluster`, where that can be told.
    """
    tags = {
        ERROR: redacted(str(error)),
        ERROR_KIND: getattr(error, "kind", type(error).__name__),
        ERROR_CLASS: getattr(error, "error_class", "") or type(error).__name__,
    }
    cause = getattr(error, "cause", "")
    return {**tags, ERROR_CAUSE: cause} if cause else tags


def recorded_failure_tags(error: Mapping[str, Any]) -> dict[str, str]:
    """Return the same tags of an error that was written down.

    Args:
        error: its `kind`, `message`, and where they are known `where`, `expected`, `mend`, `class`
            and `cause`.
    """
    parts = {name: error.get(name) or "" for name in ("where", "expected", "mend")}
    tags = {
        ERROR: str(DistrainError(error["message"], **parts)),
        ERROR_KIND: error["kind"],
        ERROR_CLASS: error.get("class") or error["kind"],
    }
    cause = error.get("cause")
    return {**tags, ERROR_CAUSE: cause} if cause else tags
