"""The run of the same experiment before a run, and what differs between the two."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

import distrain.differences as differing
from distrain.config.source_lines import read_tree
from distrain.differences import Difference
from distrain.errors import ConfigError, DistrainError
from distrain.foreign import read_json
from distrain.run_folder import CONFIG
from distrain.stored_run import Started
from distrain.track import lineage_folder
from distrain.track.runs import result_of

_NO_DIFFERENCE: Final = ("storage", "name")
"""Keys that say where a run is kept, and not what it is."""

logger = logging.getLogger(__name__)


@final
@dataclass(frozen=True)
class Previous:
    """An earlier run, and what differs.

    Attributes:
        run: its name.
        status: how it ended; empty: it told no end.
        metrics: its final metrics.
        differences: from it to the run that is reported, the configuration first.
    """

    run: str
    status: str
    metrics: Mapping[str, float]
    differences: tuple[Difference, ...]


def find_previous(run_dir: Path) -> Previous | None:
    """Return the training run of the same experiment that began last before a run.

    Searches, their winners and runs that were made again are passed over.

    Args:
        run_dir: the run's folder.

    Returns:
        None where there is none, or what it was made from cannot be read.
    """
    earlier = sorted(
        (path for path in run_dir.parent.iterdir() if path.name < run_dir.name),
        key=lambda path: path.name,
        reverse=True,
    )
    found = next((path for path in earlier if _is_like(path)), None)
    if found is None:
        return None
    try:
        differences = _differences(found, run_dir)
    except (DistrainError, OSError, ValueError, KeyError, TypeError) as fault:
        logger.warning("what differs from %s cannot be told: %s", found, fault)
        return None
    result = result_of(found)
    metrics = result.get("metrics")
    numbers = metrics.items() if isinstance(metrics, dict) else ()
    return Previous(
        run=found.name,
        status=str(result.get("status") or ""),
        metrics={name: float(value) for name, value in numbers if isinstance(value, int | float)},
        differences=differences,
    )


def _is_like(run_dir: Path) -> bool:
    if not (run_dir / CONFIG).is_file():
        return False
    try:
        started = Started.load(run_dir)
    except ConfigError:
        return False
    return not started.is_sweep and started.reproduces is None and started.won is None


def _differences(was: Path, now: Path) -> tuple[Difference, ...]:
    before, after = (path / lineage_folder.FOLDER for path in (was, now))
    machines = [_read(folder, lineage_folder.MACHINE) for folder in (before, after)]
    libraries = [
        {"python": str(machine.get("python")), **lineage_folder.read_lock(folder)}
        for folder, machine in zip((before, after), machines, strict=True)
    ]
    codes = [_read(folder, lineage_folder.CODE) for folder in (before, after)]
    data = [_read(folder, lineage_folder.DATA) for folder in (before, after)]
    found = [
        *differing.of_configuration(_values(before), _values(after)),
        *differing.of_libraries(*libraries),
        *differing.of_machine(*machines),
        *_of_code(*codes),
        *differing.of_sources(
            data[0].get("sources", []),
            [(str(file["uri"]), [str(file["sha256"])]) for file in data[1].get("sources", [])],
        ),
        *differing.of_prepared(*data),
    ]
    return differing.in_order(found)


def _of_code(was: Mapping[str, Any], now: Mapping[str, Any]) -> Sequence[Difference]:
    commits = ({"git commit": str((side.get("git") or {}).get("commit"))} for side in (was, now))
    return [
        *differing.between("code", *commits),
        *differing.of_files("distrain", was["distrain"]["files"], now["distrain"]["files"]),
        *differing.of_files("your own code", was["user"]["files"], now["user"]["files"]),
    ]


def _values(folder: Path) -> dict[str, Any]:
    path = folder / lineage_folder.CONFIG
    values = read_tree(path, str(path), 0)[0].values
    return {name: value for name, value in values.items() if name not in _NO_DIFFERENCE}


def _read(folder: Path, name: str) -> dict[str, Any]:
    found = read_json(folder / name)
    if not isinstance(found, dict):
        raise ValueError(f"{folder / name} holds {json.dumps(found)[:40]}")
    return found
