"""`distrain reproduce`: a run made again from its lineage, and compared to the last bit.

    find what was recorded: in the run's folder, or where only MLflow is at hand there
    of a registered model, look whether its files hold the weights that were recorded
    name what differs of configuration, libraries, machine, code       (see `provenance.py`)
    name the source files that differ
    prepare the data, or find it prepared; name what differs, shard by shard
    compare the order of rows
    another configuration, other data, other registered weights, an altered copy of the code:
        another run, so the answer is known, and nothing is trained
    train again, as a run of its own that registers nothing
    compare every recorded value, step by step, and the final weights

Other libraries and machines may give the same bits, so they are told, and the run is made again all
the same. Where bits are not promised they are not compared.
"""

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal, final

import distrain.differences as differing
from distrain.config.settings import Settings
from distrain.config.targets import user_targets
from distrain.data.content import damaged_shards
from distrain.data.prepare import prepare as prepare_data
from distrain.differences import Difference, first_decisive
from distrain.display import Display
from distrain.durable import write_atomically
from distrain.errors import EXIT_GOALS_UNMET, ConfigError, DataError
from distrain.locations import data_of, new_run_folder, storage_of, store_at
from distrain.object_store.bucket import temporary_place
from distrain.object_store.place import remote_text
from distrain.pipeline import begin
from distrain.plain_json import finite
from distrain.provenance import (
    of_records,
    of_registered,
    of_rows,
    of_source_files,
    of_surroundings,
    own_folders,
    read_kept,
    settings_of,
)
from distrain.readiness import check_sight, ready
from distrain.results import TrainResult
from distrain.run_facts import StartedRun, filled_in_args
from distrain.run_folder import JOURNAL, keep_files, temporary_folder, why_unwritable
from distrain.track import lineage_folder
from distrain.track.lineage import environment_facts, machine
from distrain.track.lineage_folder import data_facts
from distrain.track.model_registry import registry_of
from distrain.track.origin import MODEL_ARGS_TAG, ORDER_TAG
from distrain.track.outcome import OUTCOME
from distrain.track.reachable import check_reachable
from distrain.track.recorded import RecordedRun, found_recorded, note_reproduced, values_of
from distrain.track.tracking_server import TrackingServer
from distrain.train.node_usage import gpu_names
from distrain.train.replay import comparable
from distrain.workplace import data_session, planned_placement

RESULT: Final = "reproduction.json"
EXIT_DIFFERENT: Final = EXIT_GOALS_UNMET
Status = Literal["equal", "different", "not_promised"]


@final
@dataclass(frozen=True)
class ReproduceResult:
    """What came of making a run again.

    Attributes:
        status: `equal` to the last bit, `different`, or `not_promised`: bits were not promised, and
            nothing else differs that would make it another run.
        run: the key of the run that was made again.
        differences: whatever is not as it was, in order; also what made no difference to the bits.
        recorded_sha256: fingerprint of the recorded weights.
        rebuilt_sha256: of those made again; None: there are none.
        run_dir: folder of the run that was made; None: none was.
        steps_compared: steps whose recorded values are the same.
        why: why bits are not promised; empty: they are.
        uri: where an object store keeps the run that was made; None: its folder is where it is.
    """

    status: Status
    run: str
    differences: tuple[Difference, ...]
    recorded_sha256: str | None
    rebuilt_sha256: str | None = None
    run_dir: Path | None = None
    steps_compared: int = 0
    why: str = ""
    uri: str | None = None

    @property
    def folder(self) -> str | None:
        """Return where the run that was made is found again; None: none was."""
        return self.uri or (None if self.run_dir is None else str(self.run_dir))

    @property
    def first(self) -> Difference | None:
        """Return the first difference that makes it another run, else the first; None: none."""
        return first_decisive(self.differences) or next(iter(self.differences), None)

    @property
    def exit_code(self) -> int:
        """Return the command's exit code."""
        return EXIT_DIFFERENT if self.status == "different" else 0

    def to_json(self) -> dict[str, Any]:
        """Return the object of `--json`."""
        return {
            "status": self.status,
            "run": self.run,
            "differences": [difference.to_json() for difference in self.differences],
            "weights_sha256": {"recorded": self.recorded_sha256, "rebuilt": self.rebuilt_sha256},
            "run_dir": self.folder,
            "steps_compared": self.steps_compared,
            "why": self.why or None,
        }


