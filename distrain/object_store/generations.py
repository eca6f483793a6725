"""Which objects of a run count: those of the driver that holds it, and what it has taken over.

An object store can neither rename, nor append, nor lock. So each driver of a run, and each of its
attempts, writes below a name of its own, its generation, `<fence>-<attempt>` (attempt 0: the driver
itself), and nothing is ever written over by another:

    <run>/lease/<fence>                              who drives the run: see `claims.py`
    <run>/begun/<generation>.json                    what counted when it began
    <run>/checkpoints/<generation>/step-<k>/...      manifest.json last
    <run>/journal/<generation>/<segment>/<piece>     whole lines
    <run>/ledger/<generation>/step-...parquet
    <run>/files/<generation>/<path>                  all else of the run's folder; result.json last
    <run>/live/<generation>/...                      what hosts tell one another meanwhile

A driver that was taken for dead may thaw and write on. What it writes then counts for nothing: when
a generation begins, it writes down which objects of earlier ones count, once, after its number was
claimed. Whoever writes looks for a newer number after it has written, and before it removes
anything that was there before: so what was removed is not among what a later one relies on.
"""

import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Self, final

from distrain.object_store.bucket import Bucket, Entry

BEGUN: Final = "begun/"
CHECKPOINTS: Final = "checkpoints/"
JOURNAL: Final = "journal/"
LEDGER: Final = "ledger/"
FILES: Final = "files/"
LIVE: Final = "live/"
# What counts of these is written down, in this order: what a checkpoint relies on was there first.
SEALED: Final = (CHECKPOINTS, LEDGER, JOURNAL)
_NAME: Final = re.compile(r"(\d{6,})-(\d{3,})")


@final
@dataclass(frozen=True, order=True)
class Generation:
    """Who writes: a driver, or the workers of one of its attempts; a later one is greater.

    Attributes:
        fence: the driver's fencing number.
        attempt: which of its attempts, from 1; 0: the driver itself.
    """

    fence: int
    attempt: int = 0

    @classmethod
    def of(cls, name: str) -> Self | None:
        """Return the generation of an object's name, below the run's; None: it is of none."""
        parts = name.split("/")
        found = _NAME.fullmatch(parts[1].removesuffix(".json")) if len(parts) > 1 else None
        return cls(int(found[1]), int(found[2])) if found else None

    def __str__(self) -> str:
        return f"{self.fence:06d}-{self.attempt:03d}"


@final
@dataclass(frozen=True)
class Seal:
    """What counted when a generation began.

    Attributes:
        generation: which.
        names: of the objects of earlier generations that count.
    """

    generation: Generation
    names: Collection[str]

    def counts(self, name: str) -> bool:
        """Return whether an object counts; what lies in no generation does not.

        A driver writes beside its workers, in every attempt.
        """
        own, of = self.generation, Generation.of(name)
        if of is None:
            return False
        is_driver_of_now = of.attempt == 0 and of.fence == own.fence
        return of >= own or is_driver_of_now or name in self.names


NOTHING_SEALED: Final = Seal(Generation(0), ())


def read_seal(run: Bucket) -> Seal:
    """Return the newest seal of a run.

    Raises:
        OSError: the store cannot tell now.
    """
    found = [(Generation.of(entry.name), entry.name) for entry in run.entries(BEGUN)]
    known = [(generation, name) for generation, name in found if generation is not None]
    if not known:
        return NOTHING_SEALED
    return seal_of(run, max(known)[0])


def seal_of(run: Bucket, generation: Generation) -> Seal:
    """Return the seal of a generation.

    Raises:
        OSError: it is not there, or the store cannot tell now.
    """
    names = json.loads(run.get(f"{BEGUN}{generation}.json"))["counted"]
    return Seal(generation, frozenset(names))


def seal(run: Bucket, generation: Generation) -> Seal:
    """Write down what counts, when a generation begins whose number was claimed.

    Raises:
        OSError: the store does not take it now.
    """
    before = read_seal(run)
    names = [entry.name for kind in SEALED for entry in counted(run, kind, before)]
    text = json.dumps({"counted": names}).encode()
    run.put(f"{BEGUN}{generation}.json", text)
    return Seal(generation, frozenset(names))


def counted(run: Bucket, kind: str, by: Seal) -> list[Entry]:
    """Return the objects of a kind that count, sorted by name.

    Raises:
        OSError: the store cannot tell now.
    """
    return [entry for entry in run.entries(kind) if by.counts(entry.name)]
