"""A Ray of several nodes on this machine, to try a cluster out: `cluster up`, `status`, `down`."""

from typing import Annotated

import typer

from distrain.answer import print_result
from distrain.commands.options import Json
from distrain.errors import ClusterError

app = typer.Typer()
cluster_app = typer.Typer(
    help="A Ray of several nodes on this machine, to try a cluster out.",
    epilog="Example: distrain cluster up --nodes 3",
)
app.add_typer(cluster_app, name="cluster")

Name = Annotated[str, typer.Option(help="The cluster's name; there may be several.")]
DEFAULT_NAME = "local"


@cluster_app.command(epilog="Example: distrain cluster up --nodes 3 --cpus 2")
def up(
    nodes: Annotated[int, typer.Option(help="How many, the head among them.", min=1, max=64)] = 3,
    cpus: Annotated[
        int, typer.Option(help="That each node declares, whatever the machine has.", min=1)
    ] = 2,
    name: Name = DEFAULT_NAME,
    as_json: Json = False,
) -> None:
    """Start a Ray of several nodes on 127.0.0.1, which goes on until `cluster down`."""
    from distrain.jobs import local_cluster
    from distrain.report import clusters, display

    with display.open_display(to_stderr=as_json) as shown:
        started = local_cluster.up(name, num_nodes=nodes, num_cpus=cpus, tell=shown.stage)
    print_result(clusters.started_text(started.to_json()), started.to_json(), as_json=as_json)


@cluster_app.command(epilog="Example: distrain cluster status")
def status(
    name: Annotated[str | None, typer.Option(help="Of this one alone.", show_default=False)] = None,
    as_json: Json = False,
) -> int:
    """Tell which clusters of this user's run on this machine; exit code 4 if a node is dead."""
    from distrain.jobs import local_cluster
    from distrain.report import clusters

    found = local_cluster.clusters() if name is None else [local_cluster.named(name)]
    told = [cluster.to_json() for cluster in found]
    print_result(clusters.clusters_text(told), {"clusters": told}, as_json=as_json)
    is_whole = all(cluster["state"] in ("up", "starting") for cluster in told)
    return 0 if is_whole else ClusterError.exit_code


@cluster_app.command(epilog="Example: distrain cluster down")
def down(name: Name = DEFAULT_NAME, as_json: Json = False) -> None:
    """End a cluster's processes and remove its folder."""
    from distrain.jobs import local_cluster

    cluster = local_cluster.named(name)
    local_cluster.down(cluster)
    ended = {"name": name, "state": "ended"}
    print_result(f"the cluster {name!r} has ended", ended, as_json=as_json)
