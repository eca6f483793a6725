"""Which interface the workers of several hosts exchange over."""

import os

import pytest
import ray  # before psutil, of which it has its own copy
from psutil import net_if_addrs

from distrain.train.interface import GLOO_INTERFACE, exchange_where_ray_does, interface_of

ADDRESSES = {
    "lo": ["127.0.0.1", "::1", "00:00:00:00:00:00"],
    "eth0": ["192.0.2.7", "fe80::1%eth0", "2001:db8::7"],
    "eth1": ["198.51.100.7"],
}


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("127.0.0.1", "lo"),
        ("192.0.2.7", "eth0"),
        ("fe80::1", "eth0"),
        ("2001:db8::7", "eth0"),
        ("198.51.100.7", "eth1"),
        ("203.0.113.9", None),
    ],
)
def test_the_interface_is_the_one_that_has_the_address(address: str, name: str | None) -> None:
    assert interface_of(address, ADDRESSES) == name


def test_gloo_is_told_the_interface_of_the_nodes_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(GLOO_INTERFACE, "")
    monkeypatch.delenv(GLOO_INTERFACE)
    monkeypatch.setattr(ray.util, "get_node_ip_address", lambda: "127.0.0.1")

    exchange_where_ray_does()

    names = [n for n, own in net_if_addrs().items() if "127.0.0.1" in [a.address for a in own]]
    assert [os.environ[GLOO_INTERFACE]] == names[:1]


def test_an_interface_that_the_user_names_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(GLOO_INTERFACE, "eth9")
    monkeypatch.setattr(ray.util, "get_node_ip_address", lambda: "127.0.0.1")

    exchange_where_ray_does()

    assert os.environ[GLOO_INTERFACE] == "eth9"
