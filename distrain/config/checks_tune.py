"""Checks on a search's metric, number of trials, search algorithm and scheduler."""

from collections.abc import Iterator

from distrain.config.checks_metrics import steering_faults
from distrain.config.checks_population import population_faults
from distrain.config.defaults import DEFAULT_EPOCHS
from distrain.config.digest import resolved_dict
from distrain.config.domains import domain_of
from distrain.config.faults import Fault, KeyPath
from distrain.config.names import metric_mode
from distrain.config.settings import Settings
from distrain.config.train import TrainSettings
from distrain.config.tune import (
    CmaEsSearch,
    GridSearch,
    MedianScheduler,
    NoScheduler,
    ParameterSettings,
    PbtScheduler,
    PlateauScheduler,
    RungScheduler,
    TpeSearch,
    TuneSettings,
)
from distrain.config.tuning import LISTED_KINDS, MAX_POINTS, grid_size

_METRIC: KeyPath = ("tune", "metric")
_SCHEDULER: KeyPath = ("tune", "scheduler")
_SEARCH_ALG: KeyPath = ("tune", "search_alg")
_WORKERS: KeyPath = ("tune", "workers_per_trial")
_STOPPING = ("sha", "asha", "hyperband", "median")
_BY_SETTING = ("none", "plateau", *_STOPPING)
Scheduler = RungScheduler | MedianScheduler | PlateauScheduler | PbtScheduler


def check_tune(settings: Settings) -> Iterator[Fault]:
    """Yield what is wrong with `tune`, but for its space and what speaks of it."""
    tune = settings.tune
    assert tune is not None
    yield from _metric_faults(settings, tune)
    yield from _search_alg_faults(tune)
    yield from _grid_faults(settings, tune)
    yield from _audit_faults(tune)
    yield from _seed_faults(tune)
    yield from _worker_faults(settings.train, tune)
    if not isinstance(tune.scheduler, NoScheduler):
        yield from _time_faults(settings.train, tune.scheduler)
        yield from _rung_faults(settings, tune.scheduler)
        yield from _length_faults(tune)
    if isinstance(tune.scheduler, PbtScheduler):
        yield from population_faults(settings, tune)


def _metric_faults(settings: Settings, tune: TuneSettings) -> Iterator[Fault]:
    faults = [*steering_faults(tune.metric, _METRIC, settings)]
    yield from faults
    known = metric_mode(tune.metric)
    if known is None and tune.mode is None and not faults:
        yield Fault(
            f"tune.metric = {tune.metric!r} is your own, so its direction is not known",
            (_METRIC,),
            mend="Add tune.mode: min or max",
        )
    elif known is not None and tune.mode not in (None, known):
        yield Fault(
            f"tune.mode = {tune.mode} turns {tune.metric} round, of which {known} is better",
            (("tune", "mode"), _METRIC),
            mend="Leave it out",
        )


def _search_alg_faults(tune: TuneSettings) -> Iterator[Fault]:
    chosen = tune.search_alg
    kinds = {key: parameter.kinds for key, parameter in tune.space.items()}
    if isinstance(chosen, GridSearch):
        yield from _no_points(kinds)
    elif isinstance(chosen, TpeSearch | CmaEsSearch):
        for key in (key for key, given in kinds.items() if given == ["grid"]):
            yield Fault(
                f"tune.space.{key}.grid goes through its values in turn, but search_alg = "
                f"{chosen.name} proposes by results",
                (("tune", "space", key, "grid"), _SEARCH_ALG),
                mend="Use choice, or search_alg grid, random or sobol",
            )
    unordered = [given for given in kinds.values() if given == ["choice"]]
    if isinstance(chosen, CmaEsSearch) and kinds and len(unordered) == len(kinds):
        yield Fault(
            "tune.search_alg = cmaes moves numbers, and the space has choices only",
            ((*_SEARCH_ALG, "name"), _SEARCH_ALG, ("tune", "space")),
            mend="Use tpe, or give ranges such as loguniform",
        )


