"""A registered model claimed, so that of two who want to change the same of it one goes first.

A registry has no lock and no compare-and-set, but tags of the registered model: each writes a claim
of its own and then looks for those of others. Of two, the one that came second sees the first, or
both see each other; whose claim is greater gives up, the other waits until it is alone. Claims of
different kinds do not see each other: moves of aliases, looks at test rows. (What is
written before one looks is seen by whoever writes later: Lamport 1974.)

A claim whose process is dead counts no more: at once where that was on the host of whoever looks,
else after `CLAIM_S` seconds by their clock, so clocks must agree by about half of that. The next
who is alone removes it.
"""

import contextlib
import functools
import json
import os
import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from distrain.process import Process

if TYPE_CHECKING:
    from mlflow import MlflowClient

CLAIM: Final = "distrain.claim."
CLAIM_S: Final = 60.0
PAUSE_S: Final = 0.1
_alone_in_process = threading.Lock()


@contextlib.contextmanager
def alone(client: "MlflowClient", name: str, kind: str = CLAIM) -> Iterator[bool]:
    """Claim a registered model, wait for who goes first, and give whether nobody else claims it.

    Args:
        client: of the registry.
        name: the registered model; it must be there.
        kind: how the tags of such claims begin.
    """
    own = kind + _token(os.getpid())
    with _alone_in_process:
        client.set_registered_model_tag(name, own, claim_text())
        try:
            deadline = time.monotonic() + CLAIM_S / 4
            while (others := _claims(client, name, kind) - {own}) and max(others) > own:
                if time.monotonic() > deadline:
                    break
                time.sleep(PAUSE_S)
            if not others:
                _remove_lapsed(client, name, kind)
            yield not others
        finally:
            client.delete_registered_model_tag(name, own)


def claim_text() -> str:
    """Return what a claim says: when it was made, and by which process."""
    return json.dumps({"at": round(time.time(), 3), "process": asdict(Process.current())})


@functools.cache
def _token(pid: int) -> str:
    """Return what a process's claims are called, so that one whose answer was lost is its own.

    Args:
        pid: of this process; a forked one has another name than its parent.
    """
    del pid
    return secrets.token_hex(8)


def _claims(client: "MlflowClient", name: str, kind: str) -> set[str]:
    return {tag for tag, text in _texts(client, name, kind).items() if not _has_lapsed(text)}


def _remove_lapsed(client: "MlflowClient", name: str, kind: str) -> None:
    for tag, text in _texts(client, name, kind).items():
        if _has_lapsed(text):
            client.delete_registered_model_tag(name, tag)


def _texts(client: "MlflowClient", name: str, kind: str) -> dict[str, str]:
    tags: Mapping[str, str] = client.get_registered_model(name).tags
    return {tag: text for tag, text in tags.items() if tag.startswith(kind)}


def _has_lapsed(text: str) -> bool:
    try:
        claim = json.loads(text)
        is_old: bool = claim["at"] <= time.time() - CLAIM_S
        return is_old or Process(**claim["process"]).is_dead
    except (ValueError, KeyError, TypeError):
        # What nobody can read, nobody could ever wait for.
        return True
