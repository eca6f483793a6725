"""Who drives a run that is kept in an object store: the lease of `distrain.lease`, as objects.

    <run>/lease/<fence>             made once, where there is none; then only its maker renews it
    <run>/lease/<fence>.<attempt>   an attempt has begun

A listing shows what was written before it, so one tells of both the newest driver and attempt.
"""

import re
from typing import Final

from distrain.object_store.bucket import Bucket
from distrain.object_store.files import take_in_files
from distrain.object_store.generations import Generation, seal
from distrain.object_store.link import Link
from distrain.object_store.pieces import put_rest, take_in, take_in_news

LEASE: Final = "lease/"
_NAME: Final = re.compile(r"lease/(\d{6,})(?:\.(\d+))?")


def newest(run: Bucket) -> Generation:
    """Return the newest driver of a run, and its newest attempt; `0-0` where there was none.

    Raises:
        OSError: the store cannot tell now.
    """
    found = (_NAME.fullmatch(entry.name) for entry in run.entries(LEASE))
    known = [Generation(int(name[1]), int(name[2] or 0)) for name in found if name]
    return max(known, default=Generation(0))


def read(run: Bucket, fence: int) -> bytes:
    """Return what a driver's claim says.

    Raises:
        OSError: there is none, or the store cannot tell now.
    """
    return run.get(_claim(fence))


def claim(link: Link, fence: int, text: bytes) -> None:
    """Make a fencing number this process's, write down what counts, and take that in.

    Args:
        link: of the run.
        fence: the number.
        text: what the claim says, other than any other's.

    Raises:
        FileExistsError: another was faster.
        OSError: the store does not take it now.
    """
    link.hurried.put_new(_claim(fence), text)
    link.generation = Generation(fence)
    link.seal = seal(link.run, link.generation)
    take_in_files(link)
    take_in(link)


def renew(link: Link, fence: int, text: bytes) -> None:
    """Write what a claim says from now on; only who has made it does.

    Raises:
        OSError: the store does not take it now.
    """
    link.hurried.put(_claim(fence), text)


def begin_attempt(link: Link, fence: int, attempt: int) -> None:
    """Let the workers of an attempt write, and those of earlier attempts no longer.

    What earlier ones have left in this host's journal is put first: it is gone on behind it.

    Raises:
        OSError: the store does not take it now.
    """
    link.run.put(f"{_claim(fence)}.{attempt}", b"")
    if link.attempt:
        take_in_news(link)
    put_rest(link)
    seal(link.run, Generation(fence, attempt))
    link.attempt = attempt


def begin_alone(link: Link, *, is_first: bool) -> None:
    """Let an attempt at a trial write, and no earlier one; called by its own rank zero.

    A trial has no driver but its search's, which spares itself these requests.

    Args:
        link: of the trial, with the attempt's generation.
        is_first: whether nobody can have written there before.

    Raises:
        OSError: the store does not take it now.
    """
    own = link.writer
    link.run.put(f"{_claim(own.fence)}.{own.attempt}", b"")
    if not is_first:
        link.seal = seal(link.run, own)


def is_held(link: Link, fence: int, attempt: int | None) -> bool:
    """Return whether a driver is still the newest, and, if it is given, its attempt.

    Raises:
        OSError: the store cannot tell now.
    """
    last = newest(link.hurried)
    return last.fence == fence and attempt in (None, last.attempt)


def _claim(fence: int) -> str:
    return f"{LEASE}{fence:06d}"
