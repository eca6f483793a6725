"""Constraints as a user might write them, some of them wrong."""

from collections.abc import Callable, Mapping
from typing import Any

Trial = Mapping[str, Any]


def is_slow(trial: Trial) -> bool:
    return bool(trial["train.optimizer.lr"] < 0.01)


def is_plain(trial: Trial) -> bool:
    """Looks at what does not vary, at a list, at a section, and at what is not there."""
    is_mlp = trial["model.name"] == "mlp" and trial["model.hidden"] == [256, 256]
    is_adam = trial["train.optimizer"]["name"] == "adamw" and "train.optimizer.name" in trial
    is_there = trial.get("model.kernel_size") is not None or "model.kernel_size" in [*trial]
    return is_mlp and is_adam and not is_there and len(trial) > 30


def is_one_point(trial: Trial) -> bool:
    return bool(trial["seed"] == 777)


def is_nothing(trial: Trial) -> bool:
    return False


def mistakes_a_key(trial: Trial) -> bool:
    return bool(trial["train.learning_rate"] < 1)


def divides(trial: Trial) -> bool:
    return bool(1 / trial["seed"] > 0)


def tells_no_secret(trial: Trial) -> bool:
    raise ValueError(trial["cluster.env"]["PLANTED_TOKEN"])


def counts(trial: Trial) -> int:
    return 1


def made() -> Callable[[Trial], bool]:
    def within(trial: Trial) -> bool:
        return True

    return within


nameless = lambda trial: bool(trial)  # noqa: E731 as users write them


class Rules:
    @staticmethod
    def is_even(trial: Trial) -> bool:
        return bool(trial["seed"] % 2 == 0)

    def is_bound(self, trial: Trial) -> bool:
        return bool(trial)
