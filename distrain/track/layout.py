"""How a search is laid out at MLflow, for whoever reads it there: names, colours, columns. Pure.

MLflow's axes for parameters are linear, so that a learning rate that varies over three decades has
most of its trials on the axis itself: parameters that vary in their logarithm go there twice, the
second time as `log10.<path>`. Its table knows one sign for what was killed and what failed, and
none for what a scheduler stopped: these are told apart by colour, and in words in columns.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Self, final

from distrain.config.names import Mode
from distrain.config.tune import TuneSettings
from distrain.cost import gpu_hours
from distrain.redaction import redacted

SCORE: Final = "search/score"
"""What trials are ranked by: the metric of a trial's final model. One that was stopped has none."""
RANK: Final = "search/rank"
"""The place of a trial that came to its end, from 1: the winner; once its search has ended."""
MAX_RANKED: Final = 20
"""So many trials are told their rank: it takes a third of a trial's other requests."""
EPOCHS: Final = "search/epochs"
TRAIN_S: Final = "search/train_s"
GPU_HOURS: Final = "search/gpu_hours"
LOG10: Final = "log10."

COLOR_TAG: Final = "mlflow.runColor"
WON_COLOR: Final = "#d4a017"
STOPPED_COLOR: Final = "#b8bec6"
FAILED_COLOR: Final = "#d1242f"
CUT_OFF_COLOR: Final = "#8250df"
PLAIN_COLOR: Final = "#4a7fb5"
"""Of a trial that came to its end; also in place of another that is void: no tag is taken back."""
COLORS: Final[Mapping[str, str]] = {
    "finished": PLAIN_COLOR,
    "stopped_early": PLAIN_COLOR,
    "stopped": STOPPED_COLOR,
    "failed": FAILED_COLOR,
    "killed": CUT_OFF_COLOR,
    "interrupted": CUT_OFF_COLOR,
}

_DIGITS: Final = 9
_MOST_COLUMNS: Final = 12


@final
@dataclass(frozen=True)
class SearchLayout:
    """What a search's pages at MLflow are made of, known when it begins.

    Attributes:
        metric: what is searched for.
        mode: whether less or more of it is better.
        paths: the keys that vary in every trial, as they were written.
        conditional: those that vary in some.
        log_paths: those of both that vary in their logarithm.
        gpus_per_trial: 0: trials run on CPUs.
    """

    metric: str
    mode: Mode
    paths: tuple[str, ...]
    conditional: tuple[str, ...] = ()
    log_paths: tuple[str, ...] = ()
    gpus_per_trial: float = 0.0

    @classmethod
    def of(cls, tune: TuneSettings, gpus_per_trial: float) -> Self:
        """Return the layout of a search, by its resolved settings."""
        assert tune.mode is not None, "settings are resolved"
        return cls(
            tune.metric,
            tune.mode,
            tuple(path for path, entry in tune.space.items() if not entry.when),
            tuple(path for path, entry in tune.space.items() if entry.when),
            tuple(path for path, entry in tune.space.items() if entry.kinds[0].startswith("log")),
            gpus_per_trial,
        )

    @classmethod
    def of_json(cls, fields: Mapping[str, Any]) -> Self:
        """Return what `to_json` gave, also after a journal has held it."""
        plain: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in fields.items()
        }
        return cls(**plain)

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @property
    def is_greater_better(self) -> bool:
        """Whether more of the metric is better."""
        return self.mode == "max"

    @property
    def columns(self) -> tuple[str, ...]:
        """The keys that the leaderboard has columns for, at most 12."""
        return (*self.paths, *self.conditional)[:_MOST_COLUMNS]

    @property
    def axes(self) -> tuple[str, ...]:
        """The parameters that all trials have, those in their logarithm that vary in it."""
        return tuple(f"{LOG10}{path}" if path in self.log_paths else path for path in self.paths)

    def logarithms(self, assignment: Mapping[str, Any]) -> dict[str, str]:
        """Return the copies of a trial's parameters in their logarithm, each formatted once."""
        values = ((path, assignment.get(path)) for path in self.log_paths)
        return {
            f"{LOG10}{path}": repr(round(math.log10(value), _DIGITS))
            for path, value in values
            if isinstance(value, int | float) and value > 0
        }

    def summary(self, ended: Mapping[str, Any], *, is_whole: bool) -> dict[str, float]:
        """Return what a trial came to, and what it cost, as metrics.

        Args:
            ended: the event of its end.
            is_whole: whether it came to a model of its own.
        """
        score = (ended["metrics"] or {}).get(self.metric) if is_whole else None
        train_s = float(ended.get("train_s") or 0.0)
        told = {
            SCORE: score,
            EPOCHS: ended.get("epoch"),
            TRAIN_S: train_s,
            GPU_HOURS: gpu_hours(train_s * self.gpus_per_trial) if self.gpus_per_trial else None,
        }
        return {name: float(value) for name, value in told.items() if value is not None}


def layout_in(facts: Mapping[str, Any]) -> SearchLayout | None:
    """Return the layout that a run's first record holds; None: it is no search, or an old one."""
    fields = facts.get("search")
    return None if fields is None else SearchLayout.of_json(fields)


def primary_metric_tags(layout: SearchLayout) -> dict[str, str]:
    """Return the tags by which an experiment says what counts in it."""
    return {
        "mlflow.experiment.primaryMetric.name": layout.metric,
        "mlflow.experiment.primaryMetric.greaterIsBetter": str(layout.is_greater_better).lower(),
    }


def words_of_end(outcome: str, error: Mapping[str, Any] | None) -> str:
    """Return why a trial ended that no verdict was spoken on; empty: there is nothing to tell.

    Args:
        outcome: how it ended.
        error: what it failed of.
    """
    if error is not None:
        told = redacted(str(error["message"])).strip().splitlines()
        return f"It failed: {told[0]}" if told else "It failed."
    return {
        "stopped_early": "It ended before its last epoch with a whole model: by its own early "
        "stopping, on a plateau, or because the search's budget was spent.",
        "stopped": "It was stopped without a verdict of its own: another seed of its setting lost, "
        "or the search's budget was spent.",
        "killed": "It was under way when its search ended.",
        "interrupted": "It was under way when its search was interrupted.",
    }.get(outcome, "")
