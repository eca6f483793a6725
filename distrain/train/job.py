"""What a training run is asked to do and what comes of it, as plain values that JSON can carry."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self, final

from distrain.train.precision import Precision
from distrain.train.spikes import OnSpike
from distrain.train.strategy import Strategy

Status = Literal["finished", "stopped_early", "interrupted"]

Answer = Literal["go_on", "pause", "end", "stop"]
"""What becomes of a run after an evaluation; `pause` saves it and ends the attempt alone, `stop`
gives it up."""


@final
class GivenUpError(Exception):
    """Whoever watches the run has given it up; raised on every worker at the same step."""


@final
@dataclass(frozen=True)
class TrainJob:
    """A training run. Sections are plain mappings with the keys of the configuration.

    Args:
        run_dir: the run's folder; with several nodes, on storage that all of them see.
        prepared_dir: the prepared dataset's folder, or its URI.
        source_files: URI, size and version of each file that training rows are streamed from; none:
            those that the dataset was prepared from, or nothing is streamed.
        fetch_into: folder on each node for shards that are fetched from a URI; None: the usual one.
        fetch_max_bytes: what that folder may hold; None: any number.
        model: the `model` section, but for `init_from`.
        init_from: the weights that training begins with, as `starting.begin_with` takes them; None:
            those that the seed gives.
        freeze: the `train.freeze` section: patterns of parameters that are not trained.
        lr_by_name: the `train.lr_by_name` section: pattern of parameter names to learning rate.
        seed: initialisation, order and dropout.
        loss: the `train.loss` section; None: by task.
        step: import path of a step of the user's own, in the place of the loss; None: none.
        optimizer: the `train.optimizer` section.
        lr_schedule: the `train.lr_schedule` section.
        epochs: passes over the training split; or else `steps`.
        steps: optimizer steps.
        global_batch_size: rows per step, whatever the number of workers.
        logical_shards: fixed parts of a step, at least as many as workers.
        reduction: `exact`: the same bits on any number of workers; `fast`: a worker's rows in one
            piece and any order of addition, as plain DDP has it.
        strategy: `ddp`: every worker holds the model whole; `fsdp`: each holds a share of it.
        ingest: `prepared`: training rows lie in the prepared dataset; `stream`: in the source.
        threads: threads inside an operation; part of the bits.
        gradient_clip_norm: greatest L2 norm of the whole gradient; None: no limit.
        changes: what has other values from a step on, in the order of steps: `step`, and as they
            are from there on `optimizer`, `gradient_clip_norm`, `dropout` (of the `model` section;
            None: it has none) and `config_digest`.
        precision: of forward and backward passes in training: fp32, bf16 or fp16.
        on_spike: what is done about a loss out of the ordinary: record, skip or stop.
        ema: the `train.ema` section: decay of the average of weights that is evaluated and kept in
            their stead; None: the weights themselves are.
        activation_checkpointing: whether blocks of the model run again in the backward pass.
        compile: whether training runs the model compiled by torch.
        profile: whether a few steps are traced to `<run_dir>/profile`.
        max_time_s: seconds of training, over all attempts, after which it stops early.
        metrics: names, or `{"target": "package.module:function"}`, beside the loss; None: what
            suits the task.
        evaluate_every_epochs: epochs between evaluations; the last step is always evaluated.
        evaluate_every_steps: steps between evaluations.
        early_stopping: the `train.early_stopping` section with its mode; None: never.
        restore_best: whether the final model is the best one by early stopping's metric, or by
            validation/loss.
        checkpoint_every_s: seconds between checkpoints, by rank zero's clock.
        checkpoint_every_steps: steps between checkpoints.
        checkpoint_keep: how many of the newest are kept, beside the best.
        is_trial: whether it is a trial of a search: the test split is left alone, and no final
            weights are written; the winner's own run does both.
        ledger: whether every row that was trained on is written to `<run_dir>/ledger`.
        record_every_steps: steps between two records of train/loss and train/lr; None: an epoch's.
        system_metrics_every_s: seconds between two looks at how busy the machines are; None: none.
        data_digest: the prepared dataset that is meant; empty: whatever lies in `prepared_dir`.
        config_digest: a checkpoint of another configuration is refused; of one after the first of
            `changes`, the last change before it tells the digest.
        loader_workers: processes that read ahead of a Dataset of the user's own.
        fence: the driver's fencing number, which must be the newest at every commit (see
            `distrain.lease`); None: the run has no driver.
        attempt: which of the driver's, from 1; it must be the last at every commit. None: there is
            no other.
    """

    run_dir: str
    prepared_dir: str
    model: Mapping[str, Any]
    seed: int = 0
    loss: Mapping[str, Any] | None = None
    step: str | None = None
    optimizer: Mapping[str, Any] = field(default_factory=lambda: {"name": "adamw", "lr": 1e-3})
    lr_schedule: Mapping[str, Any] = field(default_factory=lambda: {"name": "constant"})
    epochs: int | None = None
    steps: int | None = None
    global_batch_size: int = 256
    logical_shards: int = 4
    reduction: Literal["exact", "fast"] = "exact"
    strategy: Strategy = "ddp"
    ingest: Literal["prepared", "stream"] = "prepared"
    threads: int = 1
    gradient_clip_norm: float | None = None
    changes: Sequence[Mapping[str, Any]] = field(default_factory=list)
    precision: Precision = "fp32"
    on_spike: OnSpike = "record"
    ema: Mapping[str, Any] | None = None
    activation_checkpointing: bool = False
    compile: bool = False
    profile: bool = False
    max_time_s: float | None = None
    metrics: list[str | dict[str, str]] | None = None
    evaluate_every_epochs: int | None = 1
    evaluate_every_steps: int | None = None
    early_stopping: Mapping[str, Any] | None = None
    restore_best: bool = False
    checkpoint_every_s: float | None = 60.0
    checkpoint_every_steps: int | None = None
    checkpoint_keep: int = 3
    is_trial: bool = False
    ledger: bool = False
    record_every_steps: int | None = 10
    system_metrics_every_s: float | None = 10.0
    data_digest: str = ""
    config_digest: str = ""
    source_files: Sequence[Mapping[str, Any]] = field(default_factory=list)
    fetch_into: str | None = None
    fetch_max_bytes: int | None = None
    loader_workers: int = 0
    init_from: Mapping[str, Any] | None = None
    freeze: Sequence[str] = field(default_factory=list)
    lr_by_name: Mapping[str, float] = field(default_factory=dict)
    fence: int | None = None
    attempt: int | None = None

    @property
    def bits_given_up_by(self) -> str | None:
        """Return the setting by which the same bits are not promised; None: they are."""
        settings = {
            "strategy: fsdp": self.strategy == "fsdp",
            "reduction: fast": self.reduction == "fast",
        }
        return ", ".join(name for name, is_set in settings.items() if is_set) or None

    def to_json(self) -> dict[str, Any]:
        """Return plain values that JSON can carry."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return the job that `to_json` gave."""
        return cls(**values)


