"""Who drives a run: one driver at a time, by a lease with a fencing number.

    take: while the holder may be alive, wait; claim the next number; write `<run>/lease.json`
    every 2 s, from a thread: renew it, or find that another has taken over
    before every attempt: let its workers commit, and those of the attempt before no longer
    before every commit, here and on the workers: `check` that the number is still the newest, and
        the attempt the last; before every request to the tracking server: that the number is
    at the end: release it

A lease lapses when it was not renewed for 10 s by the clock of who waits for it, or at once where
its driver was on this host and is dead. What `lease.json` says of the time is no proof: clocks of
two hosts differ, and a host's is put forward, or was asleep with it, while the driver lives. Nor is
silence while storage stood still: the holder could not renew it either, and the wait begins anew.

A number is claimed once, and no claim goes away, so that none is ever given twice. Who holds the
newest number is the driver: one that was frozen and thaws again may overwrite what the lease says,
but not the claims. A node that was taken for lost, and thaws, is fenced out like a driver, by its
attempt. In a trial's folder, which has no `lease.json`, the attempt alone does it.

Claims are files, see `claim_files.py`; of a run that is kept in an object store, they are objects,
see `object_store/claims.py`.

What a number takes is written before it is claimed: on a full disk a claim still works, and would
leave a run that its driver may not drive any more, and nobody else does.
"""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import final

from distrain import claim_files
from distrain.errors import CheckpointError, ConfigError
from distrain.foreign import from_json
from distrain.object_store import claims
from distrain.object_store.link import link_of, shown
from distrain.process import Process

RENEW_S = 2.0
LAPSE_S = 10.0
POLL_S = 0.1

logger = logging.getLogger(__name__)


@final
@dataclass(frozen=True, kw_only=True)
class Holder(Process):
    """What `lease.json` says of the driver of a run: its process, and how far it got.

    Attributes:
        fence: the fencing number; each driver of a run has a greater one than the last.
        renewed_at: when it was last renewed, in seconds since 1970; None: it was released.
        is_shipping: whether it only ships what the run recorded, and is worth waiting for.
    """

    fence: int
    renewed_at: float | None
    is_shipping: bool = False


@final
class Lease:
    """A run that this process drives. Call order: `start`, `close`.

    Args:
        run_dir: the run's folder.
        holder: what was written for this process.
    """

    def __init__(self, run_dir: Path, holder: Holder) -> None:
        self.fence = holder.fence
        self._run_dir = run_dir
        self._holder = holder
        self._is_failing = False
        self._has_ended = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="distrain-lease", daemon=True)

    def start(self) -> None:
        """Begin to renew it."""
        self._thread.start()

    def close(self) -> None:
        """Release it, unless another has taken over."""
        self._has_ended.set()
        self._thread.join()
        self._update(None)

    def _renew(self) -> None:
        while not self._has_ended.wait(RENEW_S):
            self._update(time.time())

    def _update(self, renewed_at: float | None) -> None:
        try:
            if newest_fence(self._run_dir) == self.fence:
                _write(self._run_dir, replace(self._holder, renewed_at=renewed_at))
        except OSError as error:  # a full disk, or one that is away for a while
            if not self._is_failing:
                logger.warning("the lease of %s is not renewed: %s", shown(self._run_dir), error)
            self._is_failing = True
        else:
            self._is_failing = False


@contextmanager
def holding(
    run_dir: Path, on_wait: Callable[[str], None], *, is_shipping: bool = False
) -> Iterator[Lease]:
    """Take a run's lease and renew it for the length of a `with` block.

    Args:
        run_dir: the run's folder; it exists.
        on_wait: told, once, what is being waited for.
        is_shipping: whether all that is done is to ship what the run recorded.

    Raises:
        ConfigError: the run is driven by another process, which lives.
    """
    lease = take(run_dir, on_wait, is_shipping=is_shipping)
    lease.start()
    try:
        yield lease
    finally:
        lease.close()


