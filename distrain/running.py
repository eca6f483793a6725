"""A run that is ready: trained, packaged, registered and recorded, whatever happens to it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from distrain import lease
from distrain.config.digest import dump_yaml
from distrain.contest import Candidate, digest_of_test_rows, hold_contest
from distrain.data.example import EXAMPLE_ROWS, example_rows
from distrain.data.own.batches import as_arrays
from distrain.data.prepared import PreparedDataset
from distrain.display import Display
from distrain.durable import write_atomically
from distrain.errors import (
    CheckpointError,
    DataError,
    DistrainError,
    ModelError,
    TrackingError,
    TrainError,
)
from distrain.evaluate.gate import Verdict, judge_unseen
from distrain.evaluate.goals import check_goals
from distrain.finish import (
    PACKAGED,
    Ending,
    Trained,
    package,
    register,
    verdict_text,
    version_key,
)
from distrain.locations import data_of, storage_of, store_at
from distrain.models.build import build_model
from distrain.object_store.link import shown
from distrain.redaction import traceback_text
from distrain.report.run.writing import report_at_end
from distrain.results import TrainResult
from distrain.run_facts import (
    MLFLOW_STATUS,
    StartedRun,
    ending_tags,
    how_to_go_on,
    nothing_trained,
    own_code,
    page_text,
    recorded_facts,
    train_result,
    training_text,
)
from distrain.run_folder import CONFIG, JOURNAL, REPORT_ARTIFACTS, keep_files, write_result
from distrain.run_story import run_story
from distrain.track import lineage, lineage_folder
from distrain.track.journal_reading import last_step
from distrain.track.links import NOTE_TAG
from distrain.track.markdown import plain
from distrain.track.origin import LINEAGE_TAG
from distrain.track.outcome import READY_S, TRAINING_S
from distrain.track.record import RunFacts, RunRecord
from distrain.track.sync import shipping_others
from distrain.track.tensor_rows import arrays_by_name
from distrain.track.tracking_server import (
    load_mlflow,
)
from distrain.train.beat import LOG_FOLDER
from distrain.train.called_alone import as_called_alone, inputs_alone
from distrain.train.gauges import exporting
from distrain.train.job import TrainOutcome
from distrain.train.node_usage import gpu_names
from distrain.train.profiling import FOLDER as PROFILE_FOLDER
from distrain.train.run import run_training

STORY_LOG: Final = "story.txt"


def finish_run(run: StartedRun, display: Display) -> TrainResult:
    """Train, finish and record; from here on a failure is a result.

    Raises:
        CheckpointError: another driver took the run over; what becomes of it is that one's to tell.
        DistrainError: the disk takes no result; why the run failed, where it did.
    """
    run_dir, fence = run.run_dir, run.job.fence
    with begun_record(run) as record, exporting(run_dir, display, record.backlog.count) as told:
        display.stage(training_text(run))
        try:
            ending = _ending(run, told, record)
        except KeyboardInterrupt:
            if run.reproduces is None and run.won is None:
                display.note(how_to_go_on(run_dir))
            raise
        try:
            lease.check_patiently(run_dir, fence)
        except CheckpointError:
            record.abandon()
            raise
        with (
            telling_end_faults(run_dir, ending.error, display),
            nullcontext()
            if run.is_offline or store_at(run.settings) is not None
            else shipping_others(storage_of(run.settings), run.server, but=run_dir),
        ):
            result = _record_end(run, display, record, ending)
    is_its_own = run.reproduces is None and run.won is None
    if is_its_own and is_something_left(result, has_model=record.has_model):
        display.note(how_to_go_on(run_dir))
    return result


def is_something_left(result: TrainResult, *, has_model: bool) -> bool:
    """Return whether something would come of going on with a run.

    Args:
        result: how it ended.
        has_model: whether a model of it was recorded, to be registered; where its end has none,
            as only `train.step` knows how to call it, none will come of it.
    """
    is_over = result.status in ("finished", "stopped_early") and result.tracking == "complete"
    return not result.is_done and (has_model or not is_over)


def begun_record(run: StartedRun) -> RunRecord:
    """Write down what a run is, and return its record, which is to be entered.

    Raises:
        TrainError: the disk takes it not.
    """
    run_dir = run.run_dir
    load_mlflow(run_dir / LOG_FOLDER / "mlflow.txt")
    drain_s = None if run.is_offline else run.settings.track.drain_s
    try:
        write_atomically(run_dir / CONFIG, dump_yaml(run.settings).encode())
        facts = with_lineage(run)
        record = RunRecord(run_dir, run.server, facts, drain_s=drain_s, fence=run.job.fence)
        keep_files(run_dir)
    except OSError as fault:
        what, whose = "what the run is", "first records"
        raise _untaken(what, run_dir, whose, "give the command again", fault) from fault
    if run.ready_s:
        record.journal.metrics(last_step(run_dir / JOURNAL), {READY_S: run.ready_s})
    record.journal.artifact(run_dir / CONFIG)
    record.journal.artifact(run_dir / lineage_folder.FOLDER, lineage_folder.FOLDER)
    return record


def with_lineage(run: StartedRun) -> RunFacts:
    """Write down where the run comes from; return what is recorded of it, with that one's hash."""
    facts = recorded_facts(run)
    has_gpu = run.placement.gpu > 0
    sha256 = lineage_folder.write_lineage(
        run.run_dir / lineage_folder.FOLDER,
        config=dump_yaml(run.settings),
        manifest=facts.manifest,
        user_code=own_code(run.settings, is_search=run.is_sweep),
        machine=lineage.machine("cuda" if has_gpu else "cpu", gpu_names() if has_gpu else []),
    )
    return replace(facts, tags={**facts.tags, LINEAGE_TAG: sha256})


