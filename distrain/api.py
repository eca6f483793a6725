"""The commands as functions: `distrain.train`, `resume`, `evaluate`, `predict`, `promote`, ..."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from distrain.config.load import load_settings, settings_from_dict
from distrain.config.settings import Settings
from distrain.display import NoDisplay
from distrain.handed.over import Config, Handed, hand_over
from distrain.models.build import random_states_kept
from distrain.pipeline import predict as run_predict
from distrain.pipeline import resume as run_resume
from distrain.pipeline import resume_search
from distrain.pipeline import train as run_train
from distrain.pipeline import tune as run_tune
from distrain.report.display import open_lines
from distrain.results import TrainResult, TuneResult
from distrain.resumed import resumed_folder
from distrain.stored_run import is_sweep
from distrain.track.user_code import find_user_code
from distrain.tune.own_constraint import import_path_of

if TYPE_CHECKING:
    from distrain.assess import EvaluateResult
    from distrain.exporting import ExportResult
    from distrain.predict import PredictResult
    from distrain.promotion import PromoteResult
    from distrain.reproduction import ReproduceResult


def load_config(config: Config, overrides: Sequence[str] = ()) -> Settings:
    """Return the settings that a configuration asks for.

    Args:
        config: a file, a mapping with the keys of a file, or settings.
        overrides: `section.key=value`, the value read as YAML.

    Raises:
        ConfigError: anything is wrong; its text has one line for each fault.
    """
    if isinstance(config, str | Path):
        return load_settings([config], overrides)
    return settings_from_dict(config, overrides)


def train(  # noqa: PLR0913 - each is one thing that can be handed over
    config: Config | None = None,
    overrides: Sequence[str] = (),
    *,
    data: Any = None,
    validation_data: Any = None,
    test_data: Any = None,
    collate: Any = None,
    target: str | Sequence[str] | None = None,
    model: Any = None,
    loss: Any = None,
    step: Any = None,
    offline: bool = False,
    show: bool | None = None,
    **sections: Any,
) -> TrainResult:
    """Prepare, train, evaluate, record and register a model, as `distrain train` does.

    Args:
        config: a file, a mapping with the keys of a file, or settings; None: the rest says it all.
        overrides: `section.key=value`, the value read as YAML; they win over all else.
        data: rows in memory or in Ray Data: a pandas DataFrame (without its index), an Arrow table,
            or a `ray.data.Dataset`. They are written once below the storage, named by their
            content, and are then a source like any other. Or a map-style torch Dataset: an object,
            which is written down by class and attributes, its arrays once as files, and is made
            again by each worker; its class, a function that makes one, or a `functools.partial` of
            these. A mapping is the section `data`, a text or a path is `data.source`.
        validation_data: a Dataset as `data`; None: rows of `data` are held out, by `data.split`.
        test_data: as `data`, of its kind; None: as for `validation_data`.
        collate: of a Dataset, a function that makes a batch of a list of items.
        target: takes the place of `data.target`.
        model: a `torch.nn.Module`, which begins with the weights that it has; its class, or a
            function that makes one; or a `functools.partial` of these, with keyword arguments. The
            source of what stands in a script or a notebook is kept with the run and the model. A
            mapping or a text is the section `model`.
        loss: a function or a class, as `train.loss.target` names one, or an object such as
            `nn.CrossEntropyLoss()`; a mapping or a text is `train.loss`.
        step: a function of (model, batch), as `train.step` names one, in the place of a loss.
        offline: whether the tracking server is left alone; `distrain sync` tells it later.
        show: whether what is being done is printed, a line at a time; None: in a notebook.
        sections: `name`, `seed`, `storage`, `train` and the other top-level keys of a file; their
            values win over those of the configuration.

    Returns:
        What `distrain train --json` prints; a run that failed says so in `status` and `error`.

    Raises:
        DistrainError: the input is at fault, or what was named cannot be reached.
    """
    handed = Handed(data, validation_data, test_data, collate, target, model, loss, step)
    settings, beside = hand_over(config, overrides, sections, handed)
    with random_states_kept(), open_lines(is_wanted=show) as display:
        return run_train(settings, display, [*beside, *_import_paths(config)], is_offline=offline)


def tune(  # noqa: PLR0913 - each is one thing that can be handed over
    config: Config | None = None,
    overrides: Sequence[str] = (),
    *,
    data: Any = None,
    validation_data: Any = None,
    test_data: Any = None,
    collate: Any = None,
    target: str | Sequence[str] | None = None,
    model: Any = None,
    loss: Any = None,
    step: Any = None,
    constraints: Sequence[Callable[[Mapping[str, Any]], bool]] = (),
    offline: bool = False,
    show: bool | None = None,
    **sections: Any,
) -> TuneResult:
    """Search, and evaluate, record and register what won, as `distrain tune` does.

    Args:
        config: as for `train`, with a section `tune`, here or among `sections`.
        overrides: as for `train`.
        data: as for `train`.
        validation_data: as for `train`.
        test_data: as for `train`.
        collate: as for `train`.
        target: as for `train`.
        model: as for `train`; of a module, all trials begin with its weights.
        loss: as for `train`.
        step: as for `train`.
        constraints: functions from the top of a module, beside `tune.constraints`. Each is called
            with a trial's values by dotted key, such as `trial["train.optimizer.lr"]`, and returns
            whether it may be so, for the same values always the same; `trial.get(key)` is None for
            a key that the trial does not have. What is kept is their import path.
        offline: as for `train`.
        show: as for `train`.
        sections: as for `train`.

    Returns:
        What `distrain tune --json` prints; a search that failed says so in `status` and `error`.

    Raises:
        DistrainError: the input is at fault, or what was named cannot be reached.
    """
    handed = Handed(data, validation_data, test_data, collate, target, model, loss, step)
    settings, folders = hand_over(config, overrides, sections, handed)
    paths = [import_path_of(function) for function in constraints]
    beside = {str(source.parent): None for path in paths for source in find_user_code(path)}
    settings = _with_constraints(settings, paths)
    folders = [*folders, *_import_paths(config), *beside]
    with random_states_kept(), open_lines(is_wanted=show) as display:
        return run_tune(settings, display, folders, is_offline=offline)


def resume(
    run: str | Path,
    overrides: Sequence[str] = (),
    *,
    storage: str | Path = "runs",
    offline: bool = False,
    show: bool | None = None,
) -> TrainResult | TuneResult:
    """Go on with a run, or a search, from where it is, as `distrain resume` does.

    Args:
        run: a run's folder or URI, its name, or its MLflow id.
        overrides: `section.key=value`, for what may change in a run that has begun.
        storage: the folder that runs are kept in.
        offline: as for `train`.
        show: as for `train`.

    Returns:
        What `distrain resume --json` prints; of a run or search that is done, its result.

    Raises:
        DistrainError: the input is at fault, or what was named cannot be reached; or the run is
            driven by another process, or would become another run.
    """
    with (
        resumed_folder(
            [str(run)], is_last=False, storage=Path(storage), overrides=overrides
        ) as run_dir,
        open_lines(is_wanted=show) as display,
    ):
        go_on = resume_search if is_sweep(run_dir) else run_resume
        return go_on(run_dir, overrides, display, [str(Path.cwd())], is_offline=offline)


def predict(
    model: str,
    *,
    data: str | Path,
    out: str | Path,
    storage: str | Path = "runs",
    address: str | None = None,
) -> "PredictResult":
    """Predict raw rows with a registered model, as `distrain predict` does.

    Args:
        model: `models:/name@alias`, `models:/name/3`, or a run's folder.
        data: path, glob, directory or built-in name.
        out: new file to write; `.csv`, `.parquet` or `.jsonl`.
        storage: the folder that runs are kept in.
        address: a Ray cluster; None: RAY_ADDRESS, else a new local Ray.

    Raises:
        DistrainError: the input is at fault, or what was named cannot be reached.
    """
    return run_predict(
        model,
        data=str(data),
        out=Path(out),
        storage=Path(storage),
        address=address,
        display=NoDisplay(),
    )


def evaluate(
    model: str,
    *,
    data: str | Path,
    storage: str | Path = "runs",
    address: str | None = None,
) -> "EvaluateResult":
    """Measure a model on new labelled rows, as `distrain evaluate` does.

    Args:
        model: `models:/name@alias`, `models:/name/3`, or a run's folder.
        data: path, glob, directory or built-in name, with the target columns.
        storage: the folder that runs are kept in.
        address: a Ray cluster; None: RAY_ADDRESS, else a new local Ray.

    Raises:
        DistrainError: the input is at fault, or what was named cannot be reached.
    """
    from distrain import assess

    return assess.evaluate(
        model, data=str(data), storage=Path(storage), address=address, display=NoDisplay()
    )


def export(
    model: str,
    *,
    out: str | Path,
    form: "Literal['onnx', 'torch'] | None" = None,
    storage: str | Path = "runs",
) -> "ExportResult":
    """Write a model as a file for other programs, as `distrain export` does.

    Args:
        model: `models:/name@alias`, `models:/name/3`, or a run's folder.
        out: new file to write, `.onnx` or `.pt2`; a description is written beside it.
        form: what it is; None: by its ending.
        storage: the folder that runs are kept in.

    Raises:
        DistrainError: the input is at fault, what was named cannot be reached, or the model cannot
            be exported.
    """
    from distrain import exporting

    return exporting.export(
        model, form=form, out=Path(out), storage=Path(storage), display=NoDisplay()
    )


def promote(
    model: str,
    alias: str,
    *,
    force: str | None = None,
    undo: bool = False,
    storage: str | Path = "runs",
    address: str | None = None,
) -> "PromoteResult":
    """Move an alias to a version that has earned it, as `distrain promote` does.

    Args:
        model: `models:/name/3`, or `models:/name@alias`.
        alias: what moves.
        force: why it moves without being compared; None: it is compared.
        undo: whether it goes back to the version that had it before, instead.
        storage: the folder that runs are kept in.
        address: a Ray cluster; None: RAY_ADDRESS, else a new local Ray.

    Returns:
        What `distrain promote --json` prints; a refusal is told in `status` and `reasons`.

    Raises:
        DistrainError: the input is at fault, or what was named cannot be reached; nothing moved.
    """
    from distrain import promotion

    if undo:
        return promotion.take_back(model, alias, storage=Path(storage))
    return promotion.promote(
        model,
        alias,
        storage=Path(storage),
        force=force,
        address=address,
        display=NoDisplay(),
    )


def reproduce(
    model: str | Path,
    overrides: Sequence[str] = (),
    *,
    storage: str | Path = "runs",
    offline: bool = False,
) -> "ReproduceResult":
    """Make the run of a model again, and compare it to the last bit, as `distrain reproduce` does.

    Args:
        model: `models:/name/3`, `models:/name@alias`, or a run's folder, name or id at MLflow.
        overrides: `section.key=value`, for what changes no bits, and where data lies now.
        storage: the folder that runs are kept in.
        offline: as for `train`, of the run that is made.

    Returns:
        What `distrain reproduce --json` prints: whether all is equal, and what differs.

    Raises:
        DistrainError: the input is at fault, what was named cannot be reached, or training failed.
    """
    from distrain import reproduction

    return reproduction.reproduce(
        str(model), overrides, storage=Path(storage), display=NoDisplay(), is_offline=offline
    )


def _with_constraints(settings: Settings, paths: Sequence[str]) -> Settings:
    if settings.tune is None:  # which the search is refused for
        return settings
    constraints = [*dict.fromkeys([*settings.tune.constraints, *paths])]
    tune = settings.tune.model_copy(update={"constraints": constraints})
    return settings.model_copy(update={"tune": tune})


def _import_paths(config: Config | None) -> list[str]:
    """Return where the user's own modules may lie: beside the configuration, and right here."""
    beside = [str(Path(config).absolute().parent)] if isinstance(config, str | Path) else []
    return [*beside, str(Path.cwd())]
