"""What is known of a run that was made: from its folder, or from MLflow where that is all there is.

Where both are, the folder's lineage and values are taken, and the tags of the model version, which
nobody who edits the folder reaches.
"""

import math
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, final

from distrain.errors import ConfigError, TrackingError, first_line
from distrain.object_store.link import shown
from distrain.run_folder import CONFIG, JOURNAL
from distrain.track.journal_reading import JournalRecord, metric_values, read_journal
from distrain.track.lineage_folder import FOLDER, lineage_of
from distrain.track.model_versions import RegisteredVersion, find_version, unanswered
from distrain.track.origin import (
    LINEAGE_TAG,
    REPRODUCED_TAG,
    RUN_TAG,
    STEPS_TAG,
    SWEEP_TAG,
    WEIGHTS_TAG,
)
from distrain.track.outcome import VOID
from distrain.track.patient import patient
from distrain.track.runs import opened_run
from distrain.track.tracking_server import TrackingServer, connect, load_mlflow
from distrain.track.watermark import Watermark

if TYPE_CHECKING:
    from mlflow import MlflowClient

Values = dict[tuple[int, str], float]

KINDS: Final = ("train/", "validation/", "test/")
"""What the names of values begin with that are the same when a run is made again."""
_READ_BYTES: Final = 1 << 24
_OTHER_MEANS: Final = re.compile(r"\btrack\.every_steps:")


@final
@dataclass(frozen=True)
class RecordedRun:
    """A run as it was recorded.

    Attributes:
        key: `<experiment>/<run>`.
        run_id: MLflow's; None: not known.
        run_dir: its folder; None: it is not at hand.
        lineage: folder with what `lineage_folder.write_lineage` wrote.
        config_copy: the configuration that lies beside the lineage; None: there is none, or it is
            that of a later attempt.
        tags: of the run, those of the version over them.
        params: its parameters.
        values: what was recorded of training, by step and metric; the first value stands.
        version: the model version that was named; None: a run was.
    """

    key: str
    run_id: str | None
    run_dir: Path | None
    lineage: Path
    config_copy: Path | None
    tags: Mapping[str, str]
    params: Mapping[str, str]
    values: Mapping[tuple[int, str], float]
    version: RegisteredVersion | None = None

    @property
    def weights_sha256(self) -> str | None:
        """Return the fingerprint of its final weights; None: it has none."""
        return self._told(WEIGHTS_TAG)

    @property
    def num_steps(self) -> int:
        """Return the committed optimizer steps that its weights have taken."""
        last = max((step for step, _ in self.values), default=0)
        return int(self._told(STEPS_TAG) or last)

    def _told(self, tag: str) -> str | None:
        """Return what a tag of the end says; None: there is no end, or it was an earlier one."""
        text = self.tags.get(tag)
        return None if text == VOID else text

    @property
    def has_other_means(self) -> bool:
        """Return whether `track.every_steps` was another, in a part of the run or in its search."""
        if SWEEP_TAG in self.tags:
            return True
        changes = (text for name, text in self.tags.items() if name.startswith("distrain.resume."))
        return any(_OTHER_MEANS.search(text) for text in changes)


@contextmanager
def found_recorded(
    model: str, *, server: TrackingServer, storage: Path, folder: Path
) -> Iterator[RecordedRun]:
    """Give the run that a model comes from; what tells of it is there for the `with` block.

    Args:
        model: `models:/name@alias`, `models:/name/3`, or a run's folder, name, URI or id at MLflow.
        server: where a registered model is looked for.
        storage: where a run's folder is looked for.
        folder: takes what is fetched from MLflow.

    Raises:
        ConfigError: there is no such model or run, or it was made without lineage.
        StorageError: the object store that keeps the run does not answer.
        TrackingError: the server does not answer, or has lost what it was sent.
    """
    if model.startswith("models:"):
        yield _registered(model, server, storage, folder)
        return
    with opened_run(model, storage) as run_dir:
        yield of_folder(run_dir, {}, None)


def _registered(model: str, server: TrackingServer, storage: Path, folder: Path) -> RecordedRun:
    version = find_version(server, model)
    client = patient(connect(server))
    from mlflow.exceptions import MlflowException

    try:
        found = client.get_model_version(version.name, version.version)
        run_dir = storage.absolute() / found.tags.get(RUN_TAG, "-")
        if (run_dir / FOLDER).is_dir() and (run_dir / JOURNAL).is_dir():
            return of_folder(run_dir, found.tags, version)
        if not found.run_id or RUN_TAG not in found.tags:
            raise _without_lineage(version.uri, found.tags)
        return _of_server(client, found.run_id, found.tags, version, folder)
    except MlflowException as error:
        raise unanswered(server, error) from error


def of_folder(
    run_dir: Path, tags: Mapping[str, str], version: RegisteredVersion | None
) -> RecordedRun:
    """Return a run as its folder tells it.

    Args:
        run_dir: its folder.
        tags: of the version that it is looked for by.
        version: that version; None: the run itself was named.

    Raises:
        ConfigError: it was made without lineage.
    """
    told = _read(run_dir / JOURNAL)
    all_tags = {**told.tags, **tags}
    lineage = lineage_of(run_dir / FOLDER, all_tags.get(LINEAGE_TAG))
    if lineage is None:
        raise _without_lineage(shown(run_dir), all_tags)
    is_last = lineage == run_dir / FOLDER
    return RecordedRun(
        key=f"{run_dir.parent.name}/{run_dir.name}",
        run_id=Watermark.load(run_dir / JOURNAL).run_id,
        run_dir=run_dir,
        lineage=lineage,
        config_copy=run_dir / CONFIG if is_last else None,
        tags=all_tags,
        params=told.params,
        values=told.values,
        version=version,
    )