def reproduce(
    model: str,
    overrides: Sequence[str],
    *,
    storage: Path,
    display: Display,
    is_offline: bool = False,
) -> ReproduceResult:
    """Make the run of a model again, and compare.

    Args:
        model: `models:/name@alias`, `models:/name/3`, or a run's folder, name, URI or id at MLflow.
        overrides: `section.key=value`, for what changes no bits, and where data lies now.
        storage: the folder that runs are kept in.
        display: what is told meanwhile.
        is_offline: whether the run that is made is recorded in its journal alone; a registered
            model is looked for at its server all the same.

    Raises:
        DistrainError: the input is at fault, what was named cannot be reached, or training failed.
    """
    display.stage("looking for what was recorded")
    server = registry_of(model, storage)
    if model.startswith("models:"):
        check_reachable(server)
    with (
        _temporary(storage, "lineage") as temporary,
        found_recorded(model, server=server, storage=storage, folder=temporary) as recorded,
    ):
        if recorded.weights_sha256 is None:
            raise ConfigError(
                "the run has no final weights to compare with",
                where=recorded.key,
                expected="a run that was trained to its end",
                mend=f"Go on with it first: distrain resume {recorded.key.rpartition('/')[2]}",
            )
        altered = of_registered(recorded, server, temporary)
        for difference in altered:
            display.note(difference.text)
        if altered:
            return _not_made(recorded, altered)
        result = _reproduced(recorded, overrides, storage, display, is_offline=is_offline)
    version = recorded.version if result.status == "equal" else None
    if version and not note_reproduced(server, version, None, _kept_text(result)):
        display.note(f"{version.uri} could not be tagged: {server.shown} took no tag")
    return result


def _reproduced(
    recorded: RecordedRun,
    overrides: Sequence[str],
    storage: Path,
    display: Display,
    *,
    is_offline: bool = False,
) -> ReproduceResult:
    found = of_records(recorded)
    is_another = first_decisive(found) is not None
    # Of a configuration that is not the run's own, nothing is done.
    stored, settings = (None, None) if is_another else settings_of(recorded, overrides, storage)
    found += of_surroundings(recorded, _machine(settings), own_folders(recorded))
    for difference in found:
        display.note(difference.text)
    if stored is None or settings is None:
        return _not_made(recorded, found)
    display.stage("reading the source files")
    data_was = read_kept(recorded, lineage_folder.DATA)
    changed = of_source_files(data_of(settings), data_was["sources"])
    if changed:
        return _not_made(recorded, [*found, *changed, *_of_changed(data_was, settings, display)])
    if first_decisive(found) is not None:
        return _not_made(recorded, found)
    code = [str(recorded.lineage / lineage_folder.USER_CODE)]
    _tell_code(settings, display)
    with (
        new_run_folder(settings) as run_dir,
        ready(settings, run_dir, code, display, is_offline=is_offline) as run,
    ):
        found += _of_run(recorded, data_was, run)
        given_up_by = run.job.bits_given_up_by
        if first_decisive(found) is not None:
            return _not_made(recorded, found)
        if given_up_by is not None:
            return replace(
                _not_made(recorded, found),
                status="not_promised",
                why=f"{given_up_by}: the same bits are not promised; the order of rows is the same",
            )
        made = begin(replace(run, reproduces=recorded.run_id or recorded.key), display)
        result = _compared(recorded, (stored, settings), made, found)
        _keep(result, made, run.server)
    return result


def _tell_code(settings: Settings, display: Display) -> None:
    for key, target in user_targets(settings):
        display.note(f"code of the run's own is run, as it was kept with it: {target} ({key})")


def _temporary(storage: Path, purpose: str) -> AbstractContextManager[Path]:
    """Return a folder that is removed afterwards, and that the workers of all hosts see."""
    if remote_text(storage) is None and why_unwritable(storage.absolute()) is None:
        return temporary_folder(storage.absolute(), purpose)
    # Nothing can be made there, so what is fetched is looked at by this process alone.
    return temporary_folder(Path(tempfile.gettempdir()), purpose)


@contextmanager
def _temporary_cache(settings: Settings) -> Iterator[Path | str]:
    """Give a place for prepared data that is removed afterwards, and that all hosts see."""
    place = store_at(settings)
    if place is None:
        with _temporary(storage_of(settings), "changed") as folder:
            yield folder
    else:
        with temporary_place(place, "changed") as below:
            yield below.uri


def _machine(settings: Settings | None) -> dict[str, Any]:
    """Return what the run would be made on; without settings, on whatever is here."""
    names = gpu_names()
    has_gpu = bool(names) if settings is None else planned_placement(settings).gpu > 0
    return machine("cuda" if has_gpu else "cpu", names if has_gpu else [])


