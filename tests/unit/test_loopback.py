"""When Ray's client is kept on loopback; no Ray is started here."""

import os
import socket
from collections.abc import Iterator

import pytest
from ray._private import services
from ray._private.authentication import authentication_token_setup as setup

from distrain.loopback import LOOPBACK_VARIABLE, begun_on_loopback, is_loopback, kept_on_loopback

OUTWARD = "127.0.0.2"  # another address of this machine, where nothing of these tests listens


@pytest.fixture
def port() -> Iterator[int]:
    """Listen on 127.0.0.1 alone."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    """Let Ray take another outward address; gives what it was told of tokens."""
    told: list[dict[str, object]] = []

    def resolve(host: str) -> str:
        return OUTWARD if host == "127.0.0.1" else host

    monkeypatch.setattr(services, "resolve_ip_for_localhost", resolve)
    monkeypatch.setattr(
        setup, "maybe_enable_token_auth_if_token_available", lambda **how: told.append(how)
    )
    return told


def test_an_address_where_loopback_alone_leads_stays_and_is_shown_the_token(
    port: int, shown: list[dict[str, object]]
) -> None:
    with kept_on_loopback(f"127.0.0.1:{port}"):
        within = services.resolve_ip_for_localhost("127.0.0.1")

    assert within == "127.0.0.1"
    assert services.resolve_ip_for_localhost("127.0.0.1") == OUTWARD
    assert shown == [{"warn_if_disabled": False}]


def test_a_cluster_that_answers_at_the_outward_address_too_is_connected_as_ray_does_it(
    port: int, shown: list[dict[str, object]]
) -> None:
    with socket.socket() as server:
        server.bind((OUTWARD, port))
        server.listen()
        with kept_on_loopback(f"127.0.0.1:{port}"):
            within = services.resolve_ip_for_localhost("127.0.0.1")

    assert within == OUTWARD
    assert shown == []


@pytest.mark.parametrize("address", ["10.0.0.5:6379", "auto"])
def test_other_addresses_are_let_alone(address: str, shown: list[dict[str, object]]) -> None:
    with kept_on_loopback(address):
        within = services.resolve_ip_for_localhost("127.0.0.1")

    assert within == OUTWARD
    assert shown == []


@pytest.mark.parametrize("before", [None, "1"])
def test_a_node_that_begins_has_the_loopback_address_and_others_do_not(
    before: str | None, shown: list[dict[str, object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(LOOPBACK_VARIABLE, raising=False)
    if before is not None:
        monkeypatch.setenv(LOOPBACK_VARIABLE, before)

    with begun_on_loopback():
        within = services.resolve_ip_for_localhost("127.0.0.1"), os.environ[LOOPBACK_VARIABLE]

    assert within == ("127.0.0.1", "0")
    assert services.resolve_ip_for_localhost("127.0.0.1") == OUTWARD
    assert os.environ.get(LOOPBACK_VARIABLE) == before


@pytest.mark.parametrize(
    ("host", "is_it"),
    [
        *(("localhost", True), ("a.localhost", True), ("127.9.9.9", True), ("::1", True)),
        *(("::ffff:127.0.0.1", True), ("::ffff:10.0.0.5", False), ("0.0.0.0", False)),
        *(("127.evil.example", False), ("localhost.example", False)),
    ],
)
def test_hosts_that_are_this_machine_are_told_by_their_names(host: str, is_it: bool) -> None:
    assert is_loopback(host) is is_it
