"""Aliases: who holds one, how it moves, and what is kept of every move.

MLflow moves an alias without asking who held it, and remembers nothing. Here a move names the
holder that it takes the place of, and is refused where that is no longer the one. The registered
model keeps each move as a tag `distrain.promotion.<n>`.

A move is written down before the alias moves, and once more when it has: an alias that moved unseen
is worse than a record of a move that was cut off. Such a record is told from the others, cannot be
undone, and gives its number to the next move. Two moves at once are kept apart by claims.

What a run's journal asked for is kept with its move, so that a journal that is shipped once more
does not make a move again that was taken back meanwhile.
"""

import contextlib
import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, final

from distrain.errors import DistrainError, TrackingError
from distrain.process import user_name
from distrain.track.claims import CLAIM_S, alone
from distrain.track.model_versions import unanswered
from distrain.track.tracking_server import TrackingServer
from distrain.track.version_page import end_line, move_line, tell_move

if TYPE_CHECKING:
    from mlflow import MlflowClient

PROMOTION: Final = "distrain.promotion."
TEST_TAG: Final = "distrain.test.sha256"
GATE_TAG: Final = "distrain.gate"
WHY_TAG: Final = f"{GATE_TAG}.why"
HOLDER_TAG: Final = f"{GATE_TAG}.holder"
NOBODY: Final = "none"
NUMBER: Final = re.compile(r"[1-9][0-9]*")


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
        done: whether the alias has moved; otherwise it is about to, or was cut off before.
        asked_ms: when the run's journal asked for it, in milliseconds since 1970; None: a person
            did.
    """

    alias: str
    from_version: str | None
    to_version: str | None
    who: str = ""
    when: str = ""
    why: str = ""
    evidence: str | None = None
    undoes: int | None = None
    done: bool = False
    asked_ms: int | None = None

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


def note_verdict(client: "MlflowClient", name: str, version: str, tags: Mapping[str, str]) -> None:
    """Write what the gate decided on a version that is there; of earlier verdicts nothing stays."""
    held: Mapping[str, str] = client.get_model_version(name, version).tags
    for tag in held:
        if tag.startswith(GATE_TAG) and tag not in tags:
            client.delete_model_version_tag(name, version, tag)
    for tag, text in tags.items():
        if tag.startswith(GATE_TAG) and held.get(tag) != text:
            client.set_model_version_tag(name, version, tag, text)


def overtaken(tags: Mapping[str, str], refusal: str) -> dict[str, str]:
    """Return the tags of a verdict that has passed, where the alias did not move all the same.

    Args:
        tags: the verdict's.
        refusal: why it did not move.
    """
    why = f"{refusal}; before that: {tags.get(WHY_TAG, '')}"
    return {**tags, GATE_TAG: "refused", WHY_TAG: why}


def numbered_tags(tags: Mapping[str, str], prefix: str) -> dict[int, str]:
    """Return the texts of tags by the numbers that their names end with; others are a user's."""
    numbers = {tag: tag.removeprefix(prefix) for tag in tags if tag.startswith(prefix)}
    return {int(end): tags[tag] for tag, end in numbers.items() if NUMBER.fullmatch(end)}


def moves_of(client: "MlflowClient", name: str) -> dict[int, Move]:
    """Return all moves of a model's aliases by number, the oldest first."""
    numbered = numbered_tags(client.get_registered_model(name).tags, PROMOTION)
    return {number: Move.from_json(json.loads(numbered[number])) for number in sorted(numbered)}


def is_made(client: "MlflowClient", name: str, asked: Move) -> bool:
    """Return whether what a run's journal asks for was done before, and perhaps taken back since.

    Args:
        client: of the registry.
        name: the registered model.
        asked: the move, with the time that it was asked for.
    """
    told = (asked.alias, asked.to_version, asked.asked_ms)
    moves = moves_of(client, name).values()
    return any(told == (move.alias, move.to_version, move.asked_ms) for move in moves if move.done)


def move_to_undo(client: "MlflowClient", name: str, alias: str) -> tuple[int, Move] | None:
    """Return the newest move of an alias that was not taken back yet, with its number."""
    holder = holder_of(client, name, alias)
    moves = {
        number: move
        for number, move in moves_of(client, name).items()
        if move.alias == alias and (move.done or move.to_version == holder)
    }
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
    with alone(client, name) as is_alone:
        if not is_alone:
            raise AliasBusyError(
                f"another promotion of {name} is under way, or was killed less than "
                f"{CLAIM_S:g} s ago"
            )
        holder = holder_of(client, name, move.alias)
        number = _next_number(client, name, move.alias, holder)
        if holder == move.to_version:
            return None
        if holder != move.from_version:
            return f"{_version(holder)} has {move.alias} now, not {_version(move.from_version)}"
        if time.monotonic() - began > CLAIM_S / 2:
            raise _held_up(name, move.alias)
        now = datetime.now(UTC).isoformat("T", "seconds")
        kept = replace(move, who=move.who or user_name(), when=now, done=False)
        _keep(client, name, number, kept)
        if move.to_version is None:
            client.delete_registered_model_alias(name, move.alias)
        else:
            client.set_registered_model_alias(name, move.alias, move.to_version)
        _keep(client, name, number, replace(kept, done=True))
        _tell(client, name, kept)
    return None


def _tell(client: "MlflowClient", name: str, move: Move) -> None:
    """Tell of a move on the pages of those who have the alias, and had it."""
    if move.to_version is not None:
        told = move_line(move.alias, move.when, move.who, move.why)
        tell_move(client, name, move.to_version, told)
    if move.from_version is not None:
        to = _version(move.to_version)
        tell_move(client, name, move.from_version, end_line(move.alias, move.when, to))


def _next_number(client: "MlflowClient", name: str, alias: str, holder: str | None) -> int:
    """Return the number of the next move; of one that was cut off it is settled what became of it.

    Whoever calls is alone.
    """
    moves = moves_of(client, name)
    if not moves:
        return 1
    number, newest = list(moves.items())[-1]
    if newest.done or newest.alias != alias:
        return number + 1
    if newest.to_version == holder:
        _keep(client, name, number, replace(newest, done=True))
        return number + 1
    return number


def _keep(client: "MlflowClient", name: str, number: int, move: Move) -> None:
    text = json.dumps(move.to_json(), ensure_ascii=False)
    client.set_registered_model_tag(name, f"{PROMOTION}{number}", text)


def _version(number: str | None) -> str:
    return f"version {number}" if number else "no version"


def _held_up(name: str, alias: str) -> TrackingError:
    return TrackingError(
        f"moving the alias {alias} took so long that another may have begun",
        where=f"registered model {name}",
        expected=f"a registry that answers within {CLAIM_S:g} s",
        mend="Try again",
    )