def _ending(run: StartedRun, display: Display, record: RunRecord) -> Ending:
    begun = time.monotonic()
    try:
        outcome = _train(run, display)
        record.journal.metrics(outcome.step, {TRAINING_S: time.monotonic() - begun})
        for text in nothing_trained(run, outcome):
            display.note(text)
        if run.job.profile:
            record.journal.artifact(run.run_dir / PROFILE_FOLDER, PROFILE_FOLDER)
        if not outcome.weights_file:
            return Ending(outcome, outcome.metrics)
        return _finish(run, display, record, outcome)
    except DistrainError as error:
        return Ending(error=error)
    except Exception as error:  # told in the result and recorded as failed; traceback in a log
        return Ending(error=unforeseen(error, run.run_dir))


def unforeseen(error: Exception, run_dir: Path, log_name: str = "driver.txt") -> TrainError:
    """Return what nobody foresaw as an error that a result can hold; its traceback is kept."""
    log = run_dir / LOG_FOLDER / log_name
    mend = f"The traceback is in {shown(log)}"
    try:
        log.write_text(traceback_text(error), encoding="utf-8")
    except OSError as fault:
        mend = f"The traceback cannot be kept in {log} ({fault.strerror})"
    name = type(error).__name__
    where = "the driver of the run"
    return TrainError(f"{name}: {error}", where=where, mend=mend, error_class=name)


def told_story(tell: Callable[[], str], headline: str, run_dir: Path, display: Display) -> str:
    """Return what the page of a run or search says of it; a few words where that cannot be told.

    Args:
        tell: returns it.
        headline: how it stands.
        run_dir: its folder.
        display: told of what fails.
    """
    try:
        return tell()
    except Exception as error:  # whatever it is, the model is trained: told, traceback in a log
        fault = unforeseen(error, run_dir, STORY_LOG)
        display.note(f"its page at MLflow says little of it ({fault.message}). {fault.mend}")
        return f"### {headline}\n\nNo more could be told of it here: {plain(fault.message)}"


@contextmanager
def telling_end_faults(
    run_dir: Path, error: DistrainError | None, display: Display
) -> Iterator[None]:
    """Raise what the disk refuses at the end of a run in words; why the run failed comes first."""
    try:
        yield
    except OSError as fault:
        display.note(how_to_go_on(run_dir))
        what, whose = "how the run ended", "last records and its result"
        raise error or _untaken(what, run_dir, whose, "go on with the run", fault) from fault


def _untaken(what: str, run_dir: Path, whose: str, then: str, fault: OSError) -> TrainError:
    return TrainError(
        f"{what} cannot be written ({fault.strerror or fault})",
        where=shown(run_dir),
        expected=f"a disk that takes the run's {whose}",
        mend=f"Make room there, then {then}",
    )


def _train(run: StartedRun, display: Display) -> TrainOutcome:
    return run_training(
        run.job,
        run.placement,
        run.settings.cluster,
        max_failures=run.settings.train.max_failures,
        import_paths=run.code_folders,
        display=display,
        line=run.line,
    )


