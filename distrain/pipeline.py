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
"""

import shlex
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Protocol, final

from distrain.config.data import DataSettings
from distrain.config.digest import dump_yaml, masked_dict
from distrain.config.environment import expand_env
from distrain.config.settings import Settings
from distrain.data.example import example_rows
from distrain.data.opening import quick_check
from distrain.data.prepare import Prepared, find_prepared
from distrain.data.prepare import prepare as prepare_data
from distrain.errors import DistrainError, TrackingError, TrainError
from distrain.estimate import estimate_run
from distrain.evaluate.goals import check_goals
from distrain.finish import Ending, Trained, package, register
from distrain.predict import PredictResult, plan_prediction, run_prediction
from distrain.ray_session import ray_session, wanted_address
from distrain.results import Estimate, PrepareResult, RunStatus, TrainResult, finding_text
from distrain.run_folder import CONFIG, PREPARED, check_folder, new_run_dir, write_result
from distrain.track import describe, lineage
from distrain.track.reachable import check_reachable
from distrain.track.record import RunFacts, RunRecord
from distrain.track.tracking_server import (
    TrackingServer,
    connect,
    load_mlflow,
    resolve_tracking_uri,
)
from distrain.track.user_code import find_user_code
from distrain.train.from_settings import check_user_code, job_from_settings
from distrain.train.job import TrainJob, TrainOutcome
from distrain.train.placement import (
    Placement,
    asked_placement,
    cluster_placement,
    local_placement,
    num_cores,
)
from distrain.train.run import run_training
from distrain.train.setup import Preflight, try_first_batch
from distrain.train.worker import LOG_FOLDER

_MLFLOW_STATUS: Final[Mapping[RunStatus, str]] = MappingProxyType(
    {
        "finished": "FINISHED",
        "stopped_early": "FINISHED",
        "failed": "FAILED",
        "interrupted": "KILLED",
    }
)


class Display(Protocol):
    """What is told while a command works; `report.display` has the ones for a terminal."""

    def stage(self, text: str) -> None:
        """Say what is being done now."""

    def note(self, text: str) -> None:
        """Say something the user should know, once."""

    def progress(self, record: Mapping[str, Any]) -> None:
        """Show where training is: a `progress` record of the journal."""


@final
class NoDisplay:
    """Shows nothing: for callers from Python."""

    def stage(self, text: str) -> None:
        """Show nothing."""

    def note(self, text: str) -> None:
        """Show nothing."""

    def progress(self, record: Mapping[str, Any]) -> None:
        """Show nothing."""


@final
@dataclass(frozen=True)
class _Run:
    """A run under way: what each stage hands to the next."""

    settings: Settings
    server: TrackingServer
    display: Display
    prepared: Prepared
    placement: Placement
    preflight: Preflight
    job: TrainJob
    import_paths: Sequence[str]


def train(settings: Settings, display: Display, import_paths: Sequence[str] = ()) -> TrainResult:
    """Prepare, train, evaluate, record and register a model.

    Args:
        settings: what to do, with its defaults resolved.
        display: what is told meanwhile.
        import_paths: folders to import the user's code from, here and on the workers.

    Raises:
        DistrainError: of exit code 2 or 4: the input is at fault, or what was named cannot be
            reached; nothing was started, and nothing is left but prepared data where that is whole.
            Once training has begun, a failure is told in the result instead.
    """
    _make_importable(import_paths)
    server = _check(settings)
    with (
        _loading_mlflow(server) as loading,
        _session(settings, display) as placement,
    ):
        prepared = _prepare(settings, display)
        run_dir = new_run_dir(storage_of(settings), str(settings.name))
        job = job_from_settings(settings, prepared.dataset, run_dir)
        preflight = try_first_batch(job)
        loading.result()
        run = _Run(
            settings, server, display, prepared, placement, preflight, job, list(import_paths)
        )
        return _run(run)


def prepare(settings: Settings, display: Display) -> PrepareResult:
    """Prepare the data, or find it prepared, and tell what a model will get.

    Raises:
        DistrainError: as `train`.
    """
    check_folder(storage_of(settings), key="storage")
    check_folder(cache_of(settings), key="data.cache.path")
    quick_check(_data(settings))
    found = find_prepared(_data(settings), cache=cache_of(settings))
    if found is not None:
        prepared = Prepared(found, reused=True)
    else:
        with _session(settings, display):
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


def estimate(settings: Settings, import_paths: Sequence[str] = ()) -> Estimate:
    """Return what a run would do, for `--dry-run`; nothing is started.

    Raises:
        DistrainError: what `train` would refuse too.
    """
    _make_importable(import_paths)
    server = _check(settings)
    expanded = settings.model_copy(update={"data": _data(settings)})
    address = wanted_address(settings.cluster.address)
    place = "a local Ray" if address == "local" else f"Ray at {address}"
    return estimate_run(
        expanded,
        quick_check(expanded.data),
        cache=cache_of(settings),
        placement=_planned_placement(settings),
        place=place,
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
    server = resolve_tracking_uri(None, storage)
    if model.startswith("models:"):
        check_reachable(server)
    plan = plan_prediction(model, data, out, server=server, storage=storage)
    where = wanted_address(address)
    display.stage(_session_text(where))
    with ray_session(where, num_cpus=num_cores() + 1):
        display.stage("predicting")
        return run_prediction(plan)


def storage_of(settings: Settings) -> Path:
    """Return the folder below which everything of a run is kept, absolute."""
    return Path(expand_env(settings.storage)).expanduser().absolute()


def cache_of(settings: Settings) -> Path:
    """Return the folder of prepared data, absolute."""
    path = settings.data.cache.path
    return Path(expand_env(path)).absolute() if path else storage_of(settings) / PREPARED


def _data(settings: Settings) -> DataSettings:
    """Return the data section with `${VAR}` filled in, now that it is used."""

    def filled(value: Any) -> Any:
        if isinstance(value, str):
            return expand_env(value)
        if isinstance(value, list):
            return [filled(item) for item in value]
        return {key: filled(item) for key, item in value.items()} if value else value

    plain = settings.data.model_dump()
    sources = {key: filled(plain[key]) for key in ("source", "test_source")}
    return DataSettings.model_validate({**plain, **sources})


def _check(settings: Settings) -> TrackingServer:
    """Check all that can be checked in seconds, before anything is started or written."""
    storage = storage_of(settings)
    check_folder(storage, key="storage")
    check_folder(storage / str(settings.name), key="storage")
    check_folder(cache_of(settings), key="data.cache.path")
    _planned_placement(settings)
    quick_check(_data(settings))
    uri = settings.track.uri
    server = resolve_tracking_uri(expand_env(uri) if uri else None, storage)
    check_reachable(server)
    check_user_code(settings)
    return server


def _make_importable(folders: Sequence[str]) -> None:
    sys.path[:0] = [folder for folder in folders if folder not in sys.path]


@contextmanager
def _loading_mlflow(server: TrackingServer) -> Iterator[Future[None]]:
    """Import mlflow in a thread: seconds that Ray's start can share. The future tells what failed.

    A database that is there is opened, to know that it can be used; a fresh one is made when there
    is a run to record, so that faults found before that leave none.
    """

    def load() -> None:
        if server.database is not None and not server.database.exists():
            load_mlflow()
        else:
            connect(server)

    with ThreadPoolExecutor(1, thread_name_prefix="mlflow-loading") as pool:
        yield pool.submit(load)


@contextmanager
def _session(settings: Settings, display: Display) -> Iterator[Placement]:
    address = wanted_address(settings.cluster.address)
    display.stage(_session_text(address))
    placement = _planned_placement(settings)
    with ray_session(address, num_cpus=placement.local_cpus) as session:
        # Where a caller from Python is connected already, that Ray is used whatever it has.
        yield placement if session.is_local else cluster_placement(settings.train, session.nodes)


def _planned_placement(settings: Settings) -> Placement:
    """Return the placement, as far as it can be told before Ray is there."""
    if wanted_address(settings.cluster.address) == "local":
        return local_placement(settings.train, num_gpus=num_local_gpus())
    return asked_placement(settings.train)


def _session_text(address: str) -> str:
    return "starting a local Ray" if address == "local" else f"connecting to Ray at {address}"


def num_local_gpus() -> int:
    """Return the GPUs of this machine; torch is asked only where a driver is installed."""
    if not any(Path(device).exists() for device in ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")):
        return 0
    import torch

    return torch.cuda.device_count()


def _prepare(settings: Settings, display: Display) -> Prepared:
    display.stage("preparing the data")
    prepared = prepare_data(_data(settings), cache=cache_of(settings))
    for finding in prepared.findings:
        display.note(finding_text(finding))
    return prepared


def _run(run: _Run) -> TrainResult:
    """Train, finish and record; from here on a failure is a result."""
    run_dir = Path(run.job.run_dir)
    (run_dir / LOG_FOLDER).mkdir(parents=True)
    load_mlflow(run_dir / LOG_FOLDER / "mlflow.txt")
    (run_dir / CONFIG).write_text(dump_yaml(run.settings), encoding="utf-8")
    drain_s = run.settings.track.drain_s
    with RunRecord(run_dir, run.server, _facts(run), drain_s=drain_s) as record:
        record.journal.artifact(run_dir / CONFIG)
        run.display.stage(_training_text(run))
        try:
            outcome = _train(run)
            ending = (
                _finish(run, record, outcome)
                if outcome.weights_file
                else Ending(outcome, outcome.metrics)
            )
        except DistrainError as error:
            ending = Ending(error=error)
        except Exception as error:
            ending = Ending(error=_unforeseen(error, run_dir))
        run.display.stage("recording the end")
        result = _result(run, record, ending)
    write_result(run_dir, result.to_json())
    return result


def _unforeseen(error: Exception, run_dir: Path) -> TrainError:
    """Return what nobody foresaw as an error that a result can hold; its traceback is kept."""
    log = run_dir / LOG_FOLDER / "driver.txt"
    log.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
    return TrainError(
        f"{type(error).__name__}: {error}",
        where="the driver of the run",
        mend=f"The traceback is in {log}",
    )


def _train(run: _Run) -> TrainOutcome:
    return run_training(
        run.job,
        run.placement,
        run.settings.cluster,
        max_failures=run.settings.train.max_failures,
        import_paths=list(run.import_paths),
        on_progress=run.display.progress,
    )


def _finish(run: _Run, record: RunRecord, outcome: TrainOutcome) -> Ending:
    """Package the final model, check the goals, register a version."""
    metrics = {**outcome.metrics, "model/num_parameters": float(outcome.num_parameters)}
    if outcome.samples_per_second is not None:
        metrics["samples_per_second"] = outcome.samples_per_second
    goals = tuple(check_goals(run.settings.evaluate.goals, metrics))
    trained = Trained(run.job, outcome, run.prepared.dataset, metrics, goals)
    run.display.stage("packaging and registering the model")
    pyfunc = package(trained, example_rows(_data(run.settings), run.prepared.dataset.transform))
    try:
        version = register(trained, pyfunc, run.settings, run.server, record)
    except TrackingError as error:
        run.display.note(str(error))
        version = None
    else:
        if version is None:
            run.display.note(f"the model is not registered; it is kept in {pyfunc}")
    return Ending(outcome, metrics, goals, version)


def _result(run: _Run, record: RunRecord, ending: Ending) -> TrainResult:
    outcome, status = ending.outcome, ending.status
    tags: dict[str, str] = {"distrain.outcome": status}
    if outcome is not None and outcome.weights_sha256:
        tags["distrain.weights_sha256"] = outcome.weights_sha256
        tags["mlflow.note.content"] = describe.run_note({"Run": _summary(run)}, ending.metrics)
        record.journal.metrics(outcome.step, ending.own_metrics)
    if ending.error is not None:
        tags["distrain.error"] = str(ending.error)
    is_shipped = record.end(_MLFLOW_STATUS[status], tags)
    if not is_shipped and record.shipper.problem:
        run.display.note(f"not all is recorded at {run.server.shown}: {record.shipper.problem}")
    return TrainResult(
        status=status,
        run_id=record.shipper.run_id,
        run_dir=Path(run.job.run_dir),
        epoch=outcome.epoch if outcome else 0,
        step=outcome.step if outcome else 0,
        metrics=ending.metrics,
        weights_sha256=(outcome.weights_sha256 or None) if outcome else None,
        samples_per_second=outcome.samples_per_second if outcome else None,
        num_workers=run.placement.num_workers,
        dataset_digest=run.prepared.dataset.digest,
        model=ending.version,
        goals=ending.goals,
        resumed_from_step=outcome.resumed_from_step if outcome else None,
        tracking="complete" if is_shipped else "pending",
        error=ending.error,
        summary=_summary(run),
        look=_look(run),
    )


def _facts(run: _Run) -> RunFacts:
    run_dir = Path(run.job.run_dir)
    tags = lineage.run_tags(
        config_digest=run.job.config_digest,
        seed=run.job.seed,
        user_code=find_user_code(run.job.model.get("target")),
    )
    return RunFacts(
        experiment=run_dir.parent.name,
        run=run_dir.name,
        config=masked_dict(run.settings),
        manifest=run.prepared.dataset.manifest,
        tags=tags | {"distrain.data.sha256": run.prepared.dataset.digest},
    )


def _training_text(run: _Run) -> str:
    count, cores = run.placement.num_workers, num_cores()
    workers = f"{count} worker{'s' if count > 1 else ''}"
    if run.placement.gpu:
        return f"training on {workers} with a GPU each"
    shares = f", who share {cores} cores" if count > cores else ""
    return f"training on {workers}{shares}"


def _summary(run: _Run) -> str:
    model = run.job.model.get("name") or run.job.model.get("target")
    return (
        f"{run.settings.name}: {model}, {run.preflight.num_parameters:,} parameters, "
        f"{run.prepared.rows['train']:,} training rows"
    )


def _look(run: _Run) -> str:
    if run.server.origin != "storage":
        return run.server.shown
    storage = storage_of(run.settings)
    is_default = storage == Path("runs").absolute()
    return "distrain ui" + ("" if is_default else f" --storage {shlex.quote(str(storage))}")
