"""A run's ledger at the store: each worker's part, there before the checkpoint that it belongs to.

<run>/ledger/<generation>/step-<8 digits>-rank-<rank>.parquet
"""

import re
from pathlib import Path
from typing import Final

from distrain.object_store.bucket import Bucket
from distrain.object_store.generations import LEDGER, Generation, counted
from distrain.object_store.link import Link

_PART: Final = re.compile(r"ledger/[\d-]+/step-(\d+)-rank-\d+\.parquet")


def put_part(link: Link, path: Path) -> None:
    """Put a part; return when the store has it.

    Raises:
        OSError: the store does not take it now; it may be there all the same.
    """
    link.run.put_file(f"{LEDGER}{link.writer}/{path.name}", path)


def put_word(link: Link, name: str) -> None:
    """Put an empty object among this attempt's parts, for its rank zero to find.

    Raises:
        OSError: the store does not take it now.
    """
    link.run.put(f"{LEDGER}{link.writer}/{name}", b"")


def remove_part(link: Link, name: str) -> None:
    """Remove what is there of a name among this attempt's parts.

    Raises:
        OSError: the store does not take it now.
    """
    link.run.remove([f"{LEDGER}{link.writer}/{name}"])


def names_of_step(link: Link, step: int) -> set[str]:
    """Return the names of what this attempt's workers have put for a step.

    Raises:
        OSError: the store cannot tell now.
    """
    own = f"{LEDGER}{link.writer}/"
    return {
        entry.name.removeprefix(own)
        for dot in ("", ".")
        for entry in link.run.entries(f"{own}{dot}step-{step:08d}-")
    }


def remove_parts_after(link: Link, step: int) -> None:
    """Remove earlier attempts' parts of steps after one, and whatever of theirs does not count.

    Only what is older than this attempt is removed: if it was taken for lost, what came after it is
    another's.

    Raises:
        OSError: the store does not take it now.
    """
    doomed = []
    for entry in link.run.entries(LEDGER):
        of, part = Generation.of(entry.name), _PART.fullmatch(entry.name)
        if of is None or of >= link.writer:
            continue
        if part is None or int(part[1]) > step or not link.seal.counts(entry.name):
            doomed.append(entry.name)
    link.run.remove(doomed)


def copy_parts(link: Link, to: Bucket, generation: Generation) -> None:
    """Copy the parts that count to another run, within the store; of two of a name, the newer.

    Args:
        link: of the run that has them.
        to: the other run's objects.
        generation: who writes there.

    Raises:
        OSError: the store does not take them now.
    """
    names = [entry.name for entry in counted(link.run, LEDGER, link.seal)]
    newest = {name.rpartition("/")[2]: name for name in names if _PART.fullmatch(name)}
    for part, name in newest.items():
        to.copy(f"{LEDGER}{generation}/{part}", link.place.below(name))


def remove_words(link: Link) -> None:
    """Remove all but parts of what this attempt and earlier ones have put.

    Raises:
        OSError: the store does not take it now.
    """
    names = [entry.name for entry in link.run.entries(LEDGER)]
    ours = [name for name in names if (Generation.of(name) or link.writer) <= link.writer]
    link.run.remove(name for name in ours if not _PART.fullmatch(name))
