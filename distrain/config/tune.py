"""`tune:` a search: what may vary, what proposes, what stops early, and how much it may cost."""

from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from distrain.config.base import NonNegativeFloat, PositiveFloat, PositiveInt, Section, Text

Bounds = Annotated[tuple[float, float], Field(strict=False)]  # lists, in a file
SteppedBounds = Annotated[tuple[float, float, float], Field(strict=False)]
WholeBounds = Annotated[tuple[int, int], Field(strict=False)]
TimeAttr = Literal["epoch", "step"]
NumSeeds = Annotated[int, Field(ge=1, le=100)]
AuditFraction = Annotated[
    float, Field(gt=0, le=1, json_schema_extra={"x-expected": "a number above 0, at most 1"})
]

DOMAIN_KINDS = (
    "choice",
    "grid",
    "uniform",
    "loguniform",
    "quniform",
    "randint",
    "lograndint",
    "normal",
)
"""The keys of `ParameterSettings` that say what values a parameter takes."""


class ParameterSettings(Section):
    """One entry of `tune.space`: the values that a key of the configuration takes."""

    choice: list[Any] | None = Field(None, description="One of these values, in no order.")
    grid: list[Any] | None = Field(
        None, description="Each of these values in turn, together with each of every other grid."
    )
    uniform: Bounds | None = Field(None, description="[low, high]: any number between them.")
    loguniform: Bounds | None = Field(
        None, description="[low, high]: any number between them, even in its logarithm; low > 0."
    )
    quniform: SteppedBounds | None = Field(
        None,
        description="[low, high, q]: low, low + q, ... up to high; whole numbers where low and q "
        "are whole.",
    )
    randint: WholeBounds | None = Field(
        None, description="[low, high]: a whole number from low to below high."
    )
    lograndint: WholeBounds | None = Field(
        None,
        description="[low, high]: a whole number from low to below high, even in its logarithm; "
        "low > 0.",
    )
    normal: Bounds | None = Field(
        None, description="[mean, sd]: any number, as from a normal distribution."
    )
    when: dict[str, Any] = Field(
        {},
        description="Other keys and the value they need to have for this one to vary; a list: any "
        "of its values will do. Elsewhere it stays as the configuration has it.",
    )

    @property
    def kinds(self) -> list[str]:
        """The kinds of domain that were given: exactly one, once it is checked."""
        return [kind for kind in DOMAIN_KINDS if getattr(self, kind) is not None]

    @model_serializer(mode="wrap")
    def _without_empty(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what was not given: of nine keys, seven or eight."""
        values: dict[str, Any] = plain(self)
        return {key: value for key, value in values.items() if value not in (None, {})}


class GridSearch(Section):
    """Every point of the space in turn, the last key changing fastest."""

    name: Literal["grid"] = Field(description="Chooses grid; for choice, grid, quniform, randint.")


class RandomSearch(Section):
    """Points drawn independently."""

    name: Literal["random"] = Field(description="Chooses random.")


class SobolSearch(Section):
    """Points of a scrambled Sobol sequence, which cover the space evenly (Owen 1998)."""

    name: Literal["sobol"] = Field(description="Chooses sobol.")


class TpeSearch(Section):
    """Points where good trials are dense and bad ones are not (Bergstra et al. 2011)."""

    name: Literal["tpe"] = Field(description="Chooses tpe.")
    num_startup: PositiveInt = Field(
        10, description="Trials with a result before it does more than draw."
    )


class CmaEsSearch(Section):
    """Points from a normal distribution that moves and turns to where it is good (Hansen 2016)."""

    name: Literal["cmaes"] = Field(
        description="Chooses cmaes; choices are drawn, numbers are what it moves."
    )
    sigma: PositiveFloat | None = Field(
        None, description="First spread as a fraction of each range [1/6]."
    )


SearchAlgSettings = Annotated[
    GridSearch | RandomSearch | SobolSearch | TpeSearch | CmaEsSearch, Field(discriminator="name")
]


class NoScheduler(Section):
    """Every trial runs to its end."""

    name: Literal["none"] = Field(description="Chooses none.")


class RungScheduler(Section):
    """What halving schedulers share: the rungs at which trials are compared."""

    time_attr: TimeAttr = Field("epoch", description="What time is counted in.")
    grace_period: PositiveInt = Field(1, description="Time of the first rung.")
    reduction_factor: Annotated[int, Field(ge=2)] = Field(
        4, description="One in so many goes on from a rung; the next is so many times later."
    )


class ShaScheduler(RungScheduler):
    """Successive halving: a rung is decided once all of its trials are there (Jamieson 2016)."""

    name: Literal["sha"] = Field(description="Chooses sha.")


class AshaScheduler(RungScheduler):
    """Asynchronous successive halving: a trial is decided on as it comes (Li et al. 2020)."""

    name: Literal["asha"] = Field(description="Chooses asha.")


class HyperbandScheduler(RungScheduler):
    """Successive halving in brackets, each with a later first rung (Li et al. 2018)."""

    name: Literal["hyperband"] = Field(description="Chooses hyperband.")


class MedianScheduler(Section):
    """A trial stops where its best is worse than the median of the others' means so far."""

    name: Literal["median"] = Field(description="Chooses median.")
    time_attr: TimeAttr = Field("epoch", description="What time is counted in.")
    grace_period: PositiveInt = Field(1, description="Time before which nothing stops.")
    min_samples: PositiveInt = Field(3, description="Other trials that have to be there.")


class PlateauScheduler(Section):
    """A trial is done when its metric no longer moves."""

    name: Literal["plateau"] = Field(description="Chooses plateau.")
    time_attr: TimeAttr = Field("epoch", description="What time is counted in.")
    window: Annotated[int, Field(ge=2)] = Field(4, description="Last values that are looked at.")
    tolerance: NonNegativeFloat = Field(
        0.001, description="Part of the largest of them within which they all have to lie."
    )
    grace_period: PositiveInt = Field(1, description="Time before which nothing stops.")


class PbtScheduler(Section):
    """The worst trials take over from the best, with other settings (Jaderberg et al. 2017)."""

    name: Literal["pbt"] = Field(
        description="Chooses pbt; for what can change in the course of a run, see train.changes."
    )
    time_attr: TimeAttr = Field("epoch", description="What time is counted in.")
    perturbation_interval: PositiveInt = Field(
        1, description="Time between two comparisons, for which all trials wait for each other."
    )
    quantile_fraction: Annotated[float, Field(gt=0, le=0.5)] = Field(
        0.25, description="Part of all trials that takes over, from the best such part."
    )
    resample_probability: Annotated[float, Field(ge=0, le=1)] = Field(
        0.25,
        description="Chance that a parameter is then drawn anew, and not moved to 0.8 or 1.2 times "
        "what it was, or to the next of listed values.",
    )


SchedulerSettings = Annotated[
    NoScheduler
    | ShaScheduler
    | AshaScheduler
    | HyperbandScheduler
    | MedianScheduler
    | PlateauScheduler
    | PbtScheduler,
    Field(discriminator="name"),
]


class BudgetSettings(Section):
    """`tune.budget`: after which no trial begins, and those that run end with what they have."""

    wall_s: PositiveFloat | None = Field(None, description="Seconds since the search began.")
    epochs: PositiveInt | None = Field(None, description="Epochs of all trials together.")
    gpu_hours: PositiveFloat | None = Field(None, description="GPUs held, times hours.")


class EarlierSearch(Section):
    """`tune.start_from`: a search whose best settings come first, and whose results are told."""

    search: Text = Field(description="The earlier search: its folder, name, or id at MLflow.")
    num_best: PositiveInt = Field(
        5, description="So many of its best settings are tried first, as far as they fit the space."
    )


class TuneSettings(Section):
    """`tune`: one search."""

    metric: Text = Field(
        "validation/loss", description="What is searched for: a validation metric or train/loss."
    )
    mode: Literal["min", "max"] | None = Field(
        None, description="Whether less or more is better [known, but for a metric of your own]."
    )
    num_trials: PositiveInt | None = Field(
        None,
        description="Trials, of which the first is the configuration as written, but for "
        "search_alg grid [grid: all of its points, else 20; times num_seeds].",
    )
    num_seeds: NumSeeds = Field(
        1,
        description="Seeds that each setting is tried with, from the configuration's own on; each "
        "is a trial, and what decides is their mean.",
    )
    space: dict[str, ParameterSettings] = Field(
        description="Dotted key below model or train, or seed, to the values that it takes."
    )
    constraints: list[Text] = Field(
        [],
        description="What has to hold of a trial, such as 'train.global_batch_size >= 64'; or "
        "package.module:function of a mapping of its dotted keys that returns True or False.",
    )
    start_from: list[dict[str, Any]] | EarlierSearch = Field(
        [],
        description="What is tried first, after the first trial: values by dotted key, or an "
        "earlier search, whose results tpe and cmaes are told, too.",
    )
    search_alg: SearchAlgSettings = Field(
        RandomSearch(name="random"), description="What proposes the trials."
    )
    scheduler: SchedulerSettings = Field(
        NoScheduler(name="none"), description="What stops trials early."
    )
    max_concurrent: PositiveInt | Literal["auto"] = Field(
        "auto", description="Trials at once [as many as there is room for]."
    )
    workers_per_trial: PositiveInt = Field(
        1,
        description="Workers that train each trial together, each with train.resources_per_worker; "
        "train.num_workers is for runs alone.",
    )
    budget: BudgetSettings = Field(BudgetSettings(), description="What the search may cost.")
    confirm: NumSeeds | None = Field(
        None,
        description="With so many other seeds the winner's configuration is trained again, beyond "
        "the budget, for the mean and spread of its metric [none].",
    )
    audit_fraction: AuditFraction | None = Field(
        None,
        description="Share of the trials that the scheduler stops, drawn by chance, that run to "
        "their end after the search, beyond the budget, to tell how often it was wrong [none].",
    )

    @property
    def points(self) -> list[dict[str, Any]]:
        """The values that are written to be tried first."""
        return [] if isinstance(self.start_from, EarlierSearch) else self.start_from
