"""Aliases: who holds one, how it moves, and what is kept of every move.

MLflow moves an alias without asking who held it, and remembers nothing. Here a move names the
holder that it takes the place of, and is refused where that is no longer the one. The registered
model keeps each move as a tag `distrain.promotion.<n>`.

Two moves at once are kept apart by tags of the registered model, because a registry has nothing
better: each writes a claim of its own and then looks for those of others. Of two, the one that came
second sees the first, or both see each other; whose claim is greater gives up, the other waits
until it is alone. (What is written before one looks is seen by whoever writes later: Lamport 1974.)
A claim whose process is dead counts for `CLAIM_S` seconds by the clock of whoever looks, so clocks
must agree by about half of that; a mover that was held up for so long gives up.
"""

import contextlib
import functools
import getpass
import json
import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, final

from distrain.errors import DistrainError, TrackingError
from distrain.track.model_versions import unanswered
from distrain.track.tracking_server import TrackingServer

if TYPE_CHECKING:
    from mlflow import MlflowClient

PROMOTION = "distrain.promotion."
CLAIM = "distrain.claim."
TEST_TAG = "distrain.test.sha256"
GATE_TAG = "distrain.gate"
HOLDER_TAG = f"{GATE_TAG}.holder"
NOBODY = "none"
CLAIM_S = 60.0
_PAUSE_S = 0.1
_MAX_VERSIONS = 10_000
_alone_in_process = threading.Lock()


@final
class AliasBusyError(Exception):
    """Another move of the model's aliases is under way, and goes first."""


@final
@dataclass(frozen=True)
class Move:
    """One move of an alias, as the registered model keeps it.

    Attributes:
        alias: what moved.
        from_version: who held it; None: nobody.
        to_version: who holds it now; None: nobody.
        who: the user.
        when: UTC, ISO 8601.
        why: in words.
        evidence: the run that speaks for it, `<name>/<run>`; None: none.
        undoes: number of the move that this one takes back; None: none.
    """

    alias: str
    from_version: str | None
    to_version: str | None
    who: str = ""
    when: str = ""
    why: str = ""
    evidence: str | None = None
    undoes: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return what the tag holds."""
        fields = asdict(self)
        return {"from": fields.pop("from_version"), "to": fields.pop("to_version"), **fields}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "Move":
        """Return the move that `to_json` gave."""
        rest = {name: value for name, value in fields.items() if name not in ("from", "to")}
        return cls(from_version=fields["from"], to_version=fields["to"], **rest)


@contextlib.contextmanager
def telling(server: TrackingServer) -> Iterator[None]:
    """Raise what a registry fails with in the `with` block as a TrackingError."""
    try:
        yield
    except DistrainError:
        raise
    except Exception as error:  # raised in our words: MLflow lets those of requests, SQLAlchemy
        # and the database drivers through.
        raise unanswered(server, error) from error


def holder_of(client: "MlflowClient", name: str, alias: str) -> str | None:
    """Return the version that has an alias, None where there is none, or no such model."""
    from mlflow.exceptions import MlflowException

    try:
        holder = client.get_registered_model(name).aliases.get(alias)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise
    return None if holder is None else str(holder)


def num_uses(client: "MlflowClient", name: str, test_sha256: str, key: str) -> int:
    """Return how many versions of a model were measured on some test rows, with this one.

    Args:
        client: of the registry.
        name: the registered model.
        test_sha256: names the rows, see `run_facts`.
        key: of this version, which may be there already.
    """
    found = client.search_model_versions(
        f"name = '{name}' AND tags.`{TEST_TAG}` = '{test_sha256}'", max_results=_MAX_VERSIONS
    )
    return 1 + sum(version.tags.get("distrain.key") != key for version in found)


def note_verdict(client: "MlflowClient", name: str, version: str, tags: Mapping[str, str]) -> None:
    """Write what the gate decided on a version that is there; of earlier verdicts nothing stays."""
    held: Mapping[str, str] = client.get_model_version(name, version).tags
    for tag in held:
        if tag.startswith(GATE_TAG) and tag not in tags:
            client.delete_model_version_tag(name, version, tag)
    for tag, text in tags.items():
        if tag.startswith(GATE_TAG) and held.get(tag) != text:
            client.set_model_version_tag(name, version, tag, text)


def moves_of(client: "MlflowClient", name: str) -> dict[int, Move]:
    """Return all moves of a model's aliases by number, the oldest first."""
    tags: Mapping[str, str] = client.get_registered_model(name).tags
    numbered = {
        int(tag.removeprefix(PROMOTION)): text
        for tag, text in tags.items()
        if tag.startswith(PROMOTION)
    }
    return {number: Move.from_json(json.loads(numbered[number])) for number in sorted(numbered)}


