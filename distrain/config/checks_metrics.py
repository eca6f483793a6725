"""Checks on the names of metrics: what is computed, what steers training, what is a goal."""

from collections import Counter
from collections.abc import Iterator, Sequence

from distrain.config.defaults import (
    computed_metrics,
    gate_metric,
    has_test,
    has_validation,
    metric_name,
    stated_task,
)
from distrain.config.faults import Fault, KeyPath, dotted
from distrain.config.names import METRICS, RUN_METRICS, Task, metric_mode, metric_names
from distrain.config.settings import Settings
from distrain.errors import did_you_mean

MAX_NAME_LENGTH = 200  # of the 250 that MLflow takes, with the split's name
_METRIC: KeyPath = ("train", "early_stopping", "metric")


def check_asked_metrics(settings: Settings) -> Iterator[Fault]:
    """Yield what is wrong with `evaluate.metrics`."""
    asked = settings.evaluate.metrics or []
    task, why = stated_task(settings)
    for index, name in enumerate(asked):
        here: tuple[KeyPath, ...] = (("evaluate", "metrics", index), ("evaluate", "metrics"))
        if not isinstance(name, str):
            continue
        if name not in METRICS:
            told = f"evaluate.metrics: {name!r} is no metric"
            mend = did_you_mean(name.partition("/")[2] or name, metric_names(task))
            yield Fault(told, here, mend=mend)
        elif task is not None and task not in METRICS[name].tasks:
            told = f"evaluate.metrics: {name} is not for {task}, which {why} says"
            yield Fault(told, here, mend=f"Valid names: {', '.join(sorted(metric_names(task)))}.")
    names = [metric_name(metric) for metric in asked]
    for name in dict.fromkeys(name for name in names if len(name) > MAX_NAME_LENGTH):
        yield Fault(
            f"evaluate.metrics: the name {name[:20]}... is {len(name)} characters long",
            (("evaluate", "metrics"),),
            expected=f"at most {MAX_NAME_LENGTH}, which MLflow takes behind `validation/`",
            mend="Give the function a shorter name",
        )
    for name, count in Counter(names).items():
        if count > 1:
            told = f"evaluate.metrics names {name!r} {count} times"
            yield Fault(told, (("evaluate", "metrics"),), mend="Give each metric a name of its own")


def check_steering(settings: Settings) -> Iterator[Fault]:
    """Yield what is wrong with the metric that stops training or chooses the final model."""
    early_stopping = settings.train.early_stopping
    metric = early_stopping.metric if early_stopping else None
    if metric is not None:
        faults = [*steering_faults(metric, _METRIC, settings)]
        yield from faults
        is_silent = early_stopping is not None and early_stopping.mode is None
        if is_silent and not faults and metric_mode(metric) is None:
            yield Fault(
                f"train.early_stopping.metric = {metric!r} is your own, so its direction is not "
                "known",
                (_METRIC,),
                mend="Add train.early_stopping.mode: min or max",
            )
    if settings.train.restore_best and metric is None and not has_validation(settings):
        yield Fault(
            "train.restore_best = true needs a validation split to find the best model on",
            (("train", "restore_best"), ("data", "split", "validation")),
            mend="Set data.split.validation above 0, or leave restore_best out",
        )


def steering_faults(metric: str, key: KeyPath, settings: Settings) -> Iterator[Fault]:
    """Yield why a metric cannot steer: it is of the test split, or not there while training.

    Args:
        metric: its name, with its split.
        key: the setting that names it.
        settings: the whole configuration.
    """
    if metric == "train/loss":
        return
    told = f"{dotted(key)} = {metric!r}"
    valid = [f"validation/{name}" for name in computed_metrics(settings)] + ["train/loss"]
    if metric.startswith("test/"):
        other = f"validation/{metric.removeprefix('test/')}"
        mend = f"Use {other!r}" if other in valid else f"Valid metrics: {', '.join(valid)}."
        told += " would let the test split steer training; it is looked at once, at the end"
        yield Fault(told, (key,), expected="a validation metric or train/loss", mend=mend)
    elif not has_validation(settings):
        yield Fault(
            f"{told} needs a validation split",
            (key, ("data", "split", "validation")),
            mend="Set data.split.validation above 0, or use train/loss",
        )
    elif metric not in valid and settings.train.step is None:
        keys = (key, ("evaluate", "metrics"))
        mend = _nearest_metric(metric, valid, stated_task(settings)[0])
        yield Fault(f"{told} will not be computed", keys, mend=mend)


def check_goals(settings: Settings) -> Iterator[Fault]:
    """Yield goals that speak of something that will not be measured."""
    names = computed_metrics(settings)
    splits = {"validation": has_validation(settings), "test": has_test(settings)}
    valid = [f"{split}/{name}" for split, is_there in splits.items() if is_there for name in names]
    valid += RUN_METRICS
    for goal in settings.evaluate.goals:
        if goal in valid:
            continue
        here: tuple[KeyPath, ...] = (("evaluate", "goals", goal),)
        split, _, name = goal.partition("/")
        if splits.get(split) and settings.train.step is not None:
            continue
        told = f"evaluate.goals: {goal} will not be measured"
        if name in names and split in splits:
            key: KeyPath = ("data", "split", split)
            mend = f"There is no {split} split; set data.split.{split} above 0"
            yield Fault(told, (*here, key), mend=mend)
        else:
            keys = (*here, ("evaluate", "metrics"))
            mend = _nearest_metric(goal, valid, stated_task(settings)[0])
            yield Fault(told, keys, mend=mend)


def check_gate(settings: Settings) -> Iterator[Fault]:
    """Yield what is wrong with the metric that a version has to be better by."""
    asked = settings.track.register_
    here: KeyPath = ("track", "register", "metric")
    name = asked.metric or gate_metric(settings)
    valid = [metric for metric in computed_metrics(settings) if metric != "loss"]
    told = f"track.register.metric = {name!r}"
    if name == "loss":
        mend = "Use log_loss or mse, which predictions tell, and name it under evaluate.metrics"
        yield Fault(f"{told} is not told by predictions, which are compared", (here,), mend=mend)
    elif asked.metric is not None and asked.metric not in valid:
        keys = (here, ("evaluate", "metrics"))
        mend = did_you_mean(asked.metric.partition("/")[2] or asked.metric, valid)
        yield Fault(f"{told} will not be computed", keys, mend=mend)
    known = metric_mode(name) if name is not None else None
    if name is not None and known is None and asked.mode is None and asked.alias is not None:
        mend = "Add track.register.mode: min or max"
        yield Fault(f"{told} is your own, so its direction is not known", (here,), mend=mend)
    elif known is not None and asked.mode not in (None, known):
        yield Fault(
            f"track.register.mode = {asked.mode} turns {name} round, of which {known} is better",
            (("track", "register", "mode"),),
            mend="Leave it out",
        )


def _nearest_metric(name: str, valid: Sequence[str], task: Task | None) -> str:
    """Return the sentence that leads to a metric that is there."""
    listed = f"Valid metrics: {', '.join(sorted(valid))}."
    split, _, bare = name.rpartition("/")
    with_split = [other for other in valid if other.rpartition("/")[2] == bare]
    if split in ("validation", "test") and bare in METRICS:
        fits = task is None or task in METRICS[bare].tasks
        return (
            f"Add {bare} to evaluate.metrics. {listed}"
            if fits
            else f"{bare} is not for {task}. {listed}"
        )
    if with_split:
        return f"Did you mean {with_split[0]!r}? {listed}"
    return did_you_mean(name, valid, listed="Valid metrics")
