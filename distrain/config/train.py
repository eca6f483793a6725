"""`train:` how weights are found: steps, workers, optimizer, schedule, stopping, checkpoints."""

from typing import Annotated, Any, Literal

from pydantic import Field

from distrain.config.base import (
    Fraction,
    ImportPath,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Section,
    Text,
)


class ResourceSettings(Section):
    """`train.resources_per_worker`."""

    cpu: PositiveFloat = Field(1, description="CPUs that Ray reserves for a worker.")
    gpu: NonNegativeFloat | Literal["auto"] = Field(
        "auto", description="GPUs for a worker [1 where there are GPUs, else 0]."
    )


class ElasticWorkers(Section):
    """`train.num_workers` of a run that goes on with fewer workers, and takes in more."""

    min: PositiveInt = Field(description="Workers without which training waits.")
    max: PositiveInt = Field(description="Workers at most; at most logical_shards.")


class LossTarget(Section):
    """A loss of the user's own."""

    target: ImportPath = Field(
        description="package.module:function of (outputs, targets), or a class whose objects are "
        "called so, such as torch.nn:CrossEntropyLoss. It returns the loss of each row, shape "
        "(rows,); or (sum, weight); or a scalar, taken as the mean over rows of the same weight."
    )
    args: dict[str, Any] = Field(
        {},
        description="Keyword arguments of the class, or further ones of the function; a list where "
        "it takes a tensor becomes one.",
    )


class CrossEntropySettings(Section):
    """Negative log-likelihood of the right class."""

    name: Literal["cross_entropy"] = Field(description="Chooses cross_entropy; for classification.")
    class_weights: dict[str, NonNegativeFloat] | Literal["balanced"] | None = Field(
        None, description="Weight by class; balanced: inverse to its frequency."
    )
    label_smoothing: Fraction = Field(
        0.0, description="Share of the target that is spread over all classes."
    )


class MseSettings(Section):
    """Squared error."""

    name: Literal["mse"] = Field(description="Chooses mse; for regression.")


class MaeSettings(Section):
    """Absolute error."""

    name: Literal["mae"] = Field(description="Chooses mae; for regression.")


class HuberSettings(Section):
    """Squared error near zero, absolute error further out (Huber 1964)."""

    name: Literal["huber"] = Field(description="Chooses huber; for regression.")
    delta: PositiveFloat = Field(
        1.0, description="Where it turns from square to linear, in target standard deviations."
    )


NamedLoss = Annotated[
    CrossEntropySettings | MseSettings | MaeSettings | HuberSettings, Field(discriminator="name")
]
LossSettings = NamedLoss | LossTarget


Betas = Annotated[tuple[Fraction, Fraction], Field(strict=False)]  # a list, in a file


class SgdSettings(Section):
    """Stochastic gradient descent."""

    name: Literal["sgd"] = Field(description="Chooses sgd.")
    lr: PositiveFloat = Field(0.01, description="Learning rate.")
    momentum: Fraction = Field(0.9, description="Momentum.")
    nesterov: bool = Field(False, description="Whether momentum is Nesterov's.")
    weight_decay: NonNegativeFloat = Field(0.0, description="L2 penalty.")


class AdamSettings(Section):
    """Adam (Kingma & Ba 2015)."""

    name: Literal["adam"] = Field(description="Chooses adam.")
    lr: PositiveFloat = Field(1e-3, description="Learning rate.")
    betas: Betas = Field((0.9, 0.999), description="Decay of the two moments.")
    eps: PositiveFloat = Field(1e-8, description="Added to the denominator.")
    weight_decay: NonNegativeFloat = Field(0.0, description="L2 penalty.")


class AdamWSettings(Section):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019)."""

    name: Literal["adamw"] = Field(description="Chooses adamw.")
    lr: PositiveFloat = Field(1e-3, description="Learning rate.")
    betas: Betas = Field((0.9, 0.999), description="Decay of the two moments.")
    eps: PositiveFloat = Field(1e-8, description="Added to the denominator.")
    weight_decay: NonNegativeFloat = Field(0.01, description="Decoupled weight decay.")


class RmspropSettings(Section):
    """RMSprop (Hinton 2012)."""

    name: Literal["rmsprop"] = Field(description="Chooses rmsprop.")
    lr: PositiveFloat = Field(1e-3, description="Learning rate.")
    alpha: Fraction = Field(0.99, description="Decay of the squared gradient's mean.")
    momentum: Fraction = Field(0.0, description="Momentum.")
    eps: PositiveFloat = Field(1e-8, description="Added to the denominator.")
    weight_decay: NonNegativeFloat = Field(0.0, description="L2 penalty.")


class OptimizerTarget(Section):
    """An update rule of the user's own."""

    target: ImportPath = Field(
        description="package.module:Class, a torch.optim.Optimizer: it is given the parameters, lr "
        "and args."
    )
    lr: PositiveFloat = Field(1e-3, description="Learning rate.")
    args: dict[str, Any] = Field({}, description="Further keyword arguments of the class.")


