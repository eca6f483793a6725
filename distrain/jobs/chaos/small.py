"""What is overridden of a user's configuration so that it can be put under faults. Pure.

What the job is stays as it is: data, model, loss, optimizer, batch, parts, reduction, precision.
Changed are its length, its places, and what would end it before a fault or make it wait for one.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from distrain.config.environment import masked
from distrain.config.settings import Settings

STEPS: Final = 240
LEAST_STEPS: Final = 48
LONGEST_S: Final = 60.0
"""Seconds of training, about, beyond which a job is made smaller still."""
NUM_WORKERS: Final = 2
MAX_FAILURES: Final = 10
DRAIN_S: Final = 300
_CHECKPOINTS: Final = 24
_EVALUATIONS: Final = 4
SECRET: Final = "DISTRAIN_CHAOS_SECRET_{number}"


def has_promised_bits(settings: Settings) -> bool:
    """Return whether weights and metrics are the same whatever is done to a run."""
    return settings.train.reduction == "exact" and settings.train.strategy == "ddp"


def steps_asked(settings: Settings, overrides: Sequence[str]) -> int | None:
    """Return the steps that the command line asks for, None where it says nothing of them."""
    is_asked = any(text.partition("=")[0].strip() == "train.steps" for text in overrides)
    return settings.train.steps if is_asked else None


def fitting_steps(steps: int, pace_s: float) -> int:
    """Return how many of so many steps there is time for, at the least as many as faults need.

    Args:
        steps: that there would be.
        pace_s: seconds of a step.
    """
    if steps * pace_s <= LONGEST_S:
        return steps
    return min(steps, max(LEAST_STEPS, int(LONGEST_S / pace_s)))


def checkpoint_interval(steps: int) -> int:
    """Return the steps between two checkpoints of a run of so many steps."""
    return max(2, steps // _CHECKPOINTS)


def small_overrides(settings: Settings, steps: int) -> list[str]:
    """Return the overrides that make a job small, in the order in which they are told.

    Args:
        settings: as the user asks for them, resolved.
        steps: optimizer steps.
    """
    train = settings.train
    values: dict[str, Any] = {
        "train.epochs": None,
        "train.steps": steps,
        "train.num_workers": min(NUM_WORKERS, train.logical_shards),
        "train.resources_per_worker.cpu": 1,
        "train.resources_per_worker.gpu": 0,
        "train.checkpoint.every_s": None,
        "train.checkpoint.every_steps": checkpoint_interval(steps),
        "train.max_failures": MAX_FAILURES,
        "train.ledger": True,
        "evaluate.every_epochs": None,
        "evaluate.every_steps": max(1, steps // _EVALUATIONS),
        "track.every_steps": 1,
    }
    for key, is_there in (
        ("train.early_stopping", train.early_stopping is not None),
        ("train.max_time_s", train.max_time_s is not None),
        ("train.changes", any(change.step >= steps for change in train.changes or [])),
        ("tune", settings.tune is not None),
    ):
        if is_there:
            values[key] = None
    if getattr(train.lr_schedule, "warmup_steps", 0) >= steps:
        values["train.lr_schedule.warmup_steps"] = steps // 10
    return [f"{key}={_word(value)}" for key, value in values.items()]


def secret_overrides(settings: Settings) -> tuple[list[str], dict[str, str]]:
    """Return overrides that take the secrets of `cluster.env` from variables, and those variables.

    A run keeps no secret, and so would ask for it when it goes on.
    """
    kept = settings.cluster.env
    secret = [name for name, value in masked(kept).items() if value != kept[name]]
    variables = {
        SECRET.format(number=number): str(kept[name]) for number, name in enumerate(secret)
    }
    words = [
        f"cluster.env.{name}=${{{variable}}}"
        for name, variable in zip(secret, variables, strict=True)
    ]
    return words, variables


def place_overrides(places: Mapping[str, str]) -> list[str]:
    """Return the overrides that put a run in places of its own.

    Args:
        places: `storage`, `prepared`, `tracking` and `address`.
    """
    return [
        f"storage={places['storage']}",
        f"data.cache.path={places['prepared']}",
        "data.cache.local_path=null",
        "data.cache.max_bytes=null",
        f"track.uri={places['tracking']}",
        f"track.drain_s={DRAIN_S}",
        f"cluster.address={places['address']}",
    ]


def _word(value: object) -> str:
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)
