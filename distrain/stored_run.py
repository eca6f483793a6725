"""A run that goes on: what its folder says of it, and what a command line may change.

Beside `config.yaml`, a run keeps in `started.json` what else it was started with: where the user's
modules lie, what the data was, which parameters the model has, and where all that came from. In: a
run's folder and overrides. Out: the settings to go on with, or what speaks against it.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, final

from distrain.config.changes import changed_keys, with_counterparts
from distrain.config.digest import LENGTH
from distrain.config.faults import dotted
from distrain.config.load import load_settings
from distrain.config.settings import Settings
from distrain.data.same import KnownData
from distrain.durable import write_atomically
from distrain.errors import ConfigError, ModelError
from distrain.foreign import read_json
from distrain.locations import storage_of, store_at
from distrain.object_store.link import link_of, shown
from distrain.object_store.place import Place, remote_text
from distrain.results import TrainResult, TuneResult
from distrain.resumed import STORAGE_WORD, named_storages
from distrain.run_folder import CONFIG, JOURNAL, RESULT, STARTED, why_unwritable
from distrain.track.journal_reading import DRIVER, recorded_kinds
from distrain.track.origin import MODEL_ARGS_TAG

LENGTHS: Final = (*map(dotted, LENGTH), "train.max_time_s")
_RECORDED_AT: Final = ("track.uri", "track.register.")
_SHOWN_PARAMETERS: Final = 4
_TOLD_TAGS: Final[Mapping[str, str]] = {
    "distrain.code.sha256": "the code, distrain's or your own,",
    "distrain.env": "the environment",
    "distrain.cpu": "the machine",
}
_DIGEST_LENGTH: Final = 64


@final
@dataclass(frozen=True)
class Started:
    """What a run was started with, beside its configuration.

    Attributes:
        import_paths: folders that the user's code is imported from.
        dataset_digest: of the prepared dataset.
        files: the source files with their hashes, as the dataset's manifest lists them.
        shapes: name and shape of each entry of the model's state dict.
        tags: code, environment and machine, see `lineage.run_tags`.
        reproduces: the key of the run that it makes again; None: it is one of its own.
        is_sweep: whether it is a search.
        won: the search whose winner it is, and the trial's number; None: it is of no search.
    """

    import_paths: Sequence[str]
    dataset_digest: str
    files: Sequence[Mapping[str, Any]]
    shapes: Mapping[str, Sequence[int]]
    tags: Mapping[str, str]
    reproduces: str | None = None
    is_sweep: bool = False
    won: Sequence[Any] | None = None

    @property
    def data(self) -> KnownData:
        """Return what the data has to be."""
        return KnownData(self.dataset_digest, self.files)

    def save(self, run_dir: Path) -> None:
        """Write it into the run's folder, whole or not at all."""
        text = json.dumps(asdict(self), indent=1) + "\n"
        write_atomically(run_dir / STARTED, text.encode())

    @classmethod
    def load(cls, run_dir: Path) -> "Started":
        """Return what `save` wrote.

        Raises:
            ConfigError: it is not there, or not whole.
        """
        try:
            started = cls(**read_json(run_dir / STARTED))
            if not all(_is_sound(started)):
                raise ValueError("it has other fields")
        except (OSError, ValueError, TypeError) as fault:
            raise ConfigError(
                f"what the run was started with cannot be read ({fault})",
                where=str(run_dir / STARTED),
                expected="the file that `distrain train` wrote",
                mend="Start a new run: distrain train " + str(run_dir / CONFIG),
            ) from fault
        return started


def _is_sound(started: Started) -> Iterator[bool]:
    """Yield whether each field is of a kind that `save` writes."""
    folders, shapes = started.import_paths, started.shapes
    yield isinstance(folders, list) and all(isinstance(folder, str) for folder in folders)
    yield isinstance(started.files, list) and all(isinstance(one, dict) for one in started.files)
    yield isinstance(shapes, dict) and all(isinstance(shape, list) for shape in shapes.values())
    yield isinstance(started.tags, dict)
    yield isinstance(started.dataset_digest, str)


@final
@dataclass(frozen=True)
class StoredRun:
    """A run as its folder tells it, and what it shall do from now on.

    Attributes:
        run_dir: its folder.
        settings: what to do, overrides included.
        changed: dotted key to `old -> new`, of what the overrides change.
        started: what it was started with.
        result: how it ended; None where it did not, or was killed, or is a search.
        sweep_result: how a search ended.
    """

    run_dir: Path
    settings: Settings
    changed: Mapping[str, str]
    started: Started
    result: TrainResult | None
    sweep_result: TuneResult | None = None

    @property
    def is_done(self) -> bool:
        """Return whether nothing is left to do: trained to the end, recorded and registered."""
        return self.result is not None and self.result.is_done and not self._asks_for_more

    @property
    def is_finished_search(self) -> bool:
        """Return whether it is a search that has come to its end, and nothing of it changes."""
        result = self.sweep_result
        return result is not None and result.status == "finished" and not self.changed

    @property
    def is_left_to_ship(self) -> bool:
        """Return whether all that is left to do is to ship what the journal holds."""
        if self.result is None or self._asks_for_more:
            return False
        is_trained = self.result.status in ("finished", "stopped_early")
        return (
            is_trained
            and self.result.tracking == "pending"
            and "model" in recorded_kinds(self.run_dir / JOURNAL, DRIVER)
        )

    @property
    def _asks_for_more(self) -> bool:
        return any(key in LENGTHS or key.startswith(_RECORDED_AT) for key in self.changed)


