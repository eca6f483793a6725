"""Whether a cluster is this very machine."""

import socket

import pytest

from distrain.jobs.dashboard import Dashboard, connect
from distrain.jobs.whereabouts import is_this_machine
from tests.fake_dashboard import FakeDashboard


@pytest.mark.parametrize(
    ("host_name", "expected"), [(socket.gethostname(), True), ("the-far-end-of-a-tunnel", False)]
)
def test_the_names_of_its_hosts_decide(host_name: str, expected: bool) -> None:
    with FakeDashboard(host_name) as fake:
        assert is_this_machine(connect(fake.url)) is expected


def test_an_address_of_another_machine_is_never_here() -> None:
    assert not is_this_machine(Dashboard("http://203.0.113.7:8265", "--address", {}))
