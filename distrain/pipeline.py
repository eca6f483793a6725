"""The whole of `train`, in order, on one page.

check what can be checked without starting anything: files, storage, tracking server, workers,
    and that the user's own code can be imported
start Ray; meanwhile import mlflow
prepare the data, or find it prepared
try the model on two rows
make the run's folder, open its journal, begin to ship it
train on Ray's workers
package the final model, check the goals, register it
drain the journal, write the result

`resume` does the same in the folder of a run that has begun, and checks that it is the same run.
Whoever works in a run's folder holds its lease.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from distrain import lease
from distrain.config.environment import check_given, expand_env
from distrain.config.settings import Settings
from distrain.data.checking import quick_check
from distrain.data.files import filesystem_of
from distrain.data.prepare import Prepared, find_prepared
from distrain.data.prepare import prepare as prepare_data
from distrain.data.same import KnownData
from distrain.display import Display
from distrain.errors import TrackingError
from distrain.estimate import estimate_run
from distrain.locations import cache_of, data_of, storage_of
from distrain.predict import PredictResult, plan_prediction, run_prediction
from distrain.results import Estimate, PrepareResult, TrainResult, finding_text
from distrain.run_facts import (
    StartedRun,
    recorded_facts,
    started_facts,
)
from distrain.run_folder import RESULT, check_folder, new_run_dir
from distrain.running import finish_run
from distrain.stored_run import (
    Started,
    StoredRun,
    check_model,
    check_writable,
    differing_circumstances,
    read_stored_run,
)
from distrain.track.code_secrets import check_no_secrets
from distrain.track.early_import import loading_mlflow
from distrain.track.model_registry import registry_of
from distrain.track.reachable import check_reachable
from distrain.track.sync import ship_rest
from distrain.track.tracking_server import (
    TrackingServer,
    resolve_tracking_uri,
)
from distrain.track.user_code import forget_changed_code
from distrain.train.beat import LOG_FOLDER
from distrain.train.from_settings import check_user_code, job_from_settings, user_targets
from distrain.train.setup import try_first_batch
from distrain.workplace import data_session, place_text, planned_placement, training_session


def train(
    settings: Settings,
    display: Display,
    import_paths: Sequence[str] = (),
    *,
    is_offline: bool = False,
) -> TrainResult:
    """Prepare, train, evaluate, record and register a model.

    Args:
        settings: what to do, with its defaults resolved.
        display: what is told meanwhile.
        import_paths: folders to import the user's code from, here and on the workers.
        is_offline: whether the tracking server is left alone: the record waits for `sync`.

    Raises:
        DistrainError: of exit code 2 or 4: the input is at fault, or what was named cannot be
            reached; nothing was started, and nothing is left but prepared data where that is whole.
            Once training has begun, a failure is told in the result instead.
    """
    run_dir = new_run_dir(storage_of(settings), str(settings.name))
    with ready(settings, run_dir, import_paths, display, is_offline=is_offline) as run:
        return begin(run, display)


def begin(run: StartedRun, display: Display) -> TrainResult:
    """Make the folder of a run that is ready, and do all of it.

    Raises:
        DistrainError: as `running.finish_run`.
    """
    (run.run_dir / LOG_FOLDER).mkdir(parents=True)
    started_facts(run).save(run.run_dir)
    with lease.holding(run.run_dir, display.note) as held:
        return finish_run(run.held(held.fence), display)


def resume(
    run_dir: Path,
    overrides: Sequence[str],
    display: Display,
    import_paths: Sequence[str] = (),
    *,
    is_offline: bool = False,
) -> TrainResult:
    """Go on with a run: train from its newest checkpoint on, then evaluate, record and register.

    Waits for the lease of a driver that may be dead. Of a run that is done, the result is returned.

    Args:
        run_dir: the run's folder.
        overrides: `section.key=value`; what the result does not depend on can change, and the run
            can be made longer.
        display: what is told meanwhile.
        import_paths: folders to import the user's code from, beside those of the run's start.
        is_offline: as for `train`; where all that is left to do is to ship, nothing is done.

    Raises:
        DistrainError: as `train`; or the run is driven by another process, or it would become
            another run: by its configuration, its data or its model.
    """
    stored = read_stored_run(run_dir, overrides)
    if not stored.is_done:
        check_writable(run_dir)
        with lease.holding(run_dir, display.note) as held:
            # Once more: whoever held the lease may have come to the end.
            stored = read_stored_run(run_dir, overrides)
            if stored.is_left_to_ship and not is_offline:
                display.stage("shipping what the run recorded")
                told = ship_rest(run_dir)
                if told.error is not None:
                    raise told.error
                stored = read_stored_run(run_dir, overrides)
            if not (stored.is_done or stored.is_left_to_ship):
                return _go_on(stored, held.fence, import_paths, display, is_offline=is_offline)
    assert stored.result is not None
    display.note(f"the run is {stored.result.status.replace('_', ' ')}: nothing is left to do")
    for key, change in stored.changed.items():
        display.note(f"{key}: {change} has no effect on a run that is done")
    return stored.result


def prepare(settings: Settings, display: Display) -> PrepareResult:
    """Prepare the data, or find it prepared, and tell what a model will get.

    Raises:
        DistrainError: as `train`.
    """
    check_folder(storage_of(settings), key="storage")
    _check_cache(cache_of(settings))
    quick_check(data_of(settings))
    found = find_prepared(data_of(settings), cache=cache_of(settings))
    if found is not None:
        prepared = Prepared(found, reused=True)
    else:
        with data_session(settings.cluster.address, display):
            prepared = _prepare(settings, display)
    manifest, transform = prepared.dataset.manifest, prepared.dataset.transform
    kind = "logits" if transform.task == "classification" else "values"
    return PrepareResult(
        dataset_digest=prepared.dataset.digest,
        rows=prepared.rows,
        findings=tuple(prepared.findings),
        reused=prepared.reused,
        path=prepared.dataset.path,
        columns=manifest["columns"],
        outputs=f"{kind} (rows, {transform.num_outputs})",
    )


def estimate(
    settings: Settings, import_paths: Sequence[str] = (), *, is_offline: bool = False
) -> Estimate:
    """Return what a run would do, for `--dry-run`; nothing is started.

    Raises:
        DistrainError: what `train` would refuse too.
    """
    _make_importable(import_paths)
    server = _check(settings, is_offline=is_offline)
    expanded = settings.model_copy(update={"data": data_of(settings)})
    return estimate_run(
        expanded,
        quick_check(expanded.data),
        cache=cache_of(settings),
        placement=planned_placement(settings),
        place=place_text(settings),
        tracking=server.shown,
    )


def predict(
    model: str,
    *,
    data: str,
    out: Path,
    storage: Path,
    address: str | None,
    display: Display,
) -> PredictResult:
    """Predict raw rows with a registered model or that of a run.

    Args:
        model: `models:/name@alias`, `models:/name/3`, or a run's folder or name.
        data: path, glob, directory or built-in name of raw rows.
        out: new file to write; its extension names the format.
        storage: the folder that runs are kept in.
        address: a Ray cluster; None: RAY_ADDRESS, else a new local Ray.
        display: what is told meanwhile.

    Raises:
        DistrainError: the input is at fault, or what was named cannot be reached; nothing is left.
    """
    display.stage("loading the model")
    server = registry_of(model, storage)
    if model.startswith("models:"):
        check_reachable(server)
    plan = plan_prediction(model, data, out, server=server, storage=storage)
    with data_session(address, display):
        display.stage("predicting")
        return run_prediction(plan)


def _go_on(
    stored: StoredRun,
    fence: int,
    import_paths: Sequence[str],
    display: Display,
    *,
    is_offline: bool,
) -> TrainResult:
    started, run_dir = stored.started, stored.run_dir
    folders = list(dict.fromkeys([*started.import_paths, *import_paths]))
    with ready(stored.settings, run_dir, folders, display, started, is_offline=is_offline) as run:
        for text in differing_circumstances(started, recorded_facts(run).tags):
            display.note(text)
        for key, change in stored.changed.items():
            display.note(f"{key}: {change}")
        (run_dir / RESULT).unlink(missing_ok=True)
        return finish_run(replace(run.held(fence), changed=stored.changed), display)


@contextmanager
def ready(
    settings: Settings,
    run_dir: Path,
    import_paths: Sequence[str],
    display: Display,
    started: Started | None = None,
    *,
    is_offline: bool = False,
) -> Iterator[StartedRun]:
    """Do what comes before training, and keep Ray for the length of a `with` block.

    Args:
        settings: what to do.
        run_dir: the run's folder; it need not exist.
        import_paths: folders to import the user's code from, here and on the workers.
        display: what is told meanwhile.
        started: what the run was started with, and must be still; None: it starts now.
        is_offline: whether the tracking server is left alone.

    Raises:
        DistrainError: of exit code 2 or 4, as `train`.
    """
    _make_importable(import_paths)
    server = _check(settings, is_offline=is_offline)
    with (
        loading_mlflow(None if is_offline else server) as loading,
        training_session(settings, display) as placement,
    ):
        prepared = _prepare(settings, display, started.data if started else None)
        job = job_from_settings(settings, prepared.dataset, run_dir)
        preflight = try_first_batch(job, is_for_gpu=placement.gpu > 0)
        if started is not None:
            check_model(started, preflight.shapes)
        loading.result()
        run = StartedRun(settings, server, prepared, placement, preflight, job, list(import_paths))
        reproduces = started.reproduces if started else None
        yield replace(run, reproduces=reproduces, is_offline=is_offline)


def _check(settings: Settings, *, is_offline: bool) -> TrackingServer:
    """Check all that can be checked in seconds, before anything is started or written."""
    check_given(settings.cluster.env)
    storage = storage_of(settings)
    check_folder(storage, key="storage")
    check_folder(storage / str(settings.name), key="storage")
    _check_cache(cache_of(settings))
    planned_placement(settings)
    quick_check(data_of(settings))
    uri = settings.track.uri
    server = resolve_tracking_uri(expand_env(uri) if uri else None, storage)
    if not is_offline:
        _check_server(server)
    targets = [target for _, target in user_targets(settings)]
    forget_changed_code(targets)
    check_user_code(settings)
    check_no_secrets(targets)
    return server


def _check_server(server: TrackingServer) -> None:
    try:
        check_reachable(server)
    except TrackingError as error:
        raise TrackingError(
            error.message,
            where=error.where,
            expected=error.expected,
            mend=f"{error.mend}. With --offline the record stays here until `distrain sync`",
        ) from error


def _check_cache(place: Path | str) -> None:
    if isinstance(place, Path):
        check_folder(place, key="data.cache.path")
    else:
        filesystem_of(place)


def _make_importable(folders: Sequence[str]) -> None:
    sys.path[:] = [*folders, *(folder for folder in sys.path if folder not in folders)]


def _prepare(settings: Settings, display: Display, known: KnownData | None = None) -> Prepared:
    display.stage("preparing the data")
    prepared = prepare_data(data_of(settings), cache=cache_of(settings), known=known)
    for finding in prepared.findings:
        display.note(finding_text(finding))
    return prepared
