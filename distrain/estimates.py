"""What a run or a search would do, as `--dry-run` tells it: values with the fields of `--json`."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, final


@final
@dataclass(frozen=True)
class Probe:
    """A trial that was timed for a moment before the search.

    Attributes:
        trial: its number.
        config: its values by dotted path.
        epoch_s: seconds of an epoch's training steps on one worker; None: it failed.
        error: what it failed of; None: it did not.
    """

    trial: int
    config: Mapping[str, Any]
    epoch_s: float | None
    error: str | None = None


@final
@dataclass(frozen=True)
class NamedCode:
    """Code of the user's own that a configuration names: no other is run.

    Attributes:
        key: the configuration key.
        target: the import path.
        file: what it is read from; None: it is a part of Python itself.
    """

    key: str
    target: str
    file: str | None


@final
@dataclass(frozen=True)
class SearchEstimate:
    """What a search would do, without starting it.

    Attributes:
        trial: what its first trial would do.
        num_trials: how many there are.
        epochs_at_most: of all trials, where the scheduler stops none.
        epochs_at_least: of all trials, where it stops as many as it can.
        epochs_afterwards: about so many after it: the winner's other seeds, and the audit.
        num_concurrent: trials at a time; None: as many as fit on the cluster.
        at_most_s: seconds of training: the upper end of an interval, with the most epochs; None
            where rows are streamed, and where all trials that were timed failed.
        at_least_s: its lower end, with the least epochs; None likewise.
        cost_at_most: of the GPUs for `at_most_s`; None without `cluster.price_per_gpu_hour`, and
            where no GPU was timed.
        cost_at_least: of them for `at_least_s`; None likewise.
        workers_per_trial: that train each trial.
        how: how the interval was got, in words.
        probes: the trials that were timed for it.
        code: what it runs of the user's own.
    """

    trial: "Estimate"
    num_trials: int
    epochs_at_most: int
    epochs_at_least: int
    num_concurrent: int | None
    at_most_s: float | None
    at_least_s: float | None
    cost_at_most: float | None = None
    cost_at_least: float | None = None
    epochs_afterwards: int = 0
    workers_per_trial: int = 1
    how: str = ""
    probes: tuple[Probe, ...] = ()
    code: tuple[NamedCode, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the object of `--json`."""
        return {**asdict(self), "status": "estimated", "trial": self.trial.to_json()}


@final
@dataclass(frozen=True)
class Estimate:
    """What a run would do, without starting it.

    Attributes:
        data: what it would be trained on, in words.
        rows: split to number of rows; estimates unless the data is prepared.
        steps: optimizer steps.
        steps_per_epoch: of an epoch.
        num_parameters: of the model; None where the data must be prepared to tell.
        placement: workers and their resources, in words.
        worker_bytes: memory of a worker beside what torch itself takes; None likewise.
        train_s: seconds of training steps on this machine; None likewise.
        tracking: where it would be recorded.
        train_s_low: the lower end of an interval for them; None likewise.
        train_s_high: its upper end; None likewise.
        how: how the interval was got, and what is not in it, in words.
        cost: of the GPUs for `train_s`; None without `cluster.price_per_gpu_hour`, and where no
            GPU was timed.
        cost_low: of them for `train_s_low`; None likewise.
        cost_high: of them for `train_s_high`; None likewise.
        code: what it runs of the user's own; of a trial, the search tells.
    """

    data: str
    rows: Mapping[str, int]
    steps: int
    steps_per_epoch: int
    num_parameters: int | None
    placement: str
    worker_bytes: int | None
    train_s: float | None
    tracking: str
    train_s_low: float | None = None
    train_s_high: float | None = None
    how: str = ""
    cost: float | None = None
    cost_low: float | None = None
    cost_high: float | None = None
    code: tuple[NamedCode, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the object of `--json`."""
        return {"status": "estimated", **asdict(self)}
