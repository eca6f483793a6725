"""What is told of a run: facts at its start, a line meanwhile, tags and the result at its end.

In: a started run and, at the end, its ending. Out: values and texts; nothing is written here.
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Final, final

from distrain.config.digest import config_digest, masked_dict, resolved_dict
from distrain.config.settings import Settings
from distrain.config.targets import user_targets
from distrain.data.prepare import Prepared
from distrain.finish import Ending, made_tags
from distrain.locations import storage_of, store_at
from distrain.object_store.link import link_of, shown
from distrain.results import RunStatus, TrainResult
from distrain.stored_run import LENGTHS, Started
from distrain.track import lineage
from distrain.track.layout import SearchLayout
from distrain.track.links import UI_PORT
from distrain.track.origin import (
    INIT_ANEW_TAG,
    INIT_SHA256_TAG,
    INIT_TAG,
    KIND_TAG,
    MODEL_ARGS_TAG,
    SWEEP_TAG,
    TRIAL_TAG,
)
from distrain.track.outcome import OUTCOME, failure_tags
from distrain.track.record import RunFacts, RunRecord
from distrain.track.tracking_server import STORAGE, TrackingServer
from distrain.track.user_code import find_user_code
from distrain.train.job import TrainJob, TrainOutcome
from distrain.train.line import Line
from distrain.train.placement import Placement, num_cores
from distrain.train.preflight import Preflight
from distrain.train.worker_environment import args_digest

MLFLOW_STATUS: Final[Mapping[RunStatus, str]] = MappingProxyType(
    {
        "finished": "FINISHED",
        "stopped_early": "FINISHED",
        "failed": "FAILED",
        "interrupted": "KILLED",
    }
)


@final
@dataclass(frozen=True)
class StartedRun:
    """A run under way: what was settled before its training began.

    Args:
        settings: what to do.
        server: where it is recorded.
        prepared: the data.
        placement: the workers.
        preflight: what the model's first rows have told.
        job: what the workers are given.
        import_paths: folders that the user's code may lie in.
        changed: what was changed when it was resumed, dotted key to `old -> new`; None: it was not.
        reproduces: the key of the run that it makes again; None: it is one of its own.
        is_offline: whether its record is kept in the journal alone.
        is_sweep: whether it is a search, and not a training run.
        won: the search whose winner it is, and the trial's number; None: it is of no search.
        line: what holds room for the first workers; None: there is room.
        ready_s: seconds that it took to get ready.
    """

    settings: Settings
    server: TrackingServer
    prepared: Prepared
    placement: Placement
    preflight: Preflight
    job: TrainJob
    import_paths: Sequence[str]
    changed: Mapping[str, str] | None = None
    reproduces: str | None = None
    is_offline: bool = False
    is_sweep: bool = False
    won: tuple[str, int] | None = None
    line: Line | None = None
    ready_s: float = 0.0

    @property
    def run_dir(self) -> Path:
        """Return the run's folder."""
        return Path(self.job.run_dir)

    @property
    def code_folders(self) -> list[str]:
        """Return the folders that workers import the user's code from; none where it names none."""
        named = user_targets(self.settings, is_search=self.is_sweep)
        return list(self.import_paths) if named else []

    def held(self, fence: int) -> "StartedRun":
        """Return the run as the holder of this fencing number drives it."""
        return replace(self, job=replace(self.job, fence=fence))


def started_facts(run: StartedRun) -> Started:
    """Return what is kept of a run's start, so that it can go on."""
    manifest = run.prepared.dataset.manifest
    return Started(
        import_paths=run.import_paths,
        dataset_digest=run.prepared.dataset.digest,
        files=manifest["sources"],
        shapes=run.preflight.shapes,
        tags=recorded_facts(run).tags,
        reproduces=run.reproduces,
        is_sweep=run.is_sweep,
        won=run.won,
    )


def own_code(settings: Settings, *, is_search: bool = False) -> list[Path]:
    """Return the user's own modules and packages that a run, or a search, needs, sorted."""
    targets = user_targets(settings, is_search=is_search)
    return sorted({code for _, target in targets for code in find_user_code(target)})


def how_to_go_on(run_dir: Path) -> str:
    """Return the command that goes on with a run, for whoever stands in this folder."""
    is_below = run_dir.is_relative_to(Path.cwd())
    told = str(run_dir.relative_to(Path.cwd())) if is_below else shown(run_dir)
    return f"go on with: distrain resume {shlex.quote(told)}"


def recorded_facts(run: StartedRun) -> RunFacts:
    """Return what is recorded of a run before anything has come of it."""
    tags = lineage.run_tags(
        config_digest=config_digest(run.settings),
        seed=run.job.seed,
        user_code=own_code(run.settings, is_search=run.is_sweep),
    )
    filled_in = filled_in_args(run.settings)
    if filled_in is not None:
        tags[MODEL_ARGS_TAG] = filled_in
    tags |= _initial_tags(run)
    if run.reproduces is not None:
        tags |= {"distrain.kind": "reproduction", "distrain.reproduces": run.reproduces}
    if run.is_sweep:
        tags[KIND_TAG] = "sweep"
    if run.won is not None:
        sweep, trial = run.won
        tags |= {KIND_TAG: "trial", SWEEP_TAG: sweep, TRIAL_TAG: str(trial)}
    if run.job.bits_given_up_by is not None:
        tags["distrain.bits"] = f"not promised ({run.job.bits_given_up_by})"
    if run.changed is not None:
        text = "; ".join(f"{key}: {change}" for key, change in run.changed.items())
        tags[f"distrain.resume.{run.job.fence}"] = text or "nothing changed"
    return RunFacts(
        experiment=run.run_dir.parent.name,
        run=run.run_dir.name,
        config={**masked_dict(run.settings), **({} if run.is_sweep else {"tune": None})},
        manifest=run.prepared.dataset.manifest,
        tags=tags | {"distrain.data.sha256": run.prepared.dataset.digest},
        search=_layout(run) if run.is_sweep else None,
    )