def move_to_undo(client: "MlflowClient", name: str, alias: str) -> tuple[int, Move] | None:
    """Return the newest move of an alias that was not taken back yet, with its number."""
    moves = {n: move for n, move in moves_of(client, name).items() if move.alias == alias}
    undone = {move.undoes for move in moves.values()}
    left = [n for n, move in moves.items() if n not in undone and move.undoes is None]
    return (left[-1], moves[left[-1]]) if left else None


def move_alias(client: "MlflowClient", name: str, move: Move) -> str | None:
    """Move an alias, and keep the move; may be repeated.

    Args:
        client: of the registry, its own retries off.
        name: the registered model.
        move: from whom to whom, and why; who and when are filled in.

    Returns:
        Why it did not move, in words; None: it did.

    Raises:
        AliasBusyError: another move is under way.
        TrackingError: this process was held up in the midst of it.
    """
    began = time.monotonic()
    with _alone(client, name) as is_alone:
        if not is_alone:
            raise AliasBusyError(f"another promotion of {name} is under way")
        holder = holder_of(client, name, move.alias)
        if holder == move.to_version:
            return None
        if holder != move.from_version:
            return f"{_version(holder)} has {move.alias} now, not {_version(move.from_version)}"
        number, kept = _number_of(client, name, move)
        if time.monotonic() - began > CLAIM_S / 2:
            raise _held_up(name, move.alias)
        # First the record: an alias that moved unseen is worse than a move that was not made.
        text = json.dumps(kept.to_json(), ensure_ascii=False)
        client.set_registered_model_tag(name, f"{PROMOTION}{number}", text)
        if move.to_version is None:
            client.delete_registered_model_alias(name, move.alias)
        else:
            client.set_registered_model_alias(name, move.alias, move.to_version)
    return None


def _number_of(client: "MlflowClient", name: str, move: Move) -> tuple[int, Move]:
    """Return the move's number, that of an attempt that was cut off or a new one, and the move."""
    moves = moves_of(client, name)
    last = max(moves, default=0)
    kept = replace(
        move, who=move.who or getpass.getuser(), when=datetime.now(UTC).isoformat("T", "seconds")
    )
    ends = (move.alias, move.from_version, move.to_version)
    before = moves.get(last)
    is_cut_off = before and (before.alias, before.from_version, before.to_version) == ends
    return (last if is_cut_off else last + 1), kept


@contextlib.contextmanager
def _alone(client: "MlflowClient", name: str) -> Iterator[bool]:
    """Claim a registered model, wait for who goes first, and give whether nobody else claims it."""
    own = CLAIM + _token_of_process()
    with _alone_in_process:
        client.set_registered_model_tag(name, own, f"{time.time():.3f}")
        try:
            deadline = time.monotonic() + CLAIM_S / 4
            while (others := _claims(client, name) - {own}) and max(others) > own:
                if time.monotonic() > deadline:
                    break
                time.sleep(_PAUSE_S)
            yield not others
        finally:
            client.delete_registered_model_tag(name, own)


@functools.cache
def _token_of_process() -> str:
    """Return what names this process's claims, so that one whose answer was lost is its own."""
    return secrets.token_hex(8)


@functools.cache
def _token(pid: int, thread: int) -> str:
    """Return what a thread's claims are called: one that it left behind does not stop it."""
    del pid, thread
    return secrets.token_hex(8)


def _claims(client: "MlflowClient", name: str) -> set[str]:
    tags: Mapping[str, str] = client.get_registered_model(name).tags
    oldest = time.time() - CLAIM_S
    return {tag for tag, at in tags.items() if tag.startswith(CLAIM) and float(at) > oldest}


def _version(number: str | None) -> str:
    return f"version {number}" if number else "no version"


def _held_up(name: str, alias: str) -> TrackingError:
    return TrackingError(
        f"moving the alias {alias} took so long that another may have begun",
        where=f"registered model {name}",
        expected=f"a registry that answers within {CLAIM_S:g} s",
        mend="Try again",
    )