def note_reproduced(
    server: TrackingServer, version: RegisteredVersion | None, run_id: str | None, text: str
) -> bool:
    """Tag a version and the run that made it again with what came of that.

    Args:
        server: the tracking store.
        version: that was reproduced; None: a run was named, which is left alone.
        run_id: of the run that made it again; None: it is not there.
        text: such as `equal, 2026-11-21T19:00:00Z, distrain 0.1.0`.

    Returns:
        Whether the server took it.
    """
    load_mlflow()
    from mlflow.exceptions import MlflowException

    try:
        client = patient(connect(server))
        if version is not None:
            client.set_model_version_tag(version.name, version.version, REPRODUCED_TAG, text)
        if run_id is not None:
            client.set_tag(run_id, REPRODUCED_TAG, text)
    except (MlflowException, TrackingError):
        return False
    return True


def values_of(journal: Path) -> Values:
    """Return what a run's journal holds of training, by step and metric.

    Args:
        journal: the journal's folder.
    """
    return _read(journal).values


def _of_server(
    client: "MlflowClient",
    run_id: str,
    tags: Mapping[str, str],
    version: RegisteredVersion,
    folder: Path,
) -> RecordedRun:
    run = client.get_run(run_id)
    names = [name for name in run.data.metrics if name.startswith(KINDS)]
    values = {
        (metric.step, name): _as_recorded(metric.value)
        for name in names
        for metric in client.get_metric_history(run_id, name)
    }
    all_tags = {**run.data.tags, **tags}
    for place in (FOLDER, CONFIG):
        _fetch(client, run_id, place, folder)
    lineage = lineage_of(folder / FOLDER, all_tags.get(LINEAGE_TAG))
    if lineage is None:
        raise _without_lineage(f"{version.uri}, MLflow run {run_id}", all_tags)
    is_last = lineage == folder / FOLDER and (folder / CONFIG).is_file()
    return RecordedRun(
        key=str(tags[RUN_TAG]),
        run_id=run_id,
        run_dir=None,
        lineage=lineage,
        config_copy=folder / CONFIG if is_last else None,
        tags=all_tags,
        params=run.data.params,
        values=values,
        version=version,
    )


def _fetch(client: "MlflowClient", run_id: str, place: str, folder: Path) -> None:
    """Copy an artifact into a folder; nothing where there is none.

    Raises:
        TrackingError: it is there and cannot be had.
    """
    try:
        if place in [file.path for file in client.list_artifacts(run_id)]:
            client.download_artifacts(run_id, place, str(folder))
    except Exception as error:  # told as what it is: artifact stores raise errors of their own
        raise TrackingError(
            f"the artifact {place} cannot be read ({first_line(error)})",
            where=f"MLflow run {run_id}",
            expected="artifacts that are still stored",
            mend="Was their folder moved or removed? Name the run's own folder, if that is there",
        ) from error


@dataclass
class _Told:
    """What a journal holds of a run; of a metric at a step the first value."""

    tags: dict[str, str] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    values: Values = field(default_factory=dict)

    def add(self, record: JournalRecord) -> None:
        """Take in a record."""
        if record.kind == "run":
            self.tags |= record.payload["tags"]
        elif record.kind == "tags":
            if LINEAGE_TAG in record.payload:  # it goes on: an earlier attempt's end is not its own
                self.tags.pop(WEIGHTS_TAG, None)
                self.tags.pop(STEPS_TAG, None)
            self.tags |= record.payload
        elif record.kind == "params":
            self.params |= record.payload
        elif record.kind == "metrics":
            step = int(record.payload["step"])
            for name, value in metric_values(record).items():
                if name.startswith(KINDS):
                    self.values.setdefault((step, name), value)


def _read(journal: Path) -> _Told:
    told = _Told()
    positions: dict[str, int] = {}
    while True:
        records, reached = read_journal(journal, positions, max_bytes=_READ_BYTES)
        for record in records:
            told.add(record)
        if reached == positions:
            return told
        positions = reached


def _as_recorded(value: float) -> float:
    """Return a value as it was recorded: MLflow keeps the greatest float in place of infinity."""
    return math.copysign(math.inf, value) if abs(value) == sys.float_info.max else value


def _without_lineage(where: str, tags: Mapping[str, str]) -> ConfigError:
    if LINEAGE_TAG in tags:
        return ConfigError(
            "what tells what it was made from is gone",
            where=where,
            expected="the folder or artifact lineage/ that was kept with it",
            mend="Was it moved or removed? Put it back, or name the run's own folder",
        )
    return ConfigError(
        "nothing tells what it was made from",
        where=where,
        expected="a run with a folder lineage/, as `distrain train` makes it",
        mend="Train it anew: earlier versions of distrain kept too little",
    )