NamedOptimizer = Annotated[
    SgdSettings | AdamSettings | AdamWSettings | RmspropSettings, Field(discriminator="name")
]
OptimizerSettings = NamedOptimizer | OptimizerTarget


class ConstantSchedule(Section):
    """The same rate throughout, after the warm-up."""

    name: Literal["constant"] = Field(description="Chooses constant.")
    warmup_steps: NonNegativeInt = Field(0, description="Steps of linear rise from 0 to lr.")


class StepSchedule(Section):
    """The rate times gamma every so many epochs."""

    name: Literal["step"] = Field(description="Chooses step.")
    warmup_steps: NonNegativeInt = Field(0, description="Steps of linear rise from 0 to lr.")
    every_epochs: PositiveInt = Field(10, description="Epochs between two falls.")
    gamma: Annotated[float, Field(gt=0, le=1)] = Field(0.1, description="Factor of each fall.")


class CosineSchedule(Section):
    """Half a cosine from lr to lr x final_fraction at the last step (Loshchilov & Hutter 2017)."""

    name: Literal["cosine"] = Field(description="Chooses cosine.")
    warmup_steps: NonNegativeInt = Field(0, description="Steps of linear rise from 0 to lr.")
    final_fraction: Fraction = Field(0.0, description="Rate at the end as a fraction of lr.")


class OneCycleSchedule(Section):
    """Up to lr and down again by cosines (Smith & Topin 2018)."""

    name: Literal["one_cycle"] = Field(description="Chooses one_cycle.")
    peak_fraction: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.3, description="Where the peak is, as a fraction of all steps."
    )
    start_fraction: Fraction = Field(0.04, description="First rate as a fraction of lr.")
    final_fraction: Fraction = Field(0.0, description="Last rate as a fraction of lr.")


class LrScheduleTarget(Section):
    """A schedule of the user's own."""

    target: ImportPath = Field(
        description="package.module:function of (step) that returns a factor of lr, from step 0 "
        "on; one that names total_steps or steps_per_epoch gets them. Or a class of "
        "torch.optim.lr_scheduler, which is stepped once for each optimizer step."
    )
    args: dict[str, Any] = Field({}, description="Further keyword arguments of it.")


NamedLrSchedule = Annotated[
    ConstantSchedule | StepSchedule | CosineSchedule | OneCycleSchedule,
    Field(discriminator="name"),
]
LrScheduleSettings = NamedLrSchedule | LrScheduleTarget


class EarlyStoppingSettings(Section):
    """`train.early_stopping`: stop when a validation metric has not improved for a while."""

    metric: str = Field("validation/loss", description="A validation metric or train/loss.")
    mode: Literal["min", "max"] | None = Field(
        None, description="Whether less or more is better [by metric]."
    )
    patience: PositiveInt = Field(5, description="Evaluations without improvement.")
    min_delta: NonNegativeFloat = Field(0.0, description="Least change that is an improvement.")


class EmaSettings(Section):
    """`train.ema`: the final model is a running average of the weights."""

    decay: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.999,
        description="Share of the average that an update leaves; it rises from 0.1 in the first "
        "updates.",
    )


class ChangeSettings(Section):
    """One of `train.changes`: other values from a step on."""

    step: PositiveInt = Field(description="Committed steps before the first that has them.")
    values: dict[str, Any] = Field(
        description="Dotted key, such as train.optimizer.lr, to value; of model.dropout, "
        "train.gradient_clip_norm and what stands below train.optimizer, but for its name."
    )


class CheckpointSettings(Section):
    """`train.checkpoint`: how often training state is saved, in the background."""

    every_s: PositiveFloat | None = Field(
        None,
        description="Seconds of training that a death costs at most, where the storage takes a "
        "checkpoint within half of that [60].",
    )
    every_steps: PositiveInt | None = Field(
        None,
        description="Steps that a death costs at most; at each multiple, training waits for what "
        "is written, up to 10 s.",
    )
    keep: PositiveInt = Field(
        3, description="How many of the newest are kept, beside the best by the watched metric."
    )


