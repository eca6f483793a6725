"""The private Ray that `distrain chaos` puts faults into: where it listens, and how nodes go."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from distrain.jobs.chaos.nodes import PrivateRay
from distrain.loopback import is_loopback
from distrain.process import family_of
from tests.listening import listening

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def others() -> set[int]:
    """The processes that other tests have left to run, such as a Ray that they share."""
    return set(family_of(os.getpid()))


@pytest.fixture(scope="module")
def nodes(others: set[int]) -> Iterator[PrivateRay]:
    del others  # they are counted before
    # Not below pytest's folder: sockets' paths have 107 characters at most.
    with tempfile.TemporaryDirectory(prefix="c-", dir="/tmp") as folder:
        kept = {name: text for name, text in os.environ.items() if not name.startswith("RAY_")}
        with PrivateRay(Path(folder) / "ray", kept, num_nodes=1) as made:
            yield made


def test_its_nodes_listen_on_loopback_alone(nodes: PrivateRay, others: set[int]) -> None:
    addresses = listening(set(family_of(os.getpid())) - others)

    assert int(nodes.address.rpartition(":")[2]) in {port for _, port in addresses}
    assert [pair for pair in addresses if not is_loopback(pair[0])] == []


def test_a_node_that_is_killed_is_replaced_by_another(nodes: PrivateRay) -> None:
    [first] = nodes.nodes()
    process = nodes.nodes()[first].pid

    nodes.kill_node(first)
    left = family_of(process)
    nodes.add_node()

    assert left == {}
    assert len(nodes.nodes()) == 1
    assert first not in nodes.nodes()