def _of_changed(
    data_was: Mapping[str, Any], settings: Settings, display: Display
) -> list[Difference]:
    """Return what changed files make of the prepared data; it is prepared to be looked at alone."""
    with (
        _temporary_cache(settings) as cache,
        data_session(settings.cluster.address, display),
    ):
        check_sight(settings)
        display.stage("preparing the changed data, to name what differs")
        try:
            prepared = prepare_data(data_of(settings), cache=cache)
        except DataError as fault:
            return [Difference("data", "preparing it", "possible", str(fault), is_decisive=True)]
        found = differing.of_prepared(data_was, data_facts(prepared.dataset.manifest))
        return [*of_rows(data_was["digest"], settings, prepared.dataset), *found]


def _of_run(
    recorded: RecordedRun, data_was: Mapping[str, Any], run: StartedRun
) -> list[Difference]:
    """Return what differs of the prepared data, its order, and the variables of `model.args`."""
    dataset = run.prepared.dataset
    found = differing.of_prepared(data_was, data_facts(dataset.manifest))
    found += [
        Difference("data", f"prepared shard {shard.file}", shard.sha256, "damaged", True)
        for shard in damaged_shards(dataset)
    ]
    order = recorded.tags.get(ORDER_TAG, run.preflight.plan_digest)
    if order != run.preflight.plan_digest:
        now = run.preflight.plan_digest
        found.append(Difference("order", "order of rows", order, now, is_decisive=True))
    filled_in = filled_in_args(run.settings)
    was = recorded.tags.get(MODEL_ARGS_TAG, filled_in)
    if was != filled_in:
        what = "model.args, its variables filled in"
        found.append(Difference("configuration", what, was, filled_in, is_decisive=True))
    return found


def _not_made(recorded: RecordedRun, found: Sequence[Difference]) -> ReproduceResult:
    return ReproduceResult(
        "different", recorded.key, differing.in_order(found), recorded.weights_sha256
    )


def _compared(
    recorded: RecordedRun,
    settings: tuple[Settings, Settings],
    made: TrainResult,
    found: Sequence[Difference],
) -> ReproduceResult:
    """Compare what was recorded with what came of making it again.

    Raises:
        TrainError: training failed.
        KeyboardInterrupt: it was interrupted.
    """
    if made.error is not None:
        raise made.error
    if made.status == "interrupted":
        raise KeyboardInterrupt
    every = [each.track.every_steps for each in settings]
    was = comparable(
        recorded.values,
        every[0],
        has_other_means=recorded.has_other_means or every[0] != every[1],
    )
    values, num_same = differing.of_values(
        was, values_of(made.run_dir / JOURNAL), recorded.num_steps
    )
    is_by_clock = settings[0].train.max_time_s is not None and "stopped_early" in (
        recorded.tags.get(OUTCOME),
        made.status,
    )
    is_as_long = made.step == recorded.num_steps
    ends = {
        "number of steps": (str(recorded.num_steps), str(made.step)),
        "weights_sha256": (recorded.weights_sha256, made.weights_sha256),
    }
    if is_by_clock and not is_as_long:
        ends = {}
    last = [
        Difference("training", what, was, now) for what, (was, now) in ends.items() if was != now
    ]
    status: Status = "different" if values or last else "equal" if ends else "not_promised"
    return ReproduceResult(
        status,
        recorded.key,
        differing.in_order([*found, *values, *last]),
        recorded.weights_sha256,
        made.weights_sha256,
        made.run_dir,
        num_same,
        "" if ends else "train.max_time_s ended the run, so its length is the clock's",
        made.uri,
    )


def _keep(result: ReproduceResult, made: TrainResult, server: TrackingServer) -> None:
    """Keep what came of it beside the run that was made, and on that run in MLflow."""
    text = json.dumps(finite(result.to_json()), indent=2) + "\n"
    write_atomically(made.run_dir / RESULT, text.encode())
    keep_files(made.run_dir)
    if made.run_id is not None:
        note_reproduced(server, None, made.run_id, _kept_text(result))


def _kept_text(result: ReproduceResult) -> str:
    """Return the result in a line: `equal, 2026-11-21T19:00:00Z, distrain 0.1.0`."""
    if result.first is not None and result.status == "different":
        return f"different, {result.first.text}"
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"{result.status}, {now}, distrain {environment_facts().get('distrain')}"
