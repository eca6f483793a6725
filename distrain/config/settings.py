"""The whole configuration: one tree of frozen settings, section by section.

`load.py` makes it from files and overrides, `checks.py` holds what spans several sections.
"""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from distrain.config.base import (
    ImportPath,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    Section,
    Seed,
    Text,
    Word,
)
from distrain.config.data import DataSettings
from distrain.config.faults import KeyPath
from distrain.config.model import ModelSettings
from distrain.config.names import ALIAS_PATTERN, GOAL_PATTERN
from distrain.config.train import TrainSettings
from distrain.config.tune import TuneSettings

Name = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100),
    Field(json_schema_extra={"x-expected": "at most 100 letters, digits, '.', '_' and '-'"}),
]
Alias = Annotated[
    str,
    StringConstraints(pattern=ALIAS_PATTERN, max_length=255),
    Field(json_schema_extra={"x-expected": "letters, digits, '_' and '-'"}),
]
Level = Annotated[
    float, Field(gt=0, le=0.5, json_schema_extra={"x-expected": "a number above 0, at most 0.5"})
]
GoalText = Annotated[
    str,
    StringConstraints(pattern=GOAL_PATTERN),
    Field(json_schema_extra={"x-expected": "a comparison and a number, such as '>= 0.85'"}),
]


class MetricTarget(Section):
    """A metric of the user's own."""

    target: ImportPath = Field(
        description="package.module:function of (targets, predictions) that returns a number; "
        "its name is the function's."
    )


class EvaluateSettings(Section):
    """`evaluate`: what is measured, when, and what is good enough."""

    every_epochs: PositiveInt | None = Field(
        None, description="Epochs between evaluations on the validation split [1]."
    )
    every_steps: PositiveInt | None = Field(None, description="Steps between evaluations.")
    metrics: list[Text | MetricTarget] | None = Field(
        None, description="Names from `distrain list metrics` [what suits the task]."
    )
    goals: dict[str, GoalText] = Field(
        {}, description="Metric to bound, such as {test/accuracy: '>= 0.85'}; unmet: exit 3."
    )


class EqualSettings(Section):
    """`track.register.or_equal`: as good, but smaller or faster."""

    within: PositiveFloat = Field(
        description="By so much it may be worse, in the metric's unit, at the same level."
    )
    but: Literal["smaller", "faster"] = Field(
        description="smaller: fewer parameters; faster: at most 0.9 of the time to predict."
    )


class RegisterSettings(Section):
    """`track.register`: the final model's name in the registry, and what moves its alias."""

    model: Name | None = Field(None, description="Registered-model name [the run's name].")
    alias: Alias | None = Field(
        None,
        description="Alias that moves to the new version where the goals are met and it is better "
        "than the version that has it, on the same test rows [none].",
    )
    metric: Text | None = Field(
        None,
        description="What better means: a metric without its split "
        "[the first of evaluate.metrics, else accuracy or rmse].",
    )
    mode: Literal["min", "max"] | None = Field(
        None, description="Whether less or more is better [known, but for a metric of your own]."
    )
    level: Level = Field(
        0.05,
        description="Chance of calling better what is not; divided by the number of versions "
        "that were measured on the same test rows.",
    )
    or_equal: EqualSettings | None = Field(
        None, description="When a version that is as good has earned the alias, too [never]."
    )


class TrackSettings(Section):
    """`track`: what is recorded, and where."""

    every_steps: PositiveInt = Field(
        10, description="Steps between two training records; in a search they are an epoch's."
    )
    uri: Text | None = Field(
        None, description="MLflow tracking URI [MLFLOW_TRACKING_URI, else SQLite below storage]."
    )
    system_metrics_every_s: PositiveFloat | None = Field(
        10, description="Seconds between two looks at how busy the machines are; null: none."
    )
    drain_s: NonNegativeFloat = Field(
        120, description="Seconds a finished command waits for a tracking server that is away."
    )
    register_: RegisterSettings = Field(
        RegisterSettings(), alias="register", description="The registry entry."
    )


class ClusterSettings(Section):
    """`cluster`: where it runs."""

    address: Text | None = Field(
        None,
        description="Ray address: auto (a running one), local (always new) or HOST:PORT "
        "[RAY_ADDRESS, else local].",
    )
    wait_s: NonNegativeFloat = Field(
        600,
        description="Seconds to wait in line, saying for what, until the first workers have a "
        "place on a cluster that distrain did not start; 0: not at all.",
    )
    max_cpus: PositiveFloat | None = Field(
        None,
        description="CPUs that the workers of a command reserve at most, all together; its driver "
        "and the preparation of data are not counted [no bound].",
    )
    max_gpus: PositiveFloat | None = Field(
        None,
        description="GPUs that the workers of a command reserve at most, all together [no bound].",
    )
    env: dict[str, Word] = Field({}, description="Environment variables for the workers.")
    working_dir: Text | None = Field(
        None,
        description="Folder that `distrain submit` sends as a whole, but for what .gitignore and "
        ".rayignore name [the configuration files and the package of a target alone].",
    )
    collective_timeout_s: PositiveFloat = Field(
        300,
        description="Seconds until a collective call between workers is given up, or a trial that "
        "makes no step is ended; after ten times that where a trial evaluates, or anybody waits "
        "for a checkpoint.",
    )
    price_per_gpu_hour: PositiveFloat | None = Field(
        None,
        description="Price of one GPU for an hour, in a currency of your own; with it --dry-run "
        "and a run's report tell the cost [none is told].",
    )


class Settings(Section):
    """Everything a user can ask for."""

    name: Name = Field(
        "run", description="MLflow experiment and default registered model [the file's name]."
    )
    seed: Seed = Field(0, description="Initialisation, order and dropout.")
    storage: Text = Field(
        "./runs", description="Folder, or s3://..., below which everything of a run is kept."
    )
    data: DataSettings = Field(description="The data.")
    model: ModelSettings = Field(description="The network.")
    train: TrainSettings = Field(TrainSettings(), description="The training.")
    evaluate: EvaluateSettings = Field(EvaluateSettings(), description="The evaluation.")
    tune: TuneSettings | None = Field(
        None, description="The search of `distrain tune`; other commands leave it alone."
    )
    track: TrackSettings = Field(TrackSettings(), description="The record.")
    cluster: ClusterSettings = Field(ClusterSettings(), description="The machines.")


EITHER_OR: tuple[tuple[KeyPath, KeyPath], ...] = (
    (("train", "epochs"), ("train", "steps")),
    (("train", "checkpoint", "every_s"), ("train", "checkpoint", "every_steps")),
    (("evaluate", "every_epochs"), ("evaluate", "every_steps")),
)
"""Two keys that say the same in two ways, of which one can hold."""