def take(
    run_dir: Path,
    on_wait: Callable[[str], None] = lambda _: None,
    *,
    is_shipping: bool = False,
) -> Lease:
    """Return the lease of a run, once it is free.

    Args:
        run_dir: the run's folder; it exists.
        on_wait: told, once, what is being waited for.
        is_shipping: as in `holding`.

    Raises:
        ConfigError: the run is driven by another process, which lives.
    """
    while True:
        fence = _wait_until_free(run_dir, on_wait) + 1
        try:
            holder = _claim(run_dir, fence, is_shipping=is_shipping)
        except OSError as error:
            raise ConfigError(
                f"the lease of the run cannot be written ({error})",
                where=shown(run_dir),
                expected="a folder with room for it",
                mend="Make room, or mend the storage, and try again; nothing was changed",
            ) from error
        if holder is not None:
            return Lease(run_dir, holder)


def begin_attempt(run_dir: Path, fence: int | None, attempt: int) -> None:
    """Let the workers of an attempt commit, and those of earlier attempts and drivers no longer.

    Args:
        run_dir: the run's folder.
        fence: the driver's number; None: the run has no driver, and nothing is done.
        attempt: the attempt's.
    """
    if fence is None:
        return
    link = link_of(run_dir)
    if link is not None:
        claims.begin_attempt(link, fence, attempt)
        return
    claim_files.begin_attempt(run_dir, fence, attempt)


def grant(folder: Path, fence: int, attempt: int) -> None:
    """Let the holder of a run's lease drive what lies in a folder of its own, in an attempt.

    Args:
        folder: such as a trial's; made where it is missing.
        fence: the holder's number.
        attempt: which of the holder's attempts at it.
    """
    claim_files.grant(folder, fence, attempt)


def check(run_dir: Path, fence: int | None, attempt: int | None = None) -> None:
    """Return where the holder of a fencing number still drives the run: to be asked before commits.

    Args:
        run_dir: the run's folder.
        fence: the number; None: the run has no driver, and nothing is checked.
        attempt: whose workers ask; None: the driver asks.

    Raises:
        CheckpointError: the run was taken over, or the driver has begun another attempt.
    """
    if is_held(run_dir, fence, attempt):
        return
    newest = newest_fence(run_dir)
    if newest == fence:
        raise CheckpointError(
            "another attempt at the run has begun",
            where=shown(run_dir),
            expected=f"attempt {attempt} to be the last",
            mend="Nothing: these workers were taken for lost, and leave it to the others",
        )
    holder = read_holder(run_dir)
    by = f" by {_text(holder)}" if holder is not None and holder.fence == newest else ""
    raise CheckpointError(
        f"the run was taken over{by}",
        where=shown(run_dir),
        expected=f"the lease with the fencing number {fence}; the newest is {newest}",
        mend="Nothing: this driver leaves it to the other. It was not heard of for "
        f"{LAPSE_S:.0f} s",
    )


def check_patiently(run_dir: Path, fence: int | None) -> None:
    """Do as `check` for a driver that cannot come back to it: a store that is away is waited for.

    Raises:
        CheckpointError: the run was taken over.
        OSError: the storage cannot tell.
    """
    link = link_of(run_dir)
    if link is None:
        check(run_dir, fence)
    else:
        link.patiently(lambda: check(run_dir, fence))


def is_held(run_dir: Path, fence: int | None, attempt: int | None = None) -> bool:
    """Return whether `check` with the same arguments finds nothing."""
    if fence is None:
        return True
    link = link_of(run_dir)
    if link is not None:
        return claims.is_held(link, fence, attempt)
    return newest_fence(run_dir) == fence and (
        attempt is None or claim_files.is_permitted(run_dir, fence, attempt)
    )


def newest_fence(run_dir: Path) -> int:
    """Return the newest fencing number of a run, 0 where there is none."""
    link = link_of(run_dir)
    if link is not None:
        return claims.newest(link.hurried).fence
    claimed, holder = claim_files.newest(run_dir), read_holder(run_dir)
    return max(claimed, holder.fence if holder else 0)


