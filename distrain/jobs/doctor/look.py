"""Facts that this process finds out by itself: its machine, places, ports, runs, local Ray."""

import os
import secrets
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from distrain import lease
from distrain.config.environment import expand_env
from distrain.config.names import is_remote
from distrain.config.settings import Settings
from distrain.errors import ConfigError
from distrain.jobs.doctor import node_probe
from distrain.jobs.doctor.facts import HERE, NodeFacts, Place, plain_reason
from distrain.locations import cache_of
from distrain.object_store.place import remote_text
from distrain.ray_token import MODE, TOKEN, find_token
from distrain.redaction import without_password
from distrain.run_folder import temporary_folder, why_unwritable
from distrain.track.runs import result_of, run_dirs
from distrain.track.ui import check_port
from distrain.track.unsent import is_unshipped

MARK: Final = ".distrain-doctor-"
CLOCKS_APART_S: Final = 60.0
"""A lease that was not renewed for so long has lapsed, by whichever clock."""


@final
@dataclass(frozen=True)
class LeftRun:
    """A run that nobody drives.

    Attributes:
        name: `<name>/<run>`.
        is_unfinished: whether it came to no end.
        is_pending: whether its journal holds what MLflow was not sent.
    """

    name: str
    is_unfinished: bool
    is_pending: bool


def look_here(folders: Mapping[str, str]) -> NodeFacts:
    """Return the facts of this machine; a local Ray finds all of its GPUs.

    Args:
        folders: as `disk_folders` gives them.
    """
    told = node_probe.machine_facts({"temporary": ray_folder(), **folders}, 0.0)
    return NodeFacts.of_plain("this machine", {**told, "declared_gpus": told["num_devices"]})


def disk_folders(settings: Settings | None, storage: Path) -> dict[str, str]:
    """Return the folders whose disks need room on every machine, by what they are for.

    Args:
        settings: the configuration; None: there is none.
        storage: the option's folder.
    """
    place = places_of(settings, storage_text(settings, storage))["storage"]
    return {} if is_remote(place) else {"storage": place}


def ray_folder() -> str:
    """Return the folder below which a local Ray keeps its files."""
    return os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()


def places_of(settings: Settings | None, storage: str) -> dict[str, str]:
    """Return absolute paths and URIs that runs keep something in, by configuration key.

    Args:
        settings: the configuration; None: there is none.
        storage: the storage's path or URI.
    """
    place = storage if is_remote(storage) else str(Path(storage).expanduser().absolute())
    places = {"storage": place}
    if settings is not None and settings.data.cache.path is not None:
        cache = cache_of(settings)
        if isinstance(cache, str) or not cache.is_relative_to(place):
            places["data.cache.path"] = str(cache)
    return places


def storage_text(settings: Settings | None, storage: Path) -> str:
    """Return the storage as it was named, variables filled in.

    Args:
        settings: the configuration, which names it; None: there is none.
        storage: the option's folder, which does where there is no configuration.
    """
    if settings is None:
        return remote_text(storage) or str(storage)
    return expand_env(settings.storage)


@contextmanager
def marked(key: str, location: str) -> Iterator[tuple[Place, str, dict[str, str]]]:
    """Write a file at a place, for the length of a `with` block, for others to read.

    Gives what was found out, the place that others may write in, and name and text of the file.

    Args:
        key: the configuration key that names the place.
        location: an absolute path, or a URI.
    """
    text, stem = secrets.token_hex(8), f"{MARK}{secrets.token_hex(6)}"
    shown = without_password(location)
    if is_remote(location):
        error = node_probe.put_mark(location, f"{stem}-{HERE}", text)
        if error is None and node_probe.missed_marks(location, {f"{stem}-{HERE}": text}):
            error = "what was written there is not read again"
        reason = None if error is None else plain_reason(error)
        place = Place(key, shown, True, reason, has_account(location))
        try:
            yield place, location, {f"{stem}-{HERE}": text}
        finally:
            if error is None:
                node_probe.remove_mark(location, f"{stem}-{HERE}")
        return
    reason = why_unwritable(Path(location))
    if reason is not None:
        yield Place(key, shown, error=reason), location, {}
        return
    with temporary_folder(Path(location), "distrain-doctor") as folder:
        error = node_probe.put_mark(str(folder), f"{stem}-{HERE}", text)
        reason = None if error is None else plain_reason(error)
        yield Place(key, shown, error=reason), str(folder), {f"{stem}-{HERE}": text}


def has_account(uri: str) -> bool:
    """Return whether this process has credentials for object storage, from where they are kept."""
    if "@" in uri.partition("://")[2].partition("/")[0] or "anonymous=true" in uri.lower():
        return True
    named = (
        "AWS_ACCESS_KEY_ID",
        "AWS_PROFILE",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "GOOGLE_APPLICATION_CREDENTIALS",
    )
    if any(os.environ.get(name) for name in named):
        return True
    file = os.environ.get("AWS_SHARED_CREDENTIALS_FILE")
    return (Path(file) if file else Path.home() / ".aws" / "credentials").is_file()


def look_at_runs(storage: str) -> list[LeftRun]:
    """Return the runs below a storage folder that nobody drives and that are not done with."""
    folder = Path(storage)
    found = []
    for run_dir in sorted(run_dirs(folder)) if folder.is_dir() else ():
        if not _is_left(run_dir):
            continue
        run = LeftRun(
            f"{run_dir.parent.name}/{run_dir.name}",
            is_unfinished=result_of(run_dir).get("status") in (None, "interrupted"),
            is_pending=is_unshipped(run_dir),
        )
        if run.is_unfinished or run.is_pending:
            found.append(run)
    return found


def _is_left(run_dir: Path) -> bool:
    """Return whether nobody drives a run, or its lease has lapsed long ago."""
    if lease.is_free(run_dir):
        return True
    holder = lease.read_holder(run_dir)
    if holder is None or holder.renewed_at is None:
        return False
    return holder.renewed_at + lease.LAPSE_S + CLOCKS_APART_S < time.time()


def why_taken(port: int) -> str | None:
    """Return why a TCP port of 127.0.0.1 cannot be used, None where it can."""
    try:
        check_port(port)
    except ConfigError as error:
        return error.message
    return None


@contextmanager
def token_of_its_own() -> Iterator[None]:
    """Let a local Ray that is started in a `with` block make no token file.

    Ray writes one into the user's home, readable by all, where there is none (2.60.0).
    """
    mode = os.environ.get(MODE)
    if find_token() is not None:
        yield
        return
    os.environ[TOKEN] = secrets.token_hex(16)
    try:
        yield
    finally:
        del os.environ[TOKEN]
        if mode is None:  # which Ray has set
            os.environ.pop(MODE, None)
