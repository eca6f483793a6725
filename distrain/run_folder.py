"""A run's folder: its name, whether it can be made, and the files that a command leaves in it."""

import contextlib
import json
import os
import secrets
import tempfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from distrain.durable import write_atomically
from distrain.errors import ConfigError
from distrain.object_store.files import put_files, put_result, take_back_result
from distrain.object_store.link import link_of
from distrain.plain_json import finite

PREPARED = "prepared"
UPLOADED = "uploaded"
GIVEN = "given"
DATABASE = "mlflow.db"
ARTIFACTS = "mlartifacts"
# The database's lock, and the files that SQLite keeps beside it.
_DATABASE_FILES = tuple(DATABASE + end for end in ("", ".lock", "-journal", "-wal", "-shm"))
# `mlruns` is made by an older MLflow, or by its command line, where nothing else is said.
RESERVED_RUN_NAMES = (PREPARED, UPLOADED, GIVEN, ARTIFACTS, "mlruns", *_DATABASE_FILES)
"""What stands beside the runs' folders below `storage`, so that no run may be called so."""

RESULT = "result.json"
CONFIG = "config.yaml"
STARTED = "started.json"
JOURNAL = "journal"
REPORT = "report.html"
REPORT_ARTIFACTS = "report"
"""The folder of MLflow's artifacts that the report is sent to."""


def check_folder(folder: Path, *, key: str) -> None:
    """Return where the folder exists and can be written, or could be made; makes nothing.

    Args:
        folder: absolute.
        key: the configuration key that it comes from.

    Raises:
        ConfigError: it is no folder, or cannot be written or made.
    """
    reason = why_unwritable(folder)
    if reason is not None:
        raise ConfigError(
            reason,
            where=f"{key} = {folder}",
            expected="a folder that this user can write, or can make",
            mend=f"Name another folder: {key}=PATH",
        )


def why_unwritable(folder: Path) -> str | None:
    """Return why no file can be written below a folder that may have to be made, None if it can.

    Args:
        folder: absolute.
    """
    nearest = folder
    while not os.path.lexists(nearest):  # a link to nothing is in the way, too
        nearest = nearest.parent
    if not nearest.is_dir():
        return f"{nearest} is not a folder"
    if not os.access(nearest, os.W_OK | os.X_OK) or os.statvfs(nearest).f_flag & os.ST_RDONLY:
        return f"{nearest} cannot be written"
    return None if _takes_a_file(nearest) else f"{nearest} takes no new file"


@contextlib.contextmanager
def temporary_folder(parent: Path, purpose: str) -> Iterator[Path]:
    """Give a new folder below another, and remove it afterwards with all that is in it.

    The other is made where it is not there, and removed again unless something else lies in it.

    Args:
        parent: absolute.
        purpose: what its name begins with, behind a dot: it is no run's.
    """
    missing = [folder for folder in (parent, *parent.parents) if not folder.exists()]
    parent.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(
            prefix=f".{purpose}-", dir=parent, ignore_cleanup_errors=True
        ) as made:
            yield Path(made)
    finally:
        with contextlib.suppress(OSError):  # the first that is not empty ends it
            for folder in missing:
                folder.rmdir()


def new_run_dir(storage: Path, name: str) -> Path:
    """Return `<storage>/<name>/<UTC start time>-<random suffix>`, absolute; makes nothing."""
    return storage.absolute() / name / new_run_name()


def new_run_name() -> str:
    """Return `<UTC start time>-<random suffix>`."""
    started = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    return f"{started}-{secrets.token_hex(3)}"


def write_result(run_dir: Path, fields: Mapping[str, Any]) -> None:
    """Write `result.json`, whole or not at all; where a store keeps the run, after all else."""
    text = json.dumps(finite(fields), indent=2, allow_nan=False) + "\n"
    write_atomically(run_dir / RESULT, text.encode())
    link = link_of(run_dir)
    if link is not None:
        link.patiently(lambda: put_result(link))


def keep_files(run_dir: Path) -> None:
    """Have what lies in the folder, but for state that has ways of its own, kept in the store.

    Where the folder itself is where the run is kept, nothing is done.

    Raises:
        OSError: the store does not take it.
    """
    link = link_of(run_dir)
    if link is not None:
        link.patiently(lambda: put_files(link))


def remove_result(run_dir: Path) -> None:
    """Take `result.json` back: the run goes on."""
    link = link_of(run_dir)
    if link is not None:
        link.patiently(lambda: take_back_result(link))
    (run_dir / RESULT).unlink(missing_ok=True)


def _takes_a_file(folder: Path) -> bool:
    """Return whether a file can be made: root passes every permission check on some folders."""
    probe = folder / f".distrain-{secrets.token_hex(4)}"
    try:
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError:
        return False
    return True
