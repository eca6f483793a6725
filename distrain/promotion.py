"""An alias moved by hand: through the gate, past it with a stated reason, or back."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal, final

from distrain.candidate import registered_candidate
from distrain.config.names import ALIAS_PATTERN, RESERVED_ALIAS
from distrain.contest import hold_contest
from distrain.display import Display
from distrain.errors import EXIT_GOALS_UNMET, ConfigError
from distrain.redaction import redacted
from distrain.track.aliases import (
    AliasBusyError,
    Move,
    holder_of,
    move_alias,
    move_to_undo,
    note_verdict,
    overtaken,
    telling,
)
from distrain.track.model_registry import registry_of
from distrain.track.model_versions import RegisteredVersion, find_version
from distrain.track.patient import patient
from distrain.track.reachable import check_reachable
from distrain.track.tracking_server import TrackingServer, connect
from distrain.workplace import data_session

MAX_ALIAS_LENGTH: Final = 255


@final
@dataclass(frozen=True)
class PromoteResult:
    """What became of an alias.

    Attributes:
        status: `moved`, `unchanged` (the version had it), or `refused`.
        model: the version, with the alias where it has it now; None: nobody has the alias now.
        from_version: who had it before; None: nobody.
        reasons: why, in words.
    """

    status: Literal["moved", "unchanged", "refused"]
    model: RegisteredVersion | None
    from_version: str | None
    reasons: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """Return the command's exit code."""
        return EXIT_GOALS_UNMET if self.status == "refused" else 0

    def to_json(self) -> dict[str, Any]:
        """Return the object of `--json`."""
        return {
            "status": self.status,
            "model": asdict(self.model) if self.model else None,
            "from": self.from_version,
            "reasons": list(self.reasons),
        }


@final
@dataclass(frozen=True)
class Promotion:
    """A wish to move an alias, looked up.

    Attributes:
        version: who shall have it.
        alias: what moves.
        holder: who has it; None: nobody.
        tags: of the version.
    """

    version: RegisteredVersion
    alias: str
    holder: str | None
    tags: Mapping[str, str]


def promote(
    uri: str,
    alias: str,
    *,
    storage: Path,
    force: str | None,
    address: str | None,
    display: Display,
) -> PromoteResult:
    """Move an alias to a version that has earned it, or that is forced upon it.

    Args:
        uri: `models:/name/3` or `models:/name@alias`.
        alias: what shall move.
        storage: the folder that runs are kept in.
        force: why it moves without being compared; None: it is compared. It is kept with the
            model, without what looks like a secret.
        address: a Ray cluster for reading the test rows; None: RAY_ADDRESS, else a new local Ray.
        display: what is told meanwhile.

    Raises:
        DistrainError: the input is at fault, or what was named cannot be reached; nothing moved.
    """
    # `--force --json` takes the next option for the reason.
    if force is not None and (not force.strip() or force.startswith("--")):
        raise ConfigError(
            "no reason is given",
            where="--force",
            expected="a reason, which is kept",
            mend="For example: --force 'the holder fails on new rows'",
        )
    server = _server(uri, storage)
    promotion = plan_promotion(uri, alias, server)
    if promotion.holder == promotion.version.version:
        has_it = replace(promotion.version, alias=alias)
        return PromoteResult("unchanged", has_it, promotion.holder, (f"it has {alias} already",))
    if force is not None:
        return move(promotion, f"forced: {redacted(force)}", server)
    with (
        registered_candidate(promotion.version, promotion.tags, server, storage) as candidate,
        data_session(address, display),
    ):
        display.stage("comparing on the test rows")
        verdict = hold_contest(candidate, alias, server)
    _note(promotion, verdict.tags(), server)
    if not verdict.may_move:
        return PromoteResult("refused", promotion.version, promotion.holder, verdict.reasons)
    # From the holder that it was compared with, or from nobody, whatever was looked up before.
    compared = replace(promotion, holder=verdict.contest.holder if verdict.contest else None)
    result = move(compared, verdict.text, server)
    if result.status == "refused":
        _note(promotion, overtaken(verdict.tags(), result.reasons[0]), server)
    return result


def _note(promotion: Promotion, tags: Mapping[str, str], server: TrackingServer) -> None:
    with telling(server):
        note_verdict(
            patient(connect(server)), promotion.version.name, promotion.version.version, tags
        )


