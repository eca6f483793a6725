"""An alias moved by hand: through the gate, past it with a stated reason, or back."""

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, final

from distrain.config.names import RESERVED_ALIAS
from distrain.contest import DATA_TAG, Candidate, hold_contest
from distrain.data.prepare import find_prepared
from distrain.display import Display
from distrain.errors import ConfigError, DistrainError
from distrain.evaluate.gate import Verdict
from distrain.evaluate.goals import GoalOutcome
from distrain.finish import MODEL_FOLDER, PACKAGED
from distrain.locations import cache_of, data_of
from distrain.results import EXIT_GOALS_UNMET
from distrain.stored_run import read_stored_run
from distrain.track.aliases import (
    AliasBusyError,
    Move,
    holder_of,
    move_alias,
    move_to_undo,
    note_verdict,
    telling,
)
from distrain.track.model_versions import RegisteredVersion, find_version
from distrain.track.reachable import check_reachable
from distrain.track.runs import find_run_dir
from distrain.track.tracking_server import TrackingServer, connect, resolve_tracking_uri
from distrain.workplace import data_session


@final
@dataclass(frozen=True)
class PromoteResult:
    """What became of an alias.

    Attributes:
        status: `moved`, `unchanged` (the version had it), or `refused`.
        model: the version, with the alias where it has it now.
        from_version: who had it before; None: nobody.
        reasons: why, in words.
    """

    status: Literal["moved", "unchanged", "refused"]
    model: RegisteredVersion
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
            "model": asdict(self.model),
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
        force: why it moves without being compared; None: it is compared.
        address: a Ray cluster for reading the test rows; None: RAY_ADDRESS, else a new local Ray.
        display: what is told meanwhile.

    Raises:
        DistrainError: the input is at fault, or what was named cannot be reached; nothing moved.
    """
    server = _server(storage)
    promotion = plan_promotion(uri, alias, server)
    if promotion.holder == promotion.version.version:
        has_it = replace(promotion.version, alias=alias)
        return PromoteResult("unchanged", has_it, promotion.holder, (f"it has {alias} already",))
    evidence = promotion.tags.get("distrain.run", "")
    if force is not None:
        return move(promotion, f"forced: {force}", server, evidence)
    with data_session(address, display):
        display.stage("comparing on the test rows")
        verdict = judge_promotion(promotion, server, storage)
    version = promotion.version
    with telling(server):
        note_verdict(connect(server), version.name, version.version, verdict.tags())
    if not verdict.may_move:
        return PromoteResult("refused", promotion.version, promotion.holder, verdict.reasons)
    return move(promotion, verdict.text, server, evidence)


def take_back(uri: str, alias: str, *, storage: Path) -> PromoteResult:
    """Give an alias back to who had it before; see `undo`.

    Args:
        uri: `models:/name`, with or without a version.
        alias: what moves.
        storage: the folder that runs are kept in.

    Raises:
        DistrainError: as `promote`.
    """
    server = _server(storage)
    return undo(find_version(server, uri).name, alias, server)


def _server(storage: Path) -> TrackingServer:
    server = resolve_tracking_uri(None, storage)
    check_reachable(server)
    return server


def plan_promotion(uri: str, alias: str, server: TrackingServer) -> Promotion:
    """Return what is to be moved, looked up in the registry.

    Args:
        uri: `models:/name/3` or `models:/name@alias`.
        alias: what shall move.
        server: the registry.

    Raises:
        ConfigError: there is no such version, or MLflow keeps the alias to itself.
        TrackingError: the registry does not answer.
    """
    if RESERVED_ALIAS.fullmatch(alias):
        raise ConfigError(
            f"the alias {alias!r} is reserved by MLflow",
            where="--alias",
            expected="another name",
            mend="Use another, such as champion",
        )
    found = find_version(server, uri)
    with telling(server):
        client = connect(server)
        holder = holder_of(client, found.name, alias)
        tags = client.get_model_version(found.name, found.version).tags
    return Promotion(RegisteredVersion(found.name, found.version, None), alias, holder, tags)


def judge_promotion(promotion: Promotion, server: TrackingServer, storage: Path) -> Verdict:
    """Return whether the version has earned the alias; Ray must be connected.

    Its run's folder says what its data was, and what it has to be better by.

    Args:
        promotion: what shall move.
        server: the registry.
        storage: where the version's run lies.

    Raises:
        ConfigError: the run is not there, or its data is no longer prepared.
    """
    key = promotion.tags.get("distrain.run", "")
    try:
        run_dir = find_run_dir(key or promotion.version.uri, storage)
        stored = read_stored_run(run_dir, [])
        data = data_of(stored.settings)
        dataset = find_prepared(data, cache=cache_of(stored.settings))
        sys.path += [path for path in stored.started.import_paths if path not in sys.path]
        result = json.loads((run_dir / "result.json").read_text(encoding="utf-8"))
        goals = tuple(GoalOutcome.from_json(name, g) for name, g in result["goals"].items())
    except (DistrainError, OSError, ValueError, KeyError) as fault:
        raise _unjudged(promotion, storage, str(fault)) from fault
    if dataset is None or dataset.digest != promotion.tags.get(DATA_TAG):
        raise _unjudged(promotion, storage, "its data is no longer prepared, or has changed")
    candidate = Candidate(
        name=promotion.version.name,
        key=promotion.tags.get("distrain.key", ""),
        packaged=run_dir / MODEL_FOLDER / PACKAGED,
        settings=stored.settings,
        data=data,
        dataset=dataset,
        goals=goals,
    )
    return hold_contest(candidate, promotion.alias, server)


def move(promotion: Promotion, why: str, server: TrackingServer, evidence: str) -> PromoteResult:
    """Move the alias from the holder that was looked up, and keep the move.

    Args:
        promotion: what moves.
        why: in words.
        server: the registry.
        evidence: the run that speaks for it; empty: none.

    Raises:
        TrackingError: the registry does not answer.
    """
    version, holder = promotion.version, promotion.holder
    wanted = Move(promotion.alias, holder, version.version, why=why, evidence=evidence or None)
    with telling(server):
        refusal = _moved(connect(server), version.name, wanted)
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
        client = connect(server)
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
        back = Move(alias, before.to_version, to, why=f"undo of move {number}", undoes=number)
        refusal = _moved(client, name, back)
    version = RegisteredVersion(name, to or "", None if refusal or to is None else alias)
    reasons = (refusal or (f"back to {f'version {to}' if to else 'nobody'}: {back.why}"),)
    return PromoteResult("refused" if refusal else "moved", version, before.to_version, reasons)


def _moved(client: Any, name: str, wanted: Move) -> str | None:
    """Return why an alias did not move; None: it did."""
    try:
        return move_alias(client, name, wanted)
    except AliasBusyError as busy:
        return str(busy)


def _unjudged(promotion: Promotion, storage: Path, why: str) -> ConfigError:
    return ConfigError(
        f"{promotion.version.uri} cannot be compared with what has the alias: {why}",
        where=f"--storage {storage}",
        expected="the folder of the version's run, with its data as it was",
        mend="Name the storage folder that it was trained in, or move the alias by --force REASON",
    )
