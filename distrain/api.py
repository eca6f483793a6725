"""The commands as functions: `distrain.train`, `resume`, `evaluate`, `predict`, `promote`, ..."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distrain.config.load import load_settings, settings_from_dict
from distrain.config.settings import Settings
from distrain.display import NoDisplay
from distrain.pipeline import predict as run_predict
from distrain.pipeline import resume as run_resume
from distrain.pipeline import resume_search
from distrain.pipeline import train as run_train
from distrain.pipeline import tune as run_tune
from distrain.results import TrainResult, TuneResult
from distrain.resumed import resumed_folder
from distrain.stored_run import is_sweep
from distrain.track.user_code import find_user_code
from distrain.tune.own_constraint import import_path_of

if TYPE_CHECKING:
    from distrain.assess import EvaluateResult
    from distrain.predict import PredictResult
    from distrain.promotion import PromoteResult
    from distrain.reproduction import ReproduceResult

Config = Path | str | Mapping[str, Any] | Settings


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


def train(config: Config, overrides: Sequence[str] = (), *, offline: bool = False) -> TrainResult:
    """Prepare, train, evaluate, record and register a model, as `distrain train` does.

    Args:
        config: a file, a mapping with the keys of a file, or settings.
        overrides: `section.key=value`, the value read as YAML.
        offline: whether the tracking server is left alone; `distrain sync` tells it later.

    Returns:
        What `distrain train --json` prints; a run that failed says so in `status` and `error`.

    Raises:
        DistrainError: the input is at fault, or what was named cannot be reached.
    """
    settings, folders = load_config(config, overrides), _import_paths(config)
    return run_train(settings, NoDisplay(), folders, is_offline=offline)


def tune(
    config: Config,
    overrides: Sequence[str] = (),
    *,
    constraints: Sequence[Callable[[Mapping[str, Any]], bool]] = (),
    offline: bool = False,
) -> TuneResult:
    """Search, and evaluate, record and register what won, as `distrain tune` does.

    Args:
        config: as for `train`, with a section `tune`.
        overrides: `section.key=value`, the value read as YAML.
        constraints: functions from the top of a module, beside `tune.constraints`. Each is called
            with a trial's values by dotted key, such as `trial["train.optimizer.lr"]`, and returns
            whether it may be so, for the same values always the same; `trial.get(key)` is None for
            a key that the trial does not have. What is kept is their import path.
        offline: as for `train`.

    Returns:
        What `distrain tune --json` prints; a search that failed says so in `status` and `error`.

    Raises:
        DistrainError: the input is at fault, or what was named cannot be reached.
    """
    settings, folders = load_config(config, overrides), _import_paths(config)
    paths = [import_path_of(function) for function in constraints]
    beside = {str(source.parent): None for path in paths for source in find_user_code(path)}
    settings = _with_constraints(settings, paths)
    return run_tune(settings, NoDisplay(), [*folders, *beside], is_offline=offline)


def resume(
    run: str | Path,
    overrides: Sequence[str] = (),
    *,
    storage: str | Path = "runs",
    offline: bool = False,
) -> TrainResult | TuneResult:
    """Go on with a run, or a search, from where it is, as `distrain resume` does.

    Args:
        run: a run's folder or URI, its name, or its MLflow id.
        overrides: `section.key=value`, for what may change in a run that has begun.
        storage: the folder that runs are kept in.
        offline: as for `train`.

    Returns:
        What `distrain resume --json` prints; of a run or search that is done, its result.

    Raises:
        DistrainError: the input is at fault, or what was named cannot be reached; or the run is
            driven by another process, or would become another run.
    """
    with resumed_folder(
        [str(run)], is_last=False, storage=Path(storage), overrides=overrides
    ) as run_dir:
        go_on = resume_search if is_sweep(run_dir) else run_resume
        return go_on(run_dir, overrides, NoDisplay(), [str(Path.cwd())], is_offline=offline)


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


def _import_paths(config: Config) -> list[str]:
    """Return where the user's own modules may lie: beside the configuration, and right here."""
    beside = [str(Path(config).absolute().parent)] if isinstance(config, str | Path) else []
    return [*beside, str(Path.cwd())]
