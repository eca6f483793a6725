"""What a person is told of the clusters on this machine."""

from collections.abc import Mapping, Sequence
from typing import Any

from distrain.report.tables import Facts


def started_text(cluster: Mapping[str, Any]) -> Facts:
    """Return how a cluster that has been started is used, and ended.

    Args:
        cluster: as `LocalCluster.to_json` gives it.
    """
    facts = Facts()
    _add(facts, cluster)
    facts.add("use", f"distrain train CONFIG --address {cluster['address']}")
    facts.add("end", f"distrain cluster down --name {cluster['name']}")
    return facts


def clusters_text(clusters: Sequence[Mapping[str, Any]]) -> Facts | str:
    """Return how it stands with clusters.

    Args:
        clusters: as `LocalCluster.to_json` gives them.
    """
    if not clusters:
        return "no cluster on this machine; `distrain cluster up` starts one"
    facts = Facts()
    for cluster in clusters:
        _add(facts, cluster)
    return facts


def _add(facts: Facts, cluster: Mapping[str, Any]) -> None:
    nodes = cluster["nodes"]
    dead = [node["role"] for node in nodes if not node["is_alive"]]
    missing = f"; not alive: {', '.join(dead)}" if dead else ""
    size = f"{len(nodes)} nodes of {cluster['num_cpus']} CPUs, on this machine alone"
    facts.add("cluster", f"{cluster['name']}: {cluster['state']}, {size}{missing}")
    facts.add("address", cluster["address"])
    asks = "  (it asks for the token that `ray get-auth-token` prints)"
    facts.add("dashboard", cluster["dashboard"] + (asks if cluster["has_token"] else ""))
    facts.add("token", "" if cluster["has_token"] else "none is asked for: RAY_AUTH_MODE says so")
    facts.add("folder", cluster["folder"])
