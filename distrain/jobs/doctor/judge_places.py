"""What the facts of a cluster and of its places mean: nodes, room, storage, token, port. Pure."""

from collections.abc import Mapping, Sequence
from typing import Final

from distrain.config.settings import Settings
from distrain.errors import ConfigError
from distrain.jobs.doctor.facts import ClusterNode, Place, Sight
from distrain.jobs.doctor.findings import Finding, counted, finding_of, names, ok_unless
from distrain.ray_token import TOKEN, TOKEN_PATH, Access, Token
from distrain.train.bounds import Bounds
from distrain.train.placement import (
    Placement,
    cluster_placement,
    local_placement,
    num_cores,
    room,
    search_placement,
)

_NO_ACCOUNT: Final = (
    "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in this command's environment (workers get "
    "them from it), or AWS_PROFILE with ~/.aws/credentials on every node"
)
_SHARE_IT: Final = (
    "Mount the same storage (NFS, Lustre, EFS, ...) at that path on every node, or keep such nodes "
    "out of the cluster"
)


def judge_nodes(nodes: Sequence[ClusterNode], address: str) -> list[Finding]:
    """Return which nodes are dead, or live for Ray alone."""
    found = []
    for node in nodes:
        if node.is_alive and not node.answers:
            text = "Ray counts it as alive, and it does not answer"
            mend = "Look whether the machine and its raylet run, and whether a firewall is between"
            found.append(Finding("nodes", "fault", text, mend, node.host))
        if node.why_dead and not node.is_replaced:
            found.append(
                Finding(
                    "nodes",
                    "fault",
                    f"the node died ({node.why_dead})",
                    mend=f"Start it again there: ray start --address={address}; Ray forgets a node "
                    "that is gone for good when its head starts anew",
                    where=node.host,
                )
            )
    alive = [node for node in nodes if node.is_alive]
    replaced = sum(1 for node in nodes if node.why_dead and node.is_replaced)
    after = f", {replaced} of them back after a death" if replaced else ""
    return ok_unless(found, "nodes", f"{counted(len(alive), 'node')}, all answer{after}")


def judge_room(settings: Settings | None, nodes: Sequence[ClusterNode]) -> list[Finding]:
    """Return whether a cluster has room for what a configuration asks for.

    Args:
        settings: the configuration; None: nothing is asked for but a CPU.
        nodes: the cluster's.
    """
    total = [node.total for node in nodes if node.is_alive]
    free = [node.free for node in nodes if node.is_alive]
    told = f"{_sum(total, 'CPU')}, {_sum(free, 'CPU').removesuffix(' CPUs')} of them free"
    if any(node.get("GPU") for node in total):
        told += f"; {_sum(total, 'GPU')}, {_sum(free, 'GPU').removesuffix(' GPUs')} of them free"
    if settings is None:
        if not any(node.get("CPU") for node in total):
            mend = "Start Ray on nodes with --num-cpus above 0"
            return [Finding("room", "fault", "no node has a CPU for work", mend)]
        return [Finding("room", "ok", told)]
    try:
        bounds = Bounds.of(settings.cluster)
        placements = [cluster_placement(settings.train, total, bounds)]
        if settings.tune is not None:
            place = search_placement(
                settings, lambda train: cluster_placement(train, total, bounds)
            )
            placements.append(place)
    except ConfigError as error:
        return [finding_of("room", error)]
    least = min(placements, key=lambda placement: placement.min_workers)
    if room(least, free) < least.min_workers:
        mend = "Wait for what runs there, use fewer workers, or add nodes"
        text = f"{_asked(least)} fit, but not now: {told}"
        return [Finding("room", "warning", text, mend)]
    return [Finding("room", "ok", f"for {_asked(placements[0])}: {told}")]


def judge_local_room(settings: Settings | None, num_gpus: int) -> list[Finding]:
    """Return whether this machine has room for what a configuration asks for."""
    has = f"{counted(num_cores(), 'core')}, {counted(num_gpus, 'GPU')}"
    if settings is None:
        return [Finding("room", "ok", has)]
    try:
        bounds = Bounds.of(settings.cluster)
        placement = local_placement(settings.train, num_gpus=num_gpus, bounds=bounds)
        if settings.tune is not None:
            search_placement(
                settings, lambda train: local_placement(train, num_gpus=num_gpus, bounds=bounds)
            )
    except ConfigError as error:
        return [finding_of("room", error)]
    return [Finding("room", "ok", f"for {_asked(placement)}: {has}")]


