"""A registered version as a candidate once more, when it shall be promoted by hand.

Its files come from the registry: what that would hand out is what has to be better. What its data
was, what it has to be better by and whether it met its goals stands in its run's folder.
"""

import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from distrain.config.targets import user_targets
from distrain.contest import Candidate
from distrain.data.prepare import find_prepared
from distrain.errors import ConfigError, DistrainError, ModelError, first_line
from distrain.evaluate.goals import GoalOutcome
from distrain.locations import cache_of, data_of
from distrain.object_store.place import remote_text
from distrain.run_folder import CONFIG, RESULT, STARTED
from distrain.stored_run import StoredRun, read_stored_run
from distrain.track.model_versions import RegisteredVersion, download_model
from distrain.track.origin import DATA_TAG, RUN_TAG, WEIGHTS_TAG
from distrain.track.packaged import find_packaged, held_weights_sha256
from distrain.track.runs import opened_run
from distrain.track.sending import KEY_TAG
from distrain.track.tracking_server import TrackingServer

_READ: Final = (CONFIG, STARTED, RESULT)


@contextmanager
def registered_candidate(
    version: RegisteredVersion, tags: Mapping[str, str], server: TrackingServer, storage: Path
) -> Iterator[Candidate]:
    """Give a registered version as a candidate; its files are there for the `with` block.

    Side effects: folders that its run imported the user's code from are importable from now on.

    Args:
        version: the version.
        tags: of the version.
        server: the registry.
        storage: where its run lies.

    Raises:
        ConfigError: the run is not there, its data is no longer prepared, it went on since, or the
            version's files are not what it was.
        TrackingError: the version's files cannot be had.
    """
    if KEY_TAG not in tags:
        raise _unjudged(version, storage, "it was not made by distrain")
    try:
        with opened_run(tags.get(RUN_TAG, version.uri), storage, _READ) as run_dir:
            stored = read_stored_run(run_dir, [])
            result: dict[str, Any] = json.loads((run_dir / RESULT).read_text(encoding="utf-8"))
        data = data_of(stored.settings)
        _make_importable(stored)
        dataset = find_prepared(data, cache=cache_of(stored.settings))
        goals = tuple(GoalOutcome.from_json(name, g) for name, g in result["goals"].items())
    except (DistrainError, OSError, ValueError, KeyError) as fault:
        raise _unjudged(version, storage, first_line(fault)) from fault
    if dataset is None or dataset.digest != tags.get(DATA_TAG):
        raise _unjudged(version, storage, "its data is no longer prepared, or has changed")
    if result["weights_sha256"] != tags.get(WEIGHTS_TAG):
        raise _unjudged(version, storage, "its run went on since, so its goals are not known")
    with tempfile.TemporaryDirectory(prefix="distrain-candidate-") as temporary:
        packaged = find_packaged(download_model(server, version, Path(temporary)))
        if packaged is None:
            raise _unjudged(version, storage, "its files are not those of a distrain model")
        try:
            is_tagged = held_weights_sha256(packaged) == tags[WEIGHTS_TAG]
        except ModelError as fault:
            raise _unjudged(version, storage, first_line(fault)) from fault
        if not is_tagged:
            raise _unjudged(version, storage, "its files hold other weights than its tags name")
        yield Candidate(
            name=version.name,
            key=tags[KEY_TAG],
            packaged=packaged,
            settings=stored.settings,
            data=data,
            dataset=dataset,
            goals=goals,
        )


def _make_importable(stored: StoredRun) -> None:
    """Let what a run names of the user's own code be found where it was, after all else."""
    if user_targets(stored.settings):
        sys.path += [path for path in stored.started.import_paths if path not in sys.path]


def _unjudged(version: RegisteredVersion, storage: Path, why: str) -> ConfigError:
    return ConfigError(
        f"{version.uri} cannot be compared with what has the alias: {why}",
        where=f"--storage {remote_text(storage) or storage}",
        expected="the folder of the version's run, with its data as it was",
        mend="Name the storage that it was trained in, or move the alias by --force REASON",
    )
