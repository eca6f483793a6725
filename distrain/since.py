"""What has changed since the run before, in the same experiment, as `compare` finds differences.

In: a run's folder. Out: the run that began before it, and what differs, named one by one.
"""

import logging
import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

from distrain.compare.sides import Side, side_of
from distrain.compare.what_differs import Differences, what_differs
from distrain.errors import ConfigError, DistrainError
from distrain.object_store.link import link_of
from distrain.run_folder import STARTED
from distrain.stored_run import Started
from distrain.track import lineage_folder

_ANOTHER = "ANOTHER_RUN"

logger = logging.getLogger(__name__)


@final
@dataclass(frozen=True)
class Since:
    """What has changed.

    Attributes:
        before: the run before.
        differences: of the run from that one.
    """

    before: Side
    differences: Differences

    @property
    def run(self) -> str:
        """Return the name of the run before."""
        return self.before.run_dir.name


def since_last_run(run_dir: Path) -> Since | None:
    """Return what has changed since the run that began before; None: there is none to compare with.

    That is the last one of its kind, a search or not; where there is none, of the other kind. What
    a search's winner became, and what was made again, is no run of its own here, and one that left
    no lineage is passed over.

    Args:
        run_dir: of the run, which has left its own lineage.
    """
    before = _before(run_dir) if _has_lineage(run_dir) else None
    if before is None:
        return None
    try:
        sides = [side_of("the run before", before), side_of("this run", run_dir)]
        if sides[0].is_search is not sides[1].is_search:  # else a run differs by all of it
            sides = [_without_search(side) for side in sides]
        return Since(sides[0], what_differs(sides))
    except (DistrainError, OSError, ValueError, KeyError, TypeError, AttributeError) as fault:
        # Another version of distrain may have left other fields; the run itself is done.
        logger.warning("what changed since run %s is not known: %s", before.name, fault)
        return None


def compare_line(run_dir: Path, other: str | None = None) -> str:
    """Return the command that tells what differs between a run and another.

    Args:
        run_dir: the run's folder.
        other: the other's name, or folder; None: one that is still to be named.
    """
    link = link_of(run_dir)
    name, storage = run_dir.name, str(run_dir.parent.parent.absolute())
    if link is not None:
        name, storage = link.place.name, link.storage.uri
    return f"distrain compare {other or _ANOTHER} {name} --storage {shlex.quote(storage)}"


def _before(run_dir: Path) -> Path | None:
    """Return the run that began before, one of another kind only where there is none of its own."""
    own, of_other_kind = _started(run_dir), None
    for path in sorted(run_dir.parent.iterdir(), key=lambda path: path.name, reverse=True):
        if path.name >= run_dir.name or run_dir.name.startswith(path.name):
            continue
        started = _started(path)
        if started is None or started.won is not None or started.reproduces is not None:
            continue
        if not _has_lineage(path):
            continue
        if own is None or started.is_sweep is own.is_sweep:
            return path
        of_other_kind = of_other_kind or path
    return of_other_kind


def _started(run_dir: Path) -> Started | None:
    try:
        return Started.load(run_dir) if (run_dir / STARTED).is_file() else None
    except ConfigError:
        return None


def _has_lineage(run_dir: Path) -> bool:
    return (run_dir / lineage_folder.FOLDER / lineage_folder.INDEX).is_file()


def _without_search(side: Side) -> Side:
    return replace(side, config={key: side.config[key] for key in side.config if key != "tune"})