class TrainSettings(Section):
    """`train`: one training run."""

    epochs: PositiveInt | None = Field(
        None,
        description="Passes over the training split [20, with early stopping, where neither "
        "epochs nor steps is given].",
    )
    steps: PositiveInt | None = Field(None, description="Optimizer steps, instead of epochs.")
    global_batch_size: PositiveInt = Field(
        256, description="Rows per optimizer step, whatever the number of workers."
    )
    num_workers: PositiveInt | Literal["auto"] | ElasticWorkers = Field(
        "auto",
        description="Workers, or {min, max}: as many as there is room for, nodes lost and added "
        "[all GPUs, else the cores; at most logical_shards].",
    )
    resources_per_worker: ResourceSettings = Field(
        ResourceSettings(), description="What Ray reserves for each worker."
    )
    threads_per_worker: PositiveInt = Field(
        1, description="Threads inside an operation; part of the bits, so part of the digest."
    )
    logical_shards: PositiveInt = Field(
        4, description="Fixed parts of a global batch; workers own whole parts."
    )
    reduction: Literal["exact", "fast"] = Field(
        "exact",
        description="exact: the same weights on any number of workers; fast: a worker's rows in "
        "one piece, added up in any order, as plain DDP does it.",
    )
    strategy: Literal["ddp", "fsdp"] = Field(
        "ddp",
        description="ddp: every worker holds the model whole; fsdp: each holds a share of its "
        "parameters, gradients and optimizer state, once it has built the model whole on its CPU, "
        "where rank zero gathers it again at the end; the same rows in the same order, but other "
        "bits on another number of workers. For models that run their blocks (members of an "
        "nn.Sequential or nn.ModuleList) in one order in every pass, and use a block's parameters "
        "by calling it; others are refused, or where the rows decide which blocks run, may hang "
        "until the collectives' timeout.",
    )
    loss: LossSettings | None = Field(None, description="[by task: cross_entropy or mse]")
    step: ImportPath | None = Field(
        None,
        description="package.module:function of (model, batch) that returns (loss_sum, weight, "
        "metrics), in the place of loss; batch is what data.dataset and data.collate give, metrics "
        "a dict of name to a number or (sum, weight), recorded as train/<name> and "
        "validation/<name>. Needs data.dataset.",
    )
    optimizer: OptimizerSettings = Field(
        AdamWSettings(name="adamw"), description="The update rule."
    )
    freeze: list[Text] | None = Field(
        None,
        description="Patterns of parameter names, such as encoder.*, that are not trained; a norm "
        "all of whose parameters are frozen keeps its running statistics, too.",
    )
    lr_by_name: dict[str, PositiveFloat] | None = Field(
        None,
        description="Pattern of parameter names, such as head.*, to learning rate: the first that "
        "matches counts. It keeps its ratio to optimizer.lr, which lr_schedule moves.",
    )
    lr_schedule: LrScheduleSettings = Field(
        ConstantSchedule(name="constant"), description="The learning rate over the steps."
    )
    gradient_clip_norm: PositiveFloat | None = Field(
        None, description="Greatest L2 norm of the whole gradient."
    )
    changes: list[ChangeSettings] | None = Field(
        None,
        description="What has other values from a step on, in the order of steps; a winner of "
        "tune.scheduler pbt has become what it is by such changes.",
    )
    precision: Literal["fp32", "bf16", "fp16"] = Field(
        "fp32",
        description="Of forward and backward passes in training; weights, sums, evaluation and "
        "prediction are in float32.",
    )
    on_spike: Literal["record", "skip", "stop"] = Field(
        "record",
        description="What is done about a loss above 5 times the median of the last 100 steps, or "
        "one that is not finite: record the former and end the run by the latter; skip: leave the "
        "step without an update; stop: end the run.",
    )
    ema: EmaSettings | None = Field(
        None,
        description="Evaluate and keep a running average of the weights in their stead.",
    )
    activation_checkpointing: bool = Field(
        False,
        description="Whether the model's blocks run again in the backward pass, which saves memory "
        "and changes no bit.",
    )
    compile: bool = Field(
        False,
        description="Whether training runs the model compiled by torch.compile; evaluation and "
        "prediction do not.",
    )
    profile: bool = Field(
        False, description="Whether a few steps of rank zero are traced to <run>/profile."
    )
    early_stopping: EarlyStoppingSettings | None = Field(None, description="When to stop early.")
    restore_best: bool | None = Field(
        None,
        description="Whether the final model is the best by early_stopping's metric, or by "
        "validation/loss [true where there is a validation split].",
    )
    checkpoint: CheckpointSettings = Field(CheckpointSettings(), description="How often to save.")
    max_time_s: PositiveFloat | None = Field(
        None,
        description="Seconds of training, over all attempts, after which it stops early with the "
        "model it has.",
    )
    max_failures: NonNegativeInt = Field(
        3,
        description="Losses of workers or nodes survived by `train`, and again by each `resume`; "
        "faults of user code are not retried.",
    )
    ledger: bool = Field(
        False, description="Whether every row that was trained on is written to <run>/ledger."
    )