def _asked(placement: Placement) -> str:
    return f"{placement.workers_text} with {placement.cpu:g} CPU" + (
        f" and {placement.gpu:g} GPU" if placement.gpu else ""
    )


def _sum(nodes: Sequence[Mapping[str, float]], kind: str) -> str:
    number = sum(node.get(kind, 0) for node in nodes)
    return f"{number:g} {kind}{'' if number == 1 else 's'}"


def judge_token(token: Token | None) -> list[Finding]:
    """Return whether others can read this user's token, which lets them run code as this user."""
    if token is None:
        return []
    if token.is_open:
        return [
            Finding(
                "token",
                "fault",
                f"others can read it (mode {token.mode:03o})",
                mend=f"chmod 600 {token.origin}; and give the cluster a new token where others "
                "have been on this machine",
                where=token.origin,
            )
        ]
    if not token.text:
        mend = f"Write the cluster's token into it, for this user alone, or unset {TOKEN_PATH}"
        return [Finding("token", "fault", "it cannot be read", mend=mend, where=token.origin)]
    kept = "in the environment" if token.origin == TOKEN else "readable by its owner alone"
    return [Finding("token", "ok", f"{token.origin}, {kept}")]


def judge_access(access: Access | None, *, is_near: bool) -> list[Finding]:
    """Return whether a cluster lets anybody in.

    Args:
        access: what it said; None: nothing.
        is_near: whether it listens on this machine's loopback address alone.
    """
    if access is None:
        return []
    if access.is_asked:
        return [Finding("authentication", "ok", "the cluster asks for a token, and takes this one")]
    if is_near:
        return [Finding("authentication", "ok", "off, on the loopback address")]
    return [
        Finding(
            "authentication",
            "warning",
            "the cluster lets in whoever reaches it, to run any code",
            mend="`ray get-auth-token --generate` on the head, copy ~/.ray/auth_token to all nodes "
            "(chmod 600), and start Ray on all of them with RAY_AUTH_MODE=token",
        )
    ]


def judge_place(place: Place) -> list[Finding]:
    """Return whether a place can be written here and on all nodes, and all see the same."""
    if place.error is not None:
        return [_unwritable(place)]
    found: list[Finding] = []
    blind = [sight.host for sight in place.sights if not sight.is_seen]
    if blind:
        text = "a folder that was made there is not seen on that node"
        found.append(_of_hosts(place, text, _SHARE_IT, blind))
    for sight in place.sights:
        found += _sight_findings(place, sight)
    hosts = len(place.sights)
    shared = f"; written and read on {counted(hosts, 'node')} and here" if hosts else ""
    told = "" if hosts else ", written and read here"
    return ok_unless(found, place.key, f"{place.location}{told}{shared}")


def _sight_findings(place: Place, sight: Sight) -> list[Finding]:
    if not sight.is_seen:
        return []
    if sight.error is not None:
        text, mend = f"cannot be written there ({sight.error})", _write_mend(place)
        return [_of_hosts(place, text, mend, [sight.host])]
    if sight.unread:
        text = f"what {names(sight.unread)} wrote there is not read on that node"
        return [_of_hosts(place, text, _SHARE_IT, [sight.host])]
    return []


def _of_hosts(place: Place, text: str, mend: str, hosts: Sequence[str]) -> Finding:
    return Finding(place.key, "fault", f"{place.location}: {text}", mend, names(hosts))


def _unwritable(place: Place) -> Finding:
    assert place.error is not None
    if place.is_remote and not place.has_account:
        text = f"there are no credentials for it ({place.error})"
        return Finding(place.key, "fault", text, _NO_ACCOUNT, place.location)
    text = f"cannot be written ({place.error})"
    return Finding(place.key, "fault", text, _write_mend(place), place.location)


def _write_mend(place: Place) -> str:
    if place.is_remote:
        return (
            "Check the bucket's name, its region, the endpoint, and that the credentials may write "
            f"there; or name another place by {place.key}"
        )
    return (
        "Let this user write there: mount it read-write (`mount -o remount,rw`), chown or chmod "
        f"it; or name another folder by {place.key}"
    )


def judge_port(port: int, reason: str | None, *, is_named: bool) -> Finding:
    """Return whether a TCP port of the loopback address can be used.

    Args:
        port: the port.
        reason: why not; None: it can.
        is_named: whether the user asked for this one.
    """
    if reason is None:
        return Finding("port", "ok", f"{port} is free")
    mend = f"`ss -ltnp 'sport = :{port}'` names who has it"
    mend += "" if is_named else f"; or use another: distrain ui --port {port + 1}"
    return Finding("port", "fault" if is_named else "warning", reason, mend, where=f"{port}")
