"""From trained weights to a registered version: package, load back, compare, register."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

from distrain.config.settings import Settings
from distrain.data.plan import evaluation_batches
from distrain.data.prepared import PreparedDataset
from distrain.errors import DistrainError
from distrain.evaluate.gate import Verdict
from distrain.evaluate.goals import GoalOutcome
from distrain.evaluate.seen_rows import BATCH_ROWS as SEEN_BATCH
from distrain.evaluate.seen_rows import SeenRows, rows_of_streamed, seen_rows
from distrain.results import RunStatus
from distrain.track import describe
from distrain.track.aliases import TEST_TAG
from distrain.track.clean_process import warm_up
from distrain.track.like_trained import check_like_trained
from distrain.track.markdown import plain
from distrain.track.model_versions import RegisteredVersion
from distrain.track.origin import ORDER_TAG, STEPS_TAG, WEIGHTS_TAG
from distrain.track.packaged import save_packaged, save_source
from distrain.track.pyfunc_model import build_pyfunc
from distrain.track.record import RunRecord
from distrain.track.user_code import find_user_code
from distrain.train.job import TrainJob, TrainOutcome
from distrain.train.loop import OUTPUTS_FILE

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
        test_sha256: names the rows that it was tested on; None: there were none.
    """

    job: TrainJob
    outcome: TrainOutcome
    dataset: PreparedDataset
    metrics: Mapping[str, float]
    goals: tuple[GoalOutcome, ...]
    test_sha256: str | None = None


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
        verdict: whether it earned the alias that was asked for; None: none was.
    """

    outcome: TrainOutcome | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    goals: tuple[GoalOutcome, ...] = ()
    version: RegisteredVersion | None = None
    error: DistrainError | None = None
    verdict: Verdict | None = None

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


def package(trained: Trained, example: Any) -> Path:
    """Write the final model below the run's folder and return the MLflow model's folder.

    Args:
        trained: the finished run.
        example: some raw rows of the source, or of a Dataset arrays by name.

    Raises:
        ModelError: what was written gives something else than what was trained, here or in a
            clean process.
    """
    import safetensors.torch

    warm_up()
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
    if trained.dataset.own is None:
        save_source(folder / PACKAGED, recipe["format"], recipe["read"])
    outputs = Path(trained.outcome.weights_file).with_name(OUTPUTS_FILE)
    check_like_trained(folder / PACKAGED, outputs, trained.dataset)
    if trained.dataset.own is None:  # else they would all be read once more
        _seen_rows(trained.dataset).save(folder / PACKAGED)
    build_pyfunc(folder / PYFUNC, folder / PACKAGED, example)
    return folder / PYFUNC


def _seen_rows(dataset: PreparedDataset) -> SeenRows:
    if dataset.is_streamed:
        return rows_of_streamed(dataset)
    train = dataset.shard_split("train")
    batches = (train.slice(*bounds) for bounds in evaluation_batches(train.num_rows, SEEN_BATCH))
    return seen_rows(batches, train.num_rows)


def version_key(run_key: str, weights_sha256: str) -> str:
    """Return what makes a model version found again.

    A run that was made longer ends in other weights, which are another version.
    """
    return f"{run_key}@{weights_sha256[:16]}"


def made_tags(outcome: TrainOutcome) -> dict[str, str]:
    """Return the tags that say what came of a training run, to the bit."""
    return {
        WEIGHTS_TAG: outcome.weights_sha256,
        ORDER_TAG: outcome.plan_digest,
        STEPS_TAG: str(outcome.step),
    }


def register(
    trained: Trained,
    pyfunc: Path,
    settings: Settings,
    record: RunRecord,
    verdict: Verdict | None,
) -> RegisteredVersion | None:
    """Record the packaged model, of which the shipper makes a version, and wait for it.

    Its alias moves only where the gate says so.

    Args:
        trained: the finished run.
        pyfunc: the MLflow model's folder.
        settings: names of model and alias.
        record: of the run.
        verdict: the gate's; None: no alias is asked for.

    Returns:
        The version; None: the tracking server is away, or refuses it.
    """
    asked = settings.track.register_
    name = asked.model or record.facts.experiment
    facts = {
        "name": name,
        "key": version_key(record.facts.key, trained.outcome.weights_sha256),
        "tags": {
            **record.facts.tags,
            **made_tags(trained.outcome),
            "distrain.run": record.facts.key,
            **({TEST_TAG: trained.test_sha256} if trained.test_sha256 else {}),
            **(verdict.tags() if verdict else {}),
        },
        "params": describe.run_params(record.facts.config),
        "description": "\n\n".join(
            [
                describe.version_note(name, record.facts.tags, trained.metrics),
                *([_judged(verdict, asked.alias)] if verdict else []),
            ]
        ),
        "dataset_name": record.facts.experiment,
        "dataset_digest": trained.dataset.digest,
        "test_metrics": [name for name in trained.metrics if name.startswith("test/")],
    }
    record.register(pyfunc, facts, asked.alias if verdict and verdict.may_move else None)
    return record.version


def _judged(verdict: Verdict, alias: str | None) -> str:
    """Return what the gate decided as a version's description has it, where it stays."""
    text = f"**When it was made: {verdict_text(verdict, alias)}** Its tags have the newest verdict."
    return "\n\n".join(["\n".join(comparison_table(verdict)), text]).strip()


def comparison_table(verdict: Verdict) -> list[str]:
    """Return the lines of a Markdown table: the candidate beside the holder, on the same rows."""
    contest = verdict.contest
    found = contest.comparison if contest is not None else None
    if contest is None or found is None:
        return []
    own, others = f"{found.candidate:.6g}", f"{found.holder:.6g}"
    interval = f"{found.low:.4g} to {found.high:.4g}"
    return [
        f"| same {found.num_rows:,} test rows | candidate | version {contest.holder} | gain "
        "| interval |",
        "|---|---:|---:|---:|---:|",
        f"| test/{plain(found.metric)} | {own} | {others} | {found.gain:+.4g} | {interval} |",
    ]


def verdict_text(verdict: Verdict, alias: str | None) -> str:
    """Return what the gate decided of an alias, in a sentence."""
    moved = "has earned the alias" if verdict.may_move else "has not earned the alias"
    return f"This version {moved} {alias}: {verdict.text}."