def _initial_tags(run: StartedRun) -> dict[str, str]:
    """Return what is recorded of weights that a run begins with; nothing where none are given."""
    given = run.job.init_from
    if given is None:
        return {}
    tags = {INIT_TAG: str(given["source"]), INIT_SHA256_TAG: str(given["sha256"])}
    anew = ", ".join(run.preflight.anew)
    return {**tags, INIT_ANEW_TAG: anew} if anew else tags


def _layout(run: StartedRun) -> SearchLayout:
    assert run.settings.tune is not None, "a search has a space"
    return SearchLayout.of(run.settings.tune, run.placement.gpu * run.placement.group_size)


def filled_in_args(settings: Settings) -> str | None:
    """Return a digest of `model.args` as workers fill it in; None: it has no variables."""
    args = resolved_dict(settings)["model"].get("args") or {}
    return args_digest(args, settings.cluster.env)


def training_text(run: StartedRun) -> str:
    """Return the line that is shown when training begins."""
    if run.won is not None:
        return f"evaluating the winner, trial {run.won[1]}"
    count, cores = run.placement.num_workers, num_cores()
    workers = run.placement.workers_text
    given_up_by = run.job.bits_given_up_by
    promise = f"; {given_up_by}, so the same bits are not promised" if given_up_by else ""
    if run.job.strategy == "fsdp" and count == 1:
        promise += "; one worker alone shards nothing"
    if run.placement.gpu:
        return f"training on {workers} with a GPU each{promise}"
    # Of several hosts, this one's cores are but a part of what there is.
    is_shared = count > cores and run.placement.num_hosts == 1
    shares = f", who share {cores} cores" if is_shared else ""
    return f"training on {workers}{shares}{promise}"


def nothing_trained(run: StartedRun, outcome: TrainOutcome) -> list[str]:
    """Return why a run that was made longer was not trained further, in at most one line."""
    is_longer = any(key in LENGTHS for key in run.changed or ())
    has_ended_before = (
        outcome.status == "stopped_early" and outcome.step == outcome.resumed_from_step
    )
    if not (is_longer and has_ended_before):
        return []
    train = run.settings.train
    limits = {"train.early_stopping": train.early_stopping, "train.max_time_s": train.max_time_s}
    ended_by = " or ".join(key for key, limit in limits.items() if limit is not None)
    return [f"nothing was left to train: {ended_by} had ended the run at step {outcome.step}"]


def ending_tags(ending: Ending) -> dict[str, str]:
    """Return the tags that a run's record ends with."""
    outcome = ending.outcome
    tags: dict[str, str] = {OUTCOME: ending.status}
    if outcome is not None and outcome.weights_sha256:
        tags |= made_tags(outcome)
    if ending.error is not None:
        tags |= failure_tags(ending.error)
    return tags


def train_result(
    run: StartedRun, ending: Ending, *, step: int, run_id: str | None, is_shipped: bool
) -> TrainResult:
    """Return the result of a run.

    Args:
        run: the run.
        ending: how it ended.
        step: its outcome's; without one, the last that the journal tells of.
        run_id: MLflow's id of it, None where it was not made there.
        is_shipped: whether everything recorded has reached MLflow.
    """
    outcome = ending.outcome
    return TrainResult(
        status=ending.status,
        run_id=run_id,
        run_dir=run.run_dir,
        epoch=outcome.epoch if outcome else -(-step // run.preflight.steps_per_epoch),
        step=step,
        metrics=ending.metrics,
        weights_sha256=(outcome.weights_sha256 or None) if outcome else None,
        samples_per_second=outcome.samples_per_second if outcome else None,
        num_workers=outcome.num_workers if outcome else run.placement.num_workers,
        dataset_digest=run.prepared.dataset.digest,
        model=ending.version,
        goals=ending.goals,
        resumed_from_step=outcome.resumed_from_step if outcome else None,
        tracking="complete" if is_shipped else "pending",
        error=ending.error,
        summary=summary_text(run),
        look=look_text(run),
        uri=shown(run.run_dir) if link_of(run.run_dir) is not None else None,
    )


def summary_text(run: StartedRun) -> str:
    """Return what is trained, in a line."""
    model = run.job.model.get("name") or run.job.model.get("target")
    return (
        f"{run.settings.name}: {model}, {run.preflight.num_parameters:,} parameters, "
        f"{run.prepared.rows['train']:,} training rows"
    )


def look_text(run: StartedRun) -> str:
    """Return where a run can be looked at: an address, or the command that serves one."""
    if run.server.origin != "storage" or store_at(run.settings) is not None:
        return run.server.shown
    storage = storage_of(run.settings)
    is_default = storage == Path("runs").absolute()
    return "distrain ui" + ("" if is_default else f" --storage {shlex.quote(str(storage))}")


def page_text(run: StartedRun, record: RunRecord) -> str:
    """Return the address of a run's page at MLflow, which tells how it ended.

    Where `distrain ui` has to serve it first, it is the one that that serves by default. Empty:
    the run is not there yet, or nothing that is known serves its store.
    """
    pages = record.pages
    is_own = run.server.origin == STORAGE and store_at(run.settings) is None
    if pages is None or not (run.server.is_remote or is_own):
        return ""
    server = run.server.shown if run.server.is_remote else f"http://127.0.0.1:{UI_PORT}"
    return f"{server.rstrip('/')}/{pages.run}"
