"""The runs that are compared, as their folders tell them.

In: what the user named. Out: a side for each, all runs or all searches. A run that goes on, or was
killed, or failed, is told by what there is of it.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, final

from distrain.compare.kept import Kept, read_kept
from distrain.config.source_lines import read_tree
from distrain.errors import ConfigError
from distrain.foreign import is_count
from distrain.object_store.link import link_of, shown
from distrain.object_store.place import Place
from distrain.object_store.runs import named_run
from distrain.object_store.work_link import reading_folder
from distrain.past.story import Story, read_outline
from distrain.run_folder import CONFIG, JOURNAL, STARTED
from distrain.track import lineage_folder
from distrain.track.lineage_folder import lineage_of
from distrain.track.origin import LINEAGE_TAG
from distrain.track.runs import UNFINISHED, fields_of, find_run_dir, result_of

LEAST: Final = 2
MOST: Final = 26
"""A column has a letter."""


@final
@dataclass(frozen=True)
class Side:
    """One of the runs, or searches, that are compared.

    Attributes:
        letter: what its column is called.
        run_dir: its folder.
        is_search: whether it is a search.
        config: its configuration as plain nested values; of a run without the section `tune`.
        result: the fields of its result; empty: it has none.
        started: what it was started with, as its folder says.
        kept: what it was made from; None: nothing tells.
        told: what its journal says of commands and attempts.
        model_dir: the folder of the run whose model stands for it: of a search, its winner's.
    """

    letter: str
    run_dir: Path
    is_search: bool
    config: Mapping[str, Any]
    result: Mapping[str, Any]
    started: Mapping[str, Any]
    kept: Kept | None
    told: Story
    model_dir: Path

    @property
    def key(self) -> str:
        """Return `<experiment>/<run>`."""
        return f"{self.run_dir.parent.name}/{self.run_dir.name}"

    @property
    def status(self) -> str:
        """Return how it ended; `unfinished`: it did not, or goes on."""
        return str(self.result.get("status") or UNFINISHED)

    @property
    def metrics(self) -> Mapping[str, float]:
        """Return the final metrics that are numbers; of a search, those of its best trial."""
        found = table_of(self.result.get("metrics")) or table_of(self.best.get("metrics"))
        return {name: value for name, value in found.items() if isinstance(value, int | float)}

    @property
    def best(self) -> Mapping[str, Any]:
        """Return what a search says of its best trial; empty: there is none, or it is a run."""
        return table_of(self.result.get("best"))


def table_of(value: Any) -> Mapping[str, Any]:
    """Return a value of a result that is to be a mapping; an empty one where it is not."""
    return value if isinstance(value, Mapping) else {}


def find_sides(named: Sequence[str], storage: Path, opened: ExitStack) -> list[Side]:
    """Return the runs that were named, in their order.

    Args:
        named: runs' folders, names, URIs or MLflow ids; all of runs, or all of searches.
        storage: the folder that runs are kept in, or its URI.
        opened: keeps what is fetched of runs at a store.

    Raises:
        ConfigError: one is not there or cannot be read, fewer than two were named, or a run stands
            against a search.
        StorageError: the store does not answer.
    """
    places = dict.fromkeys(
        named_run(one, storage) or find_run_dir(one, storage).resolve() for one in named
    )
    _check_number(len(places), len(named))
    folders = [
        opened.enter_context(reading_folder(place)) if isinstance(place, Place) else place
        for place in places
    ]
    sides = [
        _with_winner(side_of(chr(ord("A") + at), folder), opened)
        for at, folder in enumerate(folders)
    ]
    _check_alike(sides)
    return sides


def _check_number(num: int, num_named: int) -> None:
    """Refuse too few runs, and more than there are letters for."""
    if num < LEAST:
        told = "the same run was named twice" if num_named > 1 else f"{num_named} was named"
        raise ConfigError(
            told,
            where="command line",
            expected="at least two runs, or two searches",
            mend="See `distrain runs`, then for example: distrain compare RUN RUN",
        )
    if num > MOST:
        raise ConfigError(
            f"{num} runs were named",
            where="command line",
            expected=f"{MOST} at most, a column each",
            mend="Compare fewer; `distrain runs --sort` puts many in order",
        )


def side_of(letter: str, run_dir: Path) -> Side:
    """Return a run, or a search, as its folder tells it; its model is looked for there.

    Args:
        letter: what its column is called.
        run_dir: its folder.

    Raises:
        ConfigError: its configuration, or what it was made from, cannot be read.
    """
    started, told = fields_of(run_dir / STARTED), read_outline(run_dir / JOURNAL)
    is_search = started.get("is_sweep") is True
    config, faults = read_tree(run_dir / CONFIG, shown(run_dir / CONFIG), 0)
    if faults:
        raise faults[0].as_error()
    # What a search's winner was trained by is its own; the search has a comparison of its own.
    values = {key: value for key, value in config.values.items() if is_search or key != "tune"}
    lineage = lineage_of(run_dir / lineage_folder.FOLDER, told.tags.get(LINEAGE_TAG))
    kept = read_kept(lineage) if lineage is not None else None
    return Side(
        letter, run_dir, is_search, values, result_of(run_dir), started, kept, told, run_dir
    )


def _with_winner(side: Side, opened: ExitStack) -> Side:
    """Return a side with the folder of its winner, if it is a search; that may not be there."""
    trial = side.best.get("trial")
    if not side.is_search or not is_count(trial):
        return side
    name, link = f"{side.run_dir.name}-{trial:04d}", link_of(side.run_dir)
    if link is None:
        return replace(side, model_dir=side.run_dir.with_name(name))
    place = link.place.parent.below(name)
    return replace(side, model_dir=opened.enter_context(reading_folder(place)))


def _check_alike(sides: Sequence[Side]) -> None:
    run = next((side for side in sides if not side.is_search), None)
    search = next((side for side in sides if side.is_search), None)
    if run is None or search is None:
        return
    winner = search.model_dir
    is_named = f"{winner.parent.name}/{winner.name}" in [side.key for side in sides]
    has_winner = (winner / CONFIG).is_file() and not is_named
    mend = f", or take the run of the search's winner: {winner.name}" if has_winner else ""
    raise ConfigError(
        f"{run.key} is a run, and {search.key} a search",
        where="command line",
        expected="runs alone, or searches alone",
        mend=f"Name another search{mend}",
    )
