"""The whole of `train` and `tune`, in order, on one page.

get ready: check all that can be checked, start Ray, prepare the data, try the model on two rows
make the run's folder, open its journal, begin to ship it
train on Ray's workers
package the final model, check the goals, register it
drain the journal, write the result

What comes first is `readiness.py`'s; whatever is refused there, nothing has begun. `tune` searches
where `train` trains: see `searching.py`. `resume` does the same in the folder of a run that has
begun, and checks that it is the same run; `resume_search`, of a search. Whoever works in a run's
folder holds its lease.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from distrain import lease
from distrain.config.settings import Settings
from distrain.data.checking import quick_check
from distrain.data.features import Transform
from distrain.display import Display
from distrain.locations import data_of, new_run_folder
from distrain.models.feeding import keys_of
from distrain.predict import PredictResult, plan_prediction, run_prediction
from distrain.predictions_file import check_out
from distrain.readiness import (
    check_storage,
    find_or_prepare,
    make_importable,
    ready,
    ready_to_search,
)
from distrain.report.profile_text import in_source_order
from distrain.results import PrepareResult, TrainResult, TuneResult
from distrain.run_facts import StartedRun, recorded_facts, started_facts
from distrain.run_folder import remove_result
from distrain.running import finish_run
from distrain.search_checks import check_changes, check_search
from distrain.searching import finish_search, ship_search
from distrain.stored_run import StoredRun, check_writable, differing_circumstances, read_stored_run
from distrain.track.model_registry import registry_of
from distrain.track.reachable import check_reachable
from distrain.track.sync import ship_rest
from distrain.track.unsent import losses_at
from distrain.train.beat import LOG_FOLDER
from distrain.workplace import data_session


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
    with (
        new_run_folder(settings) as run_dir,
        ready(settings, run_dir, import_paths, display, is_offline=is_offline) as run,
    ):
        return begin(run, display)


def begin(run: StartedRun, display: Display) -> TrainResult:
    """Make the folder of a run that is ready, and do all of it.

    Raises:
        DistrainError: as `running.finish_run`.
    """
    _make_folder(run)
    with lease.holding(run.run_dir, display.note) as held:
        return finish_run(run.held(held.fence), display)


def tune(
    settings: Settings,
    display: Display,
    import_paths: Sequence[str] = (),
    *,
    is_offline: bool = False,
) -> TuneResult:
    """Search, then evaluate, record and register what won.

    Args:
        settings: what to do, with its defaults resolved and a `tune` section.
        display: what is told meanwhile.
        import_paths: folders to import the user's code from, here and on the workers.
        is_offline: as for `train`.

    Raises:
        DistrainError: as `train`; once the search has begun, a failure is told in the result.
        KeyboardInterrupt: interrupted; what ran has saved its state.
    """
    with (
        new_run_folder(settings) as run_dir,
        ready_to_search(settings, run_dir, import_paths, display, is_offline=is_offline) as (
            run,
            places,
        ),
    ):
        _make_folder(run)
        with lease.holding(run_dir, display.note) as held:
            return finish_search(run.held(held.fence), places, display)


def _make_folder(run: StartedRun) -> None:
    (run.run_dir / LOG_FOLDER).mkdir(parents=True)
    started_facts(run).save(run.run_dir)


def resume_search(
    run_dir: Path,
    overrides: Sequence[str],
    display: Display,
    import_paths: Sequence[str] = (),
    *,
    is_offline: bool = False,
) -> TuneResult:
    """Go on with a search from its event log, then evaluate, record and register what won.

    No trial that has ended runs again. Of a search that is done, the result is returned.

    Args:
        run_dir: the sweep's folder.
        overrides: `section.key=value`, of what does not change what was decided, such as
            `tune.max_concurrent=4`; and `tune.num_trials`, for more of them, or for fewer, down to
            those that have begun.
        display: what is told meanwhile.
        import_paths: folders to import the user's code from, beside those of the start.
        is_offline: as for `train`.

    Raises:
        DistrainError: as `resume`.
        KeyboardInterrupt: interrupted; what ran has saved its state.
    """
    stored = _stored_search(run_dir, overrides)
    if not stored.is_finished_search:
        check_writable(run_dir)
        with lease.holding(run_dir, display.note) as held:
            # Once more: whoever held the lease may have come to the end.
            stored = _stored_search(run_dir, overrides)
            if not stored.is_finished_search:
                folders, started = _import_paths(stored, import_paths), stored.started
                with ready_to_search(
                    stored.settings, run_dir, folders, display, started, is_offline=is_offline
                ) as (run, places):
                    taken_up = _taken_up(stored, run, held.fence, display)
                    return finish_search(taken_up, places, display)
    result = stored.sweep_result
    assert result is not None
    if result.tracking == "pending" and not is_offline:
        display.stage("shipping what the search recorded")
        result = ship_search(run_dir, display.note) or result
    display.note("the search is finished: nothing is left to do")
    return result


def _stored_search(run_dir: Path, overrides: Sequence[str]) -> StoredRun:
    stored = read_stored_run(run_dir, overrides)
    check_search(stored.settings)
    check_changes(stored.settings, stored.changed, run_dir)
    return stored


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
                told = ship_rest(run_dir, held.fence)
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


def prepare(
    settings: Settings, display: Display, import_paths: Sequence[str] = ()
) -> PrepareResult:
    """Prepare the data, or find it prepared, and tell what a model will get.

    Args:
        settings: what to do, with its defaults resolved.
        display: what is told meanwhile.
        import_paths: folders to import the user's code from.

    Raises:
        DistrainError: as `train`.
    """
    make_importable(import_paths, settings)
    check_storage(settings)
    quick_check(data_of(settings))
    prepared = find_or_prepare(settings, display)
    manifest, transform = prepared.dataset.manifest, prepared.dataset.transform
    kind = "logits" if transform.task == "classification" else "values"
    outputs = f"{kind} (rows, {transform.num_outputs})"
    if not transform.num_outputs:
        outputs = "what train.step makes of a batch as it comes"
    return PrepareResult(
        dataset_digest=prepared.dataset.digest,
        rows=prepared.rows,
        findings=tuple(prepared.findings),
        reused=prepared.reused,
        path=prepared.dataset.path,
        columns=manifest["columns"],
        outputs=outputs,
        keys=_keys(transform),
        profile={
            name: {**entry, "kind": "target"} if name in transform.targets else entry
            for name, entry in in_source_order(manifest).items()
        },
    )


def _keys(transform: Transform) -> dict[str, Any]:
    """Return the names that a model can ask for, with type and shape of a row each."""
    columns = transform.column_widths
    if columns is None:
        assert transform.inputs is not None, "where there are no columns, there is a Dataset"
        return dict(transform.inputs["fields"])
    return {
        name: {
            "dtype": "float32",
            "shape": list(transform.input_shape if width is None else [width]),
        }
        for name, (_, width) in keys_of(columns).items()
    }


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
    check_out(out)  # seconds before it is needed
    display.stage("loading the model")
    server = registry_of(model, storage)
    if model.startswith("models:"):
        check_reachable(server)
    plan = plan_prediction(model, data, out, server=server, storage=storage)
    for note in plan.rows.notes:
        display.note(note)
    with data_session(address, display):
        display.stage("predicting")
        result = run_prediction(plan)
    for finding in result.unlike_training:
        display.note(f"column {finding.column!r}: {finding.message}")
    return result


def _go_on(
    stored: StoredRun,
    fence: int,
    import_paths: Sequence[str],
    display: Display,
    *,
    is_offline: bool,
) -> TrainResult:
    started, run_dir = stored.started, stored.run_dir
    for loss in losses_at(run_dir):
        display.note(loss)
    folders = _import_paths(stored, import_paths)
    with ready(stored.settings, run_dir, folders, display, started, is_offline=is_offline) as run:
        return finish_run(_taken_up(stored, run, fence, display), display)


def _import_paths(stored: StoredRun, given: Sequence[str]) -> list[str]:
    return list(dict.fromkeys([*stored.started.import_paths, *given]))


def _taken_up(stored: StoredRun, run: StartedRun, fence: int, display: Display) -> StartedRun:
    """Tell what is not as it was, take back the result, and return the run with its changes."""
    for text in differing_circumstances(stored.started, recorded_facts(run).tags):
        display.note(text)
    for key, change in stored.changed.items():
        display.note(f"{key}: {change}")
    remove_result(stored.run_dir)
    return replace(run.held(fence), changed=stored.changed)
