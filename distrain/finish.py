"""From trained weights to a registered version: package, load back, compare, register."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import final

import pyarrow as pa

from distrain.config.settings import Settings
from distrain.data.prepared import PreparedDataset
from distrain.errors import DistrainError
from distrain.evaluate.goals import GoalOutcome
from distrain.results import RunStatus
from distrain.track import describe
from distrain.track.model_versions import RegisteredVersion
from distrain.track.packaged import save_packaged, save_source
from distrain.track.pyfunc_model import build_pyfunc
from distrain.track.record import RunRecord
from distrain.track.registry import ModelFacts, register_model
from distrain.track.tracking_server import TrackingServer
from distrain.track.user_code import find_user_code
from distrain.train.job import TrainJob, TrainOutcome

MODEL_FOLDER = "model"
PACKAGED = "packaged"
PYFUNC = "mlflow"


@final
@dataclass(frozen=True)
class Trained:
    """A finished training run and what it was made from.

    Attributes:
        job: what was asked for.
        outcome: what came of it.
        dataset: what it was trained on.
        metrics: everything that was measured.
        goals: what was met.
    """

    job: TrainJob
    outcome: TrainOutcome
    dataset: PreparedDataset
    metrics: Mapping[str, float]
    goals: tuple[GoalOutcome, ...]


@final
@dataclass(frozen=True)
class Ending:
    """How a run ended.

    Attributes:
        outcome: what came of training; None where it failed.
        metrics: everything that was measured.
        goals: what was met.
        version: what was registered.
        error: why it failed.
    """

    outcome: TrainOutcome | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    goals: tuple[GoalOutcome, ...] = ()
    version: RegisteredVersion | None = None
    error: DistrainError | None = None

    @property
    def status(self) -> RunStatus:
        """Return the run's status, in the words of the result."""
        if self.outcome is None or self.error is not None:
            return "failed"
        return self.outcome.status

    @property
    def own_metrics(self) -> dict[str, float]:
        """Return what the training loop has not recorded itself."""
        looped = self.outcome.metrics if self.outcome else {}
        return {name: value for name, value in self.metrics.items() if name not in looped}


def package(trained: Trained, example: pa.Table) -> Path:
    """Write the final model below the run's folder and return the MLflow model's folder.

    Args:
        trained: the finished run.
        example: some raw rows of the source.

    Raises:
        ModelError: what was written predicts something else than what was trained.
    """
    import safetensors.torch

    job = trained.job
    folder = Path(job.run_dir) / MODEL_FOLDER
    if folder.exists():  # an earlier attempt was cut off, or the run was made longer
        shutil.rmtree(folder)
    save_packaged(
        folder / PACKAGED,
        module_state=safetensors.torch.load_file(trained.outcome.weights_file),
        model_spec=job.model,
        transform=trained.dataset.transform,
        threads=job.threads,
        user_code=find_user_code(job.model.get("target")),
    )
    recipe = trained.dataset.manifest["recipe"]
    save_source(folder / PACKAGED, recipe["format"], recipe["read"])
    build_pyfunc(folder / PYFUNC, folder / PACKAGED, example)
    return folder / PYFUNC


def register(
    trained: Trained, pyfunc: Path, settings: Settings, server: TrackingServer, record: RunRecord
) -> RegisteredVersion | None:
    """Make a version of the packaged model; its alias moves only where all goals are met.

    Args:
        trained: the finished run.
        pyfunc: the MLflow model's folder.
        settings: names of model and alias.
        server: the tracking store.
        record: of the run.

    Returns:
        The version; None while the run does not exist on a tracking server that is away.

    Raises:
        TrackingError: the server refuses, or does not answer while the record still waits for it.
    """
    # A version shows the metrics that its run has by then, so the run comes first.
    is_shipped = record.drain()
    run_id, experiment_id = record.shipper.run_id, record.shipper.experiment_id
    if not is_shipped or run_id is None or experiment_id is None:
        return None
    asked = settings.track.register_
    name = asked.model or record.facts.experiment
    facts = ModelFacts(
        name=name,
        # A run that was made longer ends in other weights, which are another version.
        key=f"{record.facts.key}@{trained.outcome.weights_sha256[:16]}",
        run_id=run_id,
        experiment_id=experiment_id,
        tags={
            **record.facts.tags,
            "distrain.weights_sha256": trained.outcome.weights_sha256,
            "distrain.run": record.facts.key,
        },
        params=describe.run_params(record.facts.config),
        description=describe.version_note(name, record.facts.tags, trained.metrics),
        dataset_name=record.facts.experiment,
        dataset_digest=trained.dataset.digest,
        test_metrics=tuple(name for name in trained.metrics if name.startswith("test/")),
    )
    has_earned_alias = all(goal.is_met for goal in trained.goals)
    with record.waiting() as timeout_s:
        return register_model(
            server,
            pyfunc,
            facts,
            alias=asked.alias if has_earned_alias else None,
            timeout_s=timeout_s,
        )