def take_back(uri: str, alias: str, *, storage: Path) -> PromoteResult:
    """Give an alias back to who had it before; see `undo`.

    Args:
        uri: `models:/name`, with or without a version.
        alias: what moves.
        storage: the folder that runs are kept in.

    Raises:
        DistrainError: as `promote`.
    """
    check_alias(alias)
    server = _server(uri, storage)
    return undo(find_version(server, uri).name, alias, server)


def _server(uri: str, storage: Path) -> TrackingServer:
    server = registry_of(uri, storage)
    check_reachable(server)
    return server


def check_alias(alias: str) -> None:
    """Return where the registry takes an alias.

    Raises:
        ConfigError: it does not.
    """
    if RESERVED_ALIAS.fullmatch(alias):
        told = "is reserved by MLflow"
    elif not re.fullmatch(ALIAS_PATTERN, alias) or len(alias) > MAX_ALIAS_LENGTH:
        told = "is none that the registry takes"
    else:
        return
    raise ConfigError(
        f"the alias {alias!r} {told}",
        where="--alias",
        expected="letters, digits, '_' and '-'",
        mend="Use another, such as champion",
    )


def plan_promotion(uri: str, alias: str, server: TrackingServer) -> Promotion:
    """Return what is to be moved, looked up in the registry.

    Args:
        uri: `models:/name/3` or `models:/name@alias`.
        alias: what shall move.
        server: the registry.

    Raises:
        ConfigError: there is no such version, or the registry does not take the alias.
        TrackingError: the registry does not answer.
    """
    check_alias(alias)
    found = find_version(server, uri)
    with telling(server):
        client = patient(connect(server))
        holder = holder_of(client, found.name, alias)
        tags = client.get_model_version(found.name, found.version).tags
    return Promotion(RegisteredVersion(found.name, found.version, None), alias, holder, tags)


def move(promotion: Promotion, why: str, server: TrackingServer) -> PromoteResult:
    """Move the alias from the holder that was looked up, and keep the move.

    Args:
        promotion: what moves.
        why: in words.
        server: the registry.

    Raises:
        TrackingError: the registry does not answer.
    """
    version, holder = promotion.version, promotion.holder
    evidence = promotion.tags.get("distrain.run")
    wanted = Move(promotion.alias, holder, version.version, why=why, evidence=evidence)
    with telling(server):
        refusal = _moved(patient(connect(server)), version.name, wanted)
    if refusal is not None:
        return PromoteResult("refused", version, holder, (refusal,))
    return PromoteResult("moved", replace(version, alias=promotion.alias), holder, (why,))


def undo(name: str, alias: str, server: TrackingServer) -> PromoteResult:
    """Give an alias back to who had it before its newest move that was not taken back yet.

    Args:
        name: the registered model.
        alias: what moves.
        server: the registry.

    Raises:
        ConfigError: no move of it is known.
        TrackingError: the registry does not answer.
    """
    with telling(server):
        client = patient(connect(server))
        last = move_to_undo(client, name, alias)
        if last is None:
            raise ConfigError(
                f"no move of {alias} is known that could be taken back",
                where=f"models:/{name}",
                expected="an alias that distrain moved",
                mend=f"Name the version: distrain promote models:/{name}/1 --alias {alias}",
            )
        number, before = last
        to = before.from_version
        if to is not None:
            _check_there(name, to, server)
        back = Move(alias, before.to_version, to, why=f"undo of move {number}", undoes=number)
        refusal = _moved(client, name, back)
    if refusal is not None:
        version = RegisteredVersion(name, to, None) if to else None
        return PromoteResult("refused", version, before.to_version, (refusal,))
    told = f"back to {f'version {to}' if to else 'nobody'}: {back.why}"
    version = RegisteredVersion(name, to, alias) if to else None
    return PromoteResult("moved", version, before.to_version, (told,))


def _check_there(name: str, version: str, server: TrackingServer) -> None:
    try:
        find_version(server, f"models:/{name}/{version}")
    except ConfigError as fault:
        raise ConfigError(
            f"version {version} had the alias before, and is there no more",
            where=f"models:/{name}",
            expected="a version that can have the alias again",
            mend="Move it to another: distrain promote models:/NAME/VERSION --alias ALIAS",
        ) from fault


def _moved(client: Any, name: str, wanted: Move) -> str | None:
    """Return why an alias did not move; None: it did."""
    try:
        return move_alias(client, name, wanted)
    except AliasBusyError as busy:
        return str(busy)