@final
@dataclass(frozen=True)
class TrainOutcome:
    """What came of a training run; the same on every worker, but for `waits`.

    Attributes:
        status: `finished`, `stopped_early`, or `interrupted` (state saved, nothing tested).
        epoch: epochs begun.
        step: committed optimizer steps.
        total_steps: steps that were asked for.
        steps_per_epoch: steps of an epoch.
        metrics: `train/loss` as last recorded, `validation/*` of the final model, `test/*`.
        weights_sha256: fingerprint of the final model.
        weights_file: its state dict, safetensors; empty after an interruption.
        num_parameters: parameters of the model, frozen ones included.
        num_workers: workers of the last attempt.
        samples_per_second: rows per second of training; None under 40 steps.
        best_step: step of the final model where the best was restored, else None.
        resumed_from_step: step of the checkpoint that this attempt took up, or None.
        waits: seconds spent by this worker in this attempt on `data`, `compute`, `reduce`,
            `record`, `evaluate` and `checkpoint`.
        plan_digest: fingerprint of the order of rows.
    """

    status: Status
    epoch: int
    step: int
    total_steps: int
    steps_per_epoch: int
    metrics: dict[str, float]
    weights_sha256: str
    weights_file: str
    num_parameters: int
    num_workers: int
    samples_per_second: float | None
    best_step: int | None
    resumed_from_step: int | None
    waits: dict[str, float]
    plan_digest: str

    def to_json(self) -> dict[str, Any]:
        """Return plain values that JSON can carry; metrics may be nan."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return the outcome that `to_json` gave."""
        return cls(**values)