def read_stored_run(run_dir: Path, overrides: Sequence[str]) -> StoredRun:
    """Return a run as its folder tells it, with overrides.

    Args:
        run_dir: its folder, `<storage>/<name>/<run>`; the storage may have been moved meanwhile.
        overrides: `section.key=value`.

    Raises:
        ConfigError: its configuration cannot be read, or an override cannot be made in a run that
            has begun.
    """
    stored = load_settings([run_dir / CONFIG])
    moved = []
    storage = _storage_of(run_dir)
    if all(_is_same(folder, storage) for folder in named_storages(overrides)):
        overrides = [word for word in overrides if not word.startswith(STORAGE_WORD)]
    if (store_at(stored) or storage_of(stored)) != storage:
        named = storage.uri if isinstance(storage, Place) else str(storage)
        moved = [f"storage={json.dumps(named)}"]
        stored = load_settings([run_dir / CONFIG], moved)
    wanted = load_settings([run_dir / CONFIG], [*moved, *with_counterparts(overrides)])
    changed = changed_keys(stored, wanted)
    started = Started.load(run_dir)
    if started.is_sweep:
        return StoredRun(run_dir, wanted, changed, started, None, read_sweep_result(run_dir))
    return StoredRun(run_dir, wanted, changed, started, read_result(run_dir))


def _storage_of(run_dir: Path) -> Path | Place:
    """Return what a run is kept below now."""
    link = link_of(run_dir)
    return run_dir.parent.parent if link is None else link.storage


def _is_same(named: Path, storage: Path | Place) -> bool:
    if isinstance(storage, Path):
        return named.resolve() == storage.resolve()
    uri = remote_text(named)
    return uri is not None and Place.parse(uri) == storage


def check_writable(run_dir: Path) -> None:
    """Return where files can be made in a run's folder.

    Raises:
        ConfigError: they cannot.
    """
    reason = why_unwritable(run_dir)
    if reason is not None:
        raise ConfigError(
            reason,
            where=str(run_dir),
            expected="a run's folder that this user can write",
            mend="Go on as the user who started the run, or copy its storage folder",
        )


def check_model(started: Started, shapes: Mapping[str, Sequence[int]]) -> None:
    """Return where the model of now has the parameters that the run was started with.

    Args:
        started: what it was started with.
        shapes: name and shape of each entry of the model's state dict of now.

    Raises:
        ModelError: it has others; they are named.
    """
    before = {name: list(shape) for name, shape in started.shapes.items()}
    after = {name: list(shape) for name, shape in shapes.items()}
    told = [
        *(
            f"{name} {before[name]} became {after[name]}"
            for name in before
            if name in after and before[name] != after[name]
        ),
        *(f"{name} {before[name]} is gone" for name in before if name not in after),
        *(f"{name} {after[name]} is new" for name in after if name not in before),
    ]
    if not told:
        return
    more = len(told) - _SHOWN_PARAMETERS
    raise ModelError(
        "the model is not what the run was started with: "
        + ", ".join(told[:_SHOWN_PARAMETERS])
        + (f" and {more} more" if more > 0 else ""),
        where="model",
        expected="the same names and shapes",
        mend="Go back to that architecture, or start a new run with `distrain train`",
    )


def check_args(started: Started, filled_in: str | None) -> None:
    """Return where the variables in `model.args` are what the run was started with.

    Args:
        started: what it was started with; an earlier version has kept nothing of them.
        filled_in: digest of `model.args` with its variables of now.

    Raises:
        ConfigError: they are others.
    """
    if started.tags.get(MODEL_ARGS_TAG, filled_in) != filled_in:
        raise ConfigError(
            "with the variables of this environment it is not what the run was started with",
            where="model.args",
            expected="the values of then, of which a hash alone is kept",
            mend="Set the variables as they were, or start a new run with `distrain train`",
        )


def differing_circumstances(started: Started, tags: Mapping[str, str]) -> list[str]:
    """Return what is not as it was when the run was started, each in a line for a person.

    Mended code is a reason to go on, so none of it is refused; but bits are promised for like code,
    versions and machines alone.

    Args:
        started: what it was started with.
        tags: code, environment and machine of now.
    """
    return [
        f"{what} is not what the run was started with{_change(started.tags[tag], tags[tag])}"
        for tag, what in _TOLD_TAGS.items()
        if started.tags[tag] != tags[tag]
    ]


def _change(before: str, after: str) -> str:
    """Return in words which parts of a tag changed; digests say nothing to a person."""
    if len(after) == _DIGEST_LENGTH:
        return ""
    old, new = before.split(", "), after.split(", ")
    gone, come = ([p for p in old if p not in new], [p for p in new if p not in old])
    return f": {', '.join(gone)} became {', '.join(come)}"


def read_result(run_dir: Path) -> TrainResult | None:
    """Return how a training run ended; None where it did not, or was killed."""
    try:
        fields = read_json(run_dir / RESULT)
        return TrainResult.from_json({**fields, "run_dir": shown(run_dir)})
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return None


def read_sweep_result(run_dir: Path) -> TuneResult | None:
    """Return how a search ended; None where it did not, or was killed."""
    try:
        fields = read_json(run_dir / RESULT)
        return TuneResult.from_json({**fields, "run_dir": shown(run_dir)})
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return None


def is_sweep(run_dir: Path) -> bool:
    """Return whether a folder is of a search.

    Raises:
        ConfigError: what it was started with cannot be read.
    """
    return Started.load(run_dir).is_sweep