def _finish(run: StartedRun, display: Display, record: RunRecord, outcome: TrainOutcome) -> Ending:
    """Package the final model, check the goals, register a version.

    Raises:
        CheckpointError: another driver took the run over; the model's folder is that one's.
    """
    lease.check_patiently(run.run_dir, run.job.fence)
    metrics = {**outcome.metrics, "model/num_parameters": float(outcome.num_parameters)}
    if outcome.samples_per_second is not None:
        metrics["samples_per_second"] = outcome.samples_per_second
    goals = tuple(check_goals(run.settings.evaluate.goals, metrics))
    if run.reproduces is not None:  # what it makes again is registered already
        return Ending(outcome, metrics, goals)
    dataset = run.prepared.dataset
    if run.job.step is not None:
        try:
            dataset = as_called_alone(run.job, dataset, outcome.weights_file)
        except (DataError, ModelError) as fault:
            display.note(
                "no model is registered, since only train.step knows how to call it "
                f"({fault.message}); its weights are in {outcome.weights_file}"
            )
            return Ending(outcome, metrics, goals)
    trained = Trained(run.job, outcome, dataset, metrics, goals, digest_of_test_rows(dataset))
    display.stage("packaging and registering the model")
    pyfunc = package(trained, _example(run, dataset))
    verdict = _verdict(run, trained, pyfunc.with_name(PACKAGED), record, display)
    lease.check_patiently(run.run_dir, run.job.fence)
    version = register(trained, pyfunc, run.settings, record, verdict)
    if version is None:
        display.note(f"the model is not registered; it is kept in {pyfunc}")
    elif verdict is not None and verdict.may_move and version.alias is None:
        display.note(f"the alias stays where it is: {version.uri} was overtaken, see its tags")
    return Ending(outcome, metrics, goals, version, verdict=verdict)


def _example(run: StartedRun, dataset: PreparedDataset) -> Any:
    """Return some rows as the model will be given them: raw, or as its Dataset gives them."""
    if dataset.own is None:
        return example_rows(data_of(run.settings), dataset.transform)
    if not dataset.own.has_pairs:
        module = build_model(run.job.model, input_shape=(), num_outputs=0, seed=0)
        return arrays_by_name(as_arrays(inputs_alone(module, dataset)))
    split = dataset.own.split("train")
    return arrays_by_name(split.slice(0, min(EXAMPLE_ROWS, split.num_rows))["x"])


def _verdict(
    run: StartedRun, trained: Trained, packaged: Path, record: RunRecord, display: Display
) -> Verdict | None:
    """Return whether the model has earned the alias that is asked for, None where none is."""
    asked = run.settings.track.register_
    if asked.alias is None:
        return None
    candidate = Candidate(
        name=asked.model or record.facts.experiment,
        key=version_key(record.facts.key, trained.outcome.weights_sha256),
        packaged=packaged,
        settings=run.settings,
        data=data_of(run.settings),
        dataset=trained.dataset,
        goals=trained.goals,
    )
    try:
        verdict = (
            judge_unseen(trained.goals)
            if run.is_offline
            else hold_contest(candidate, asked.alias, run.server)
        )
    except TrackingError:  # the shipper moves the alias if nobody has it when the server is back
        verdict = judge_unseen(trained.goals)
    if verdict.contest is not None:
        display.note(verdict_text(verdict, asked.alias))
    return verdict


def _record_end(
    run: StartedRun, display: Display, record: RunRecord, ending: Ending
) -> TrainResult:
    """Record how the run ended, wait for what is not shipped yet, and return the result.

    It is written before the wait, too: whoever ends that leaves a run that is known to have ended.
    """
    display.stage("recording the end")
    if ending.outcome is not None and ending.outcome.weights_sha256:
        record.journal.metrics(ending.outcome.step, ending.own_metrics)
    step = ending.outcome.step if ending.outcome else last_step(run.run_dir / JOURNAL)
    result = train_result(run, ending, step=step, run_id=record.shipper.run_id, is_shipped=False)
    headline = ending.status.replace("_", " ").capitalize()
    story = told_story(partial(run_story, run, record, ending), headline, run.run_dir, display)
    record.end(MLFLOW_STATUS[ending.status], {**ending_tags(ending), NOTE_TAG: story})
    write_result(run.run_dir, result.to_json())
    # Behind the end: it reads all of the journal, and who is killed meanwhile has a run that ended.
    report_at_end(run.run_dir, result, display, partial(keep_report, record))
    is_shipped = record.drain()
    if not is_shipped:
        display.note(f"not all is recorded at {run.server.shown}: {record.why_unsent}")
        display.note("what is left is sent by `distrain sync`, or by the next command that trains")
    if ending.version is None:  # the server came back during this last wait
        ending = replace(ending, version=record.version)
    run_id = record.shipper.run_id
    result = train_result(run, ending, step=step, run_id=run_id, is_shipped=is_shipped)
    write_result(run.run_dir, result.to_json())
    return replace(result, page=page_text(run, record))


def keep_report(record: RunRecord, report: Path) -> None:
    """Record the report of a run or search, and have it kept where that is kept."""
    keep_files(report.parent)
    record.journal.artifact(report, REPORT_ARTIFACTS)
    record.journal.sync()  # the end was, before it
