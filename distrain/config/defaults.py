"""Defaults that depend on other values: what the rest of the configuration makes them."""

from distrain.config.data import DataSettings, IdxSource
from distrain.config.digest import resolved_dict
from distrain.config.names import BUILT_IN_TASKS, Task, default_metrics, metric_mode
from distrain.config.settings import EvaluateSettings, MetricTarget, Settings
from distrain.config.train import EarlyStoppingSettings, TrainSettings
from distrain.config.tune import GridSearch, TuneSettings
from distrain.config.tuning import grid_size

DEFAULT_EPOCHS = 20
DEFAULT_TEST_FRACTION = 0.1
DEFAULT_CHECKPOINT_S = 60.0
DEFAULT_TRIALS = 20


def resolve_defaults(settings: Settings) -> Settings:
    """Return the settings with every default that depends on other values written out.

    Resolving them again changes nothing. `data.split.kind` and `evaluate.metrics` stay open where
    the task has to be seen in the data first.
    """
    data = settings.data
    fractions = {"validation": validation_fraction(data), "test": effective_test_fraction(data)}
    split = data.split.model_copy(update=fractions)
    run = settings.model_copy(
        update={
            "data": data.model_copy(update={"split": split}),
            "train": _resolved_train(settings.train, has_validation=has_validation(settings)),
            "evaluate": _resolved_evaluate(settings.evaluate),
        }
    )
    if run.tune is None:
        return run
    return run.model_copy(update={"tune": _resolved_tune(run, run.tune)})


def has_validation(settings: Settings) -> bool:
    """Return whether there is a validation split; a fixed split is taken to have one."""
    data = settings.data
    is_given = data.validation_dataset is not None or data.split.kind == "fixed"
    return is_given or data.split.validation > 0


def has_test(settings: Settings) -> bool:
    """Return whether there is a test split; a fixed split is taken to have one."""
    data = settings.data
    is_apart = data.test_source is not None or data.test_dataset is not None
    is_given = is_apart or data.split.kind == "fixed"
    return is_given or effective_test_fraction(settings.data) > 0


def validation_fraction(data: DataSettings) -> float:
    """Return the fraction of the rows that becomes the validation split."""
    return data.split.validation if data.validation_dataset is None else 0.0


def effective_test_fraction(data: DataSettings) -> float:
    """Return the fraction of the source's rows that becomes the test split."""
    if data.split.test is not None:
        return data.split.test
    is_given = data.test_source is not None or data.test_dataset is not None
    is_apart = is_given or data.split.kind == "fixed"
    return 0.0 if is_apart else DEFAULT_TEST_FRACTION


def stated_task(settings: Settings) -> tuple[Task | None, str]:
    """Return the task that the configuration states, and by what; None: the data will tell."""
    data = settings.data
    if data.task is not None:
        return data.task, "data.task"
    if data.num_classes is not None:
        return "classification", "data.num_classes"
    if isinstance(data.source, IdxSource):
        return "classification", "data.source, images with labels"
    if isinstance(data.source, str) and data.source in BUILT_IN_TASKS:
        return BUILT_IN_TASKS[data.source], f"data.source = {data.source}"
    if isinstance(data.target, list) and len(data.target) > 1:
        return "regression", "data.target with several columns"
    if data.split.kind == "stratified":
        return "classification", "data.split.kind = stratified"
    return None, ""


def computed_metrics(settings: Settings) -> list[str]:
    """Return the names of what is computed on validation and test, as far as it is known."""
    asked = settings.evaluate.metrics
    if settings.train.step is not None:
        return ["loss"]  # and what it returns, whose names are not known yet
    if asked is None:
        return default_metrics(stated_task(settings)[0])
    names = [metric_name(metric) for metric in asked]
    return names if "loss" in names else ["loss", *names]


def gate_metric(settings: Settings) -> str | None:
    """Return the metric that a version has to be better by, None where the task is not known."""
    if settings.track.register_.metric is not None:
        return settings.track.register_.metric
    asked = [metric_name(metric) for metric in settings.evaluate.metrics or ()]
    first = next((name for name in asked if name != "loss"), None)
    usual = {"classification": "accuracy", "regression": "rmse", None: None}
    return first or usual[stated_task(settings)[0]]


def metric_name(metric: str | MetricTarget) -> str:
    """Return the name under which a metric is recorded; for the user's own, the function's."""
    return metric if isinstance(metric, str) else metric.target.replace(":", ".").rpartition(".")[2]


def _resolved_train(train: TrainSettings, *, has_validation: bool) -> TrainSettings:
    epochs, early_stopping = train.epochs, train.early_stopping
    if epochs is None and train.steps is None:
        epochs = DEFAULT_EPOCHS
        is_open = "early_stopping" not in train.model_fields_set
        if is_open and has_validation:
            early_stopping = EarlyStoppingSettings()
    if early_stopping is not None and early_stopping.mode is None:
        mode = metric_mode(early_stopping.metric)
        early_stopping = early_stopping.model_copy(update={"mode": mode})
    checkpoint = train.checkpoint
    if checkpoint.every_s is None and checkpoint.every_steps is None:
        checkpoint = checkpoint.model_copy(update={"every_s": DEFAULT_CHECKPOINT_S})
    restore_best = has_validation if train.restore_best is None else train.restore_best
    return train.model_copy(
        update={
            "epochs": epochs,
            "early_stopping": early_stopping,
            "checkpoint": checkpoint,
            "restore_best": restore_best,
        }
    )


def _resolved_evaluate(evaluate: EvaluateSettings) -> EvaluateSettings:
    is_open = evaluate.every_epochs is None and evaluate.every_steps is None
    return evaluate.model_copy(update={"every_epochs": 1}) if is_open else evaluate


def _resolved_tune(settings: Settings, tune: TuneSettings) -> TuneSettings:
    num_trials = tune.num_trials
    if num_trials is None and isinstance(tune.search_alg, GridSearch):
        num_trials = (grid_size(tune.space, resolved_dict(settings)) or 0) * tune.num_seeds
    return tune.model_copy(
        update={
            "mode": tune.mode or metric_mode(tune.metric),
            "num_trials": num_trials or DEFAULT_TRIALS * tune.num_seeds,
        }
    )