def _audit_faults(tune: TuneSettings) -> Iterator[Fault]:
    if tune.audit_fraction is not None and tune.scheduler.name not in _STOPPING:
        yield Fault(
            f"tune.audit_fraction = {tune.audit_fraction:g} stands beside tune.scheduler = "
            f"{tune.scheduler.name}, which stops no trial for being worse than others",
            (("tune", "audit_fraction"), _SCHEDULER),
            mend=f"Leave it out, or use {', '.join(_STOPPING[:-1])} or {_STOPPING[-1]}",
        )


def _seed_faults(tune: TuneSettings) -> Iterator[Fault]:
    if tune.num_seeds == 1:
        return
    here: KeyPath = ("tune", "num_seeds")
    told = f"tune.num_seeds = {tune.num_seeds} "
    if tune.num_trials is not None and tune.num_trials % tune.num_seeds:
        above = -(-tune.num_trials // tune.num_seeds) * tune.num_seeds
        yield Fault(
            f"tune.num_trials = {tune.num_trials} is no multiple of tune.num_seeds = "
            f"{tune.num_seeds}, and each setting is tried with all of them",
            (("tune", "num_trials"), here),
            mend=f"Use {above}",
        )
    if "seed" in tune.space:
        yield Fault(
            f"{told}stands beside tune.space.seed, which varies the seed, too",
            (here, ("tune", "space", "seed")),
            mend="Leave one of them out",
        )
    if tune.scheduler.name not in _BY_SETTING:
        yield Fault(
            f"{told}stands beside tune.scheduler = {tune.scheduler.name}, which changes trials on "
            "their way, so that their seeds cannot be compared",
            (here, _SCHEDULER),
            mend=f"Leave it out, or use {', '.join(_BY_SETTING[:-1])} or {_BY_SETTING[-1]}",
        )


def _no_points(kinds: dict[str, list[str]]) -> Iterator[Fault]:
    for key, given in kinds.items():
        if len(given) == 1 and given[0] not in LISTED_KINDS:
            yield Fault(
                f"tune.space.{key}.{given[0]} has no points that search_alg = grid could go "
                "through",
                (("tune", "space", key, given[0]), _SEARCH_ALG),
                mend="List values with grid, step with quniform, or use search_alg random",
            )


def _grid_faults(settings: Settings, tune: TuneSettings) -> Iterator[Fault]:
    if not isinstance(tune.search_alg, GridSearch):
        return
    if not tune.space or not all(_has_points(parameter) for parameter in tune.space.values()):
        return
    size = grid_size(tune.space, resolved_dict(settings))
    if size is None:
        yield Fault(
            f"tune.space is a grid of more than {MAX_POINTS:,} points",
            (("tune", "space"), _SEARCH_ALG),
            mend="List fewer values, or use search_alg random",
        )
    elif tune.num_trials is not None and tune.num_trials > size * tune.num_seeds:
        times = f" times {tune.num_seeds} seeds" if tune.num_seeds > 1 else ""
        yield Fault(
            f"tune.num_trials = {tune.num_trials} is more than the {size} points of the grid"
            f"{times}",
            (("tune", "num_trials"), ("tune", "space")),
            mend=f"Leave it out, which runs all {size * tune.num_seeds}",
        )


def _worker_faults(train: TrainSettings, tune: TuneSettings) -> Iterator[Fault]:
    """Yield where a trial has more workers than its batches have parts."""
    count, varied = tune.workers_per_trial, tune.space.get("train.logical_shards")
    told = f"tune.workers_per_trial = {count} is more than "
    if count > train.logical_shards:
        yield Fault(
            f"{told}logical_shards = {train.logical_shards}, and each worker needs a part of the "
            "batch",
            (_WORKERS, ("train", "logical_shards")),
            mend=f"Use at most {train.logical_shards} workers, or logical_shards = {count} (which "
            "changes the bits of the result)",
        )
    least = None if varied is None else _least(varied)
    if least is not None and count > least:
        yield Fault(
            f"{told}the least of tune.space.train.logical_shards, {least:g}, and each worker "
            "needs a part of the batch",
            (_WORKERS, ("tune", "space", "train.logical_shards")),
            mend=f"Use at most {least:g} workers, or vary it from {count} on",
        )


def _least(parameter: ParameterSettings) -> float | None:
    """Return the least number that an entry gives; None: it gives none, which is told elsewhere."""
    listed = parameter.choice or parameter.grid or []
    bounds = parameter.randint or parameter.lograndint or parameter.quniform or ()
    numbers = [value for value in (*listed, *bounds[:1]) if isinstance(value, int | float)]
    return min(numbers, default=None)


def _has_points(parameter: ParameterSettings) -> bool:
    """Return whether an entry is one domain whose values can be counted."""
    kinds = parameter.kinds
    if len(kinds) != 1 or kinds[0] not in LISTED_KINDS:
        return False
    if kinds[0] == "quniform" and not all(_is_stepped(parameter)):
        return False
    return (domain_of(parameter).num_values or 0) > 0


def _is_stepped(parameter: ParameterSettings) -> Iterator[bool]:
    assert parameter.quniform is not None
    low, high, step = parameter.quniform
    yield low < high
    yield step > 0


def _time_faults(train: TrainSettings, scheduler: Scheduler) -> Iterator[Fault]:
    """Yield what keeps a scheduler from knowing how long a trial is."""
    first_key, first = _first_time(scheduler)
    key = "epochs" if scheduler.time_attr == "epoch" else "steps"
    length = train.steps if key == "steps" else train.epochs
    if key == "epochs" and length is None and train.steps is None:
        length = DEFAULT_EPOCHS
    if length is None:
        other = "steps" if key == "epochs" else "epochs"
        attr = "step" if key == "epochs" else "epoch"
        yield Fault(
            f"tune.scheduler.time_attr = {scheduler.time_attr} stands beside train.{other}, which "
            f"does not say how many {key} a trial has",
            ((*_SCHEDULER, "time_attr"), _SCHEDULER, ("train", other)),
            mend=f"Use time_attr: {attr}, or give train.{key} instead of train.{other}",
        )
    elif first >= length:
        yield Fault(
            f"tune.scheduler.{first_key} = {first} is not less than train.{key} = {length}, so no "
            f"trial would be {'compared' if isinstance(scheduler, PbtScheduler) else 'stopped'}",
            ((*_SCHEDULER, first_key), _SCHEDULER, ("train", key)),
            mend=f"Use at most {length - 1}, or scheduler: none"
            if length > 1
            else "Use scheduler: none, or train longer",
        )


def _rung_faults(settings: Settings, scheduler: Scheduler) -> Iterator[Fault]:
    """Yield times at which the scheduler looks, and nothing is measured."""
    evaluate, (first_key, grace) = settings.evaluate, _first_time(scheduler)
    is_by_epoch = scheduler.time_attr == "epoch"
    mine, theirs = (
        ("every_epochs", "every_steps") if is_by_epoch else ("every_steps", "every_epochs")
    )
    every, other = getattr(evaluate, mine), getattr(evaluate, theirs)
    if every is None and other is None and is_by_epoch:
        every = 1
    if every is None:
        told = f"evaluate.{theirs} = {other or 1} measures by {theirs.removeprefix('every_')}, but "
        yield Fault(
            f"{told}tune.scheduler.time_attr = {scheduler.time_attr}",
            ((*_SCHEDULER, "time_attr"), _SCHEDULER, ("evaluate", theirs)),
            mend=f"Set evaluate.{mine} = {grace} instead",
        )
    elif grace % every:
        yield Fault(
            f"tune.scheduler.{first_key} = {grace} is no multiple of evaluate.{mine} = {every}, "
            "so nothing is measured when a trial is decided on",
            ((*_SCHEDULER, first_key), _SCHEDULER, ("evaluate", mine)),
            mend=f"Use {first_key} = {every * -(-grace // every)}, or evaluate.{mine} = 1",
        )


def _first_time(scheduler: Scheduler) -> tuple[str, int]:
    """Return the key that says when a scheduler looks first, and its value."""
    if isinstance(scheduler, PbtScheduler):
        return "perturbation_interval", scheduler.perturbation_interval
    return "grace_period", scheduler.grace_period


def _length_faults(tune: TuneSettings) -> Iterator[Fault]:
    for key in ("train.epochs", "train.steps"):
        if key in tune.space:
            yield Fault(
                f"tune.space.{key} stands beside tune.scheduler = {tune.scheduler.name}, which "
                "compares trials of one length",
                (("tune", "space", key), _SCHEDULER),
                mend="Leave one of them out",
            )
