"""A run's checkpoints at the store: each below its writer's generation, its manifest last.

    <run>/checkpoints/<generation>/step-<k>/<file>        never written over by another
    <run>/checkpoints/<generation>/step-<k>/manifest.json  it is there once this is
    <run>/checkpoints/<generation>/damaged/<generation of it>/step-<k>  that one is passed over

What lies in this host's folder is a copy: where it is missing or damaged, it is fetched.
"""

import re
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import Final

from distrain.foreign import remove_tree
from distrain.object_store.bucket import Bucket
from distrain.object_store.generations import CHECKPOINTS, Generation, counted
from distrain.object_store.link import Link

MANIFEST: Final = "manifest.json"
_DAMAGED: Final = re.compile(r"checkpoints/[\d-]+/damaged/([\d-]+/step-\d+)")
_STEP: Final = re.compile(r"(checkpoints/[\d-]+/step-(\d+))/(.+)")


def put_checkpoint(
    link: Link, folder: Path, manifest: bytes, check_still_ours: Callable[[], None]
) -> None:
    """Put a checkpoint whose files are written; return when the store has all of it.

    Args:
        link: of the run.
        folder: `step-<k>` on this host, without its manifest.
        manifest: what that is to be.
        check_still_ours: asked before the manifest is put; raises where another drives the run.

    Raises:
        OSError: the store does not take it now.
    """
    to = f"{CHECKPOINTS}{link.writer}/{folder.name}"
    for path in sorted(folder.iterdir()):
        if not path.name.startswith("."):
            link.run.put_file(f"{to}/{path.name}", path)
    check_still_ours()
    link.run.put(f"{to}/{MANIFEST}", manifest)


def kept_steps(link: Link) -> list[int]:
    """Return the steps of the checkpoints that the store has, whole or not, the newest first.

    Raises:
        OSError: the store cannot tell now.
    """
    return sorted(_newest(link), reverse=True)


def fetch_checkpoint(link: Link, step: int, folder: Path) -> bool:
    """Fetch what the store has of a checkpoint, in the place of what is on this host.

    Args:
        link: of the run.
        step: whose checkpoint.
        folder: `step-<k>` on this host.

    Returns:
        Whether the store has one, whole or not; False: nothing was changed.

    Raises:
        OSError: the store cannot give it now, or the disk takes nothing.
    """
    at = _newest(link).get(step)
    if at is None:  # removed meanwhile, by another who goes on
        return False
    with suppress(FileNotFoundError):
        remove_tree(folder)
    folder.mkdir(parents=True)
    for entry in link.run.entries(f"{at}/"):
        name = entry.name.rpartition("/")[2]
        if name != MANIFEST:
            link.run.get_file(entry.name, folder / name)
    # Also where an object is missing: that it is torn is then told, as of one on a disk.
    link.run.get_file(f"{at}/{MANIFEST}", folder / MANIFEST)
    return True


def set_aside(link: Link, step: int) -> None:
    """Let a checkpoint that was found damaged count no more; what is there of it stays.

    Raises:
        OSError: the store does not take it now.
    """
    at = _newest(link).get(step)
    if at is not None:
        # Below this writer's own name: below the other's it would count for nothing.
        link.run.put(f"{CHECKPOINTS}{link.writer}/damaged/{at.removeprefix(CHECKPOINTS)}", b"")


def keep_checkpoints(link: Link, kept: Collection[int]) -> None:
    """Remove all checkpoints before the newest but those of some steps.

    Whoever calls has made sure, after it committed the newest, that the run is still its own: so
    what is removed is not what another goes on from.

    Args:
        link: of the run.
        kept: the steps, of `kept_steps`; none: nothing is removed.

    Raises:
        OSError: the store does not take it now.
    """
    newest = max(kept, default=-1)
    entries = counted(link.run, CHECKPOINTS, link.seal)
    found = [name for name in (_STEP.fullmatch(entry.name) for entry in entries) if name]
    doomed = [name for name in found if int(name[2]) not in kept and int(name[2]) < newest]
    # Without its manifest it is no longer there, however far the rest comes.
    link.run.remove(name[0] for name in doomed if name[3] == MANIFEST)
    link.run.remove(name[0] for name in doomed if name[3] != MANIFEST)


def copy_checkpoint(link: Link, step: int, to: Bucket, generation: Generation) -> bool:
    """Copy a checkpoint to another run, within the store, its manifest last.

    Args:
        link: of the run that has it.
        step: its.
        to: the other run's objects.
        generation: who writes there.

    Returns:
        Whether it was there to be copied.

    Raises:
        OSError: the store does not take it now.
    """
    at = _newest(link).get(step)
    if at is None:
        return False
    names = [entry.name.rpartition("/")[2] for entry in link.run.entries(f"{at}/")]
    for name in sorted(names, key=lambda name: (name == MANIFEST, name)):
        to.copy(f"{CHECKPOINTS}{generation}/step-{step}/{name}", link.place.below(f"{at}/{name}"))
    return True


def _newest(link: Link) -> dict[int, str]:
    """Return where the newest checkpoint of each step lies that is not known to be damaged."""
    names = [entry.name for entry in counted(link.run, CHECKPOINTS, link.seal)]
    found = [name for name in map(_STEP.fullmatch, names) if name and name[3] == MANIFEST]
    told = {CHECKPOINTS + name[1] for name in map(_DAMAGED.fullmatch, names) if name}
    whole = [name for name in found if name[1] not in told]
    # Sorted by name, so that of one step the newest generation comes last.
    return {int(name[2]): name[1] for name in whole}
