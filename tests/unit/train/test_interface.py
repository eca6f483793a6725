"""Which interface the workers of several hosts exchange over."""

import os
from types import SimpleNamespace

import psutil
import pytest
import ray

from distrain.train.interface import (
    GLOO_INTERFACE,
    NCCL_INTERFACE,
    exchange_where_ray_does,
    interface_of,
)

ADDRESSES = {
    "lo": ["127.0.0.1", "::1", "00:00:00:00:00:00"],
    "eth0": ["192.0.2.7", "fe80::1%eth0", "2001:db8::7"],
    "eth1": ["198.51.100.7"],
}


@pytest.fixture(autouse=True)
def host(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the host have these addresses, and nobody have named an interface."""
    found = {name: [SimpleNamespace(address=one) for one in own] for name, own in ADDRESSES.items()}
    monkeypatch.setattr(psutil, "net_if_addrs", lambda: found)
    for name in (GLOO_INTERFACE, NCCL_INTERFACE):
        monkeypatch.setenv(name, "")  # put back afterwards, where there was none too
        monkeypatch.delenv(name)


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


@pytest.mark.parametrize(
    ("address", "gloo", "nccl"),
    [
        ("198.51.100.7", "eth1", "=eth1"),
        ("127.0.0.1", "lo", None),
        ("203.0.113.9", None, None),
    ],
)
def test_both_are_told_the_interface_of_the_nodes_address(
    monkeypatch: pytest.MonkeyPatch, address: str, gloo: str | None, nccl: str | None
) -> None:
    monkeypatch.setattr(ray.util, "get_node_ip_address", lambda: address)

    exchange_where_ray_does()

    assert os.environ.get(GLOO_INTERFACE) == gloo
    assert os.environ.get(NCCL_INTERFACE) == nccl


@pytest.mark.parametrize("variable", [GLOO_INTERFACE, NCCL_INTERFACE])
def test_an_interface_that_the_user_names_stays(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "eth9")
    monkeypatch.setattr(ray.util, "get_node_ip_address", lambda: "192.0.2.7")

    exchange_where_ray_does()

    assert os.environ[variable] == "eth9"