def is_free(run_dir: Path) -> bool:
    """Return whether nobody seems to drive a run, at once; `take` makes sure of it.

    Who can be seen to live drives it, however old the lease looks.
    """
    holder, newest = _look(run_dir)
    if _is_free(holder, newest):
        return True
    if holder is None or holder.fence != newest or holder.renewed_at is None:
        return False
    is_out_of_sight = holder.is_on_this_host and not holder.is_in_sight
    return is_out_of_sight and holder.renewed_at + LAPSE_S < time.time()


def read_holder(run_dir: Path) -> Holder | None:
    """Return what `lease.json` says, None where there is none, or none that can be read."""
    try:
        return Holder(**from_json(_holder_text(run_dir)))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def _holder_text(run_dir: Path) -> bytes:
    link = link_of(run_dir)
    if link is None:
        return claim_files.read(run_dir)
    return claims.read(link.hurried, claims.newest(link.hurried).fence)


def _wait_until_free(run_dir: Path, on_wait: Callable[[str], None]) -> int:
    """Return the newest fencing number when nobody holds it any more."""
    first = holder, newest = _look(run_dir)
    looked_at = time.monotonic()
    deadline = looked_at + LAPSE_S
    is_told = False
    while not _is_free(holder, newest) and looked_at < deadline:
        if not is_told:
            on_wait(_waiting_text(holder))
            is_told = True
        time.sleep(POLL_S)
        holder, newest = seen = _look(run_dir)
        stood_s, looked_at = time.monotonic() - looked_at, time.monotonic()
        if seen != first and not _is_free(holder, newest):
            if holder is None or not holder.is_shipping:
                raise _refusal(run_dir, holder)
            first, deadline = seen, looked_at + LAPSE_S
        elif stood_s > RENEW_S:  # storage stood still, or this process: the holder may have, too
            deadline = looked_at + LAPSE_S
    return newest


def _look(run_dir: Path) -> tuple[Holder | None, int]:
    return read_holder(run_dir), newest_fence(run_dir)


def _is_free(holder: Holder | None, newest: int) -> bool:
    if holder is None or holder.fence != newest:
        # A number without a lease: somebody is taking it at this moment, or died over it.
        return newest == 0
    return holder.renewed_at is None or holder.is_dead


def _refusal(run_dir: Path, holder: Holder | None) -> ConfigError:
    return ConfigError(
        f"the run is driven by {_text(holder)}, which lives",
        where=shown(run_dir),
        expected="a run that nobody drives",
        mend="Wait for its end, or end that process",
    )


def _waiting_text(holder: Holder | None) -> str:
    if holder is not None and holder.is_shipping:
        return f"waiting for {_text(holder)}, which ships what the run recorded"
    return f"waiting, at most {LAPSE_S:.0f} s, for the lease of {_text(holder)} to lapse"


def _text(holder: Holder | None) -> str:
    return f"process {holder.pid} on {holder.host}" if holder else "another process"


def _claim(run_dir: Path, fence: int, *, is_shipping: bool) -> Holder | None:
    """Make a number this process's, and return what was written; None: another was faster."""
    holder = Holder(
        **asdict(Process.current()),
        fence=fence,
        renewed_at=time.time(),
        is_shipping=is_shipping,
    )
    link = link_of(run_dir)
    try:
        if link is None:
            claim_files.claim(run_dir, fence, _text_of(holder))
        else:
            claims.claim(link, fence, _text_of(holder))
    except FileExistsError:
        return None
    return holder


def _write(run_dir: Path, holder: Holder) -> None:
    link = link_of(run_dir)
    if link is not None:
        claims.renew(link, holder.fence, _text_of(holder))
        return
    claim_files.renew(run_dir, _text_of(holder))


def _text_of(holder: Holder) -> bytes:
    return f"{json.dumps(asdict(holder))}\n".encode()
