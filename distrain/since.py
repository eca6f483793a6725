"""What has changed since the run before, in the same experiment: told by what both left of lineage.

In: a run's folder. Out: the run that began before it, and what differs, named one by one.
"""

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

import distrain.differences as differing
from distrain.config.source_lines import read_tree
from distrain.differences import Difference
from distrain.errors import DistrainError
from distrain.run_folder import STARTED
from distrain.stored_run import Started
from distrain.track import lineage_folder

_FILES: Final = (
    lineage_folder.CONFIG,
    lineage_folder.DATA,
    lineage_folder.CODE,
    lineage_folder.LOCK,
    lineage_folder.MACHINE,
)
_NOT_COUNTED: Final = ("name", "storage", "track", "cluster")

logger = logging.getLogger(__name__)


@final
@dataclass(frozen=True)
class Since:
    """What has changed.

    Attributes:
        run: the run before, by its name.
        differences: in order; none: nothing has.
    """

    run: str
    differences: tuple[Difference, ...]


def since_last_run(run_dir: Path) -> Since | None:
    """Return what has changed since the run that began before; None: there is none to compare with.

    What a search's winner became, and what was made again, is no run of its own here. Where lineage
    cannot be read, as of a run of an earlier version, the one before counts.

    Args:
        run_dir: of the run, which has left its own lineage.
    """
    folder = lineage_folder.FOLDER
    if not _is_whole(run_dir / folder):
        return None
    earlier = (path for path in run_dir.parent.iterdir() if path.name < run_dir.name)
    for before in sorted(earlier, key=lambda path: path.name, reverse=True):
        if not run_dir.name.startswith(before.name) and _is_own(before):
            try:
                found = _between(before / folder, run_dir / folder)
            except (OSError, ValueError, KeyError, TypeError) as fault:
                # Another version of distrain may have left other fields; the run itself is done.
                logger.warning("what changed since run %s is not known: %r", before.name, fault)
                return None
            return Since(before.name, differing.in_order(found))
    return None


def _is_own(run_dir: Path) -> bool:
    """Return whether a run is one of its own, and tells where it comes from."""
    if not (run_dir / STARTED).is_file() or not _is_whole(run_dir / lineage_folder.FOLDER):
        return False
    try:
        started = Started.load(run_dir)
    except DistrainError:
        return False
    return started.won is None and started.reproduces is None


def _is_whole(lineage: Path) -> bool:
    return all((lineage / name).is_file() for name in _FILES)


def _between(was: Path, now: Path) -> list[Difference]:
    config_was, config = (_config(folder) for folder in (was, now))
    if not (config_was.get("tune") and config.get("tune")):  # else a run differs by all of it
        config_was.pop("tune", None)
        config.pop("tune", None)
    data_was, data = (_read(folder, lineage_folder.DATA) for folder in (was, now))
    code_was, code = (_read(folder, lineage_folder.CODE) for folder in (was, now))
    machines = (_read(folder, lineage_folder.MACHINE) for folder in (was, now))
    return [
        *differing.of_configuration(config_was, config),
        *differing.of_libraries(lineage_folder.read_lock(was), lineage_folder.read_lock(now)),
        *differing.of_machine(*machines),
        *_of_code(code_was, code),
        *differing.of_sources(
            data_was["sources"], [(file["uri"], [file["sha256"]]) for file in data["sources"]]
        ),
        *differing.of_prepared(data_was, data),
    ]


def _of_code(was: Any, now: Any) -> list[Difference]:
    """Return what differs of the code; of distrain's own no single file is named."""
    sides = [{"distrain": side["distrain"]["sha256"], **_commit(side)} for side in (was, now)]
    users = [side["user"]["files"] for side in (was, now)]
    return [
        *differing.between("code", *sides),
        *differing.of_files("your own code", *users, is_decisive=True),
    ]


def _commit(code: Any) -> dict[str, str]:
    git = code["git"]
    if git is None:
        return {}
    dirty = " with uncommitted changes" if git["is_dirty"] else ""
    return {"commit": f"{git['commit']}{dirty}"}


def _config(folder: Path) -> dict[str, Any]:
    path = folder / lineage_folder.CONFIG
    values: Any = read_tree(path, str(path), 0)[0].values
    return {name: value for name, value in values.items() if name not in _NOT_COUNTED}


def _read(folder: Path, name: str) -> Any:
    return json.loads((folder / name).read_text(encoding="utf-8"))
