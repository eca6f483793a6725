"""A cluster's dashboard: found, asked, and told in words where it does not answer."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from distrain.errors import ClusterError, ConfigError
from distrain.jobs.dashboard import connect
from distrain.ray_token import TOKEN, TOKEN_PATH
from tests.fake_dashboard import FakeDashboard

TEXT = "a-token-of-a-test-0123456789"


@pytest.fixture(autouse=True)
def _no_address(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (
        *("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS", "RAY_AUTH_MODE", "RAY_JOB_HEADERS"),
        *(TOKEN, TOKEN_PATH),
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def open_one() -> Iterator[FakeDashboard]:
    with FakeDashboard("host") as fake:
        yield fake


@pytest.fixture
def guarded() -> Iterator[FakeDashboard]:
    with FakeDashboard("host", token=TEXT) as fake:
        yield fake


def test_it_is_named_by_an_option_or_a_variable(
    open_one: FakeDashboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert connect(f"{open_one.url}/").where == f"--address = {open_one.url}"

    monkeypatch.setenv("RAY_ADDRESS", open_one.url)
    assert connect(None).origin == "RAY_ADDRESS"


@pytest.mark.parametrize("address", ["10.0.0.5:6379", "auto", "ray://h:10001", "http://u:p@h:1"])
def test_another_form_of_address_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="is no address of a dashboard"):
        connect(address)


def test_what_speaks_no_http_is_no_dashboard() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def speak_http2() -> None:
            for _ in range(2):  # a look whether anybody is there, and the request
                connection, _ = server.accept()
                with connection, contextlib.suppress(OSError):
                    connection.recv(1000)
                    connection.sendall(b"\0\0\x12\4\0\0\0\0\0\0\1\xfe\n")

        speaker = threading.Thread(target=speak_http2)
        speaker.start()
        with pytest.raises(ClusterError, match="it is no Ray dashboard"):
            connect(f"http://127.0.0.1:{server.getsockname()[1]}")
        speaker.join()


def test_silence_is_told_with_the_address_and_a_mend() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{probe.getsockname()[1]}"

    with pytest.raises(ClusterError, match="no Ray cluster answers there") as caught:
        connect(address)

    assert caught.value.exit_code == 4
    assert caught.value.where == f"--address = {address}"
    assert "--address" in caught.value.mend


def test_no_token_is_sent_to_who_asks_for_none(
    open_one: FakeDashboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TOKEN, TEXT)

    connect(open_one.url).json("/api/jobs/")

    assert set(open_one.tokens_seen) == {None}


def test_the_token_is_sent_to_who_asks_for_it(
    guarded: FakeDashboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TOKEN, TEXT)

    dashboard = connect(guarded.url)

    assert dashboard.json("/api/jobs/") == []
    assert TEXT not in repr(dashboard)


@pytest.mark.parametrize(
    ("token", "told"),
    [(None, "asks for a token"), ("0123456789-of-another-test", "takes another token")],
)
def test_a_refusal_is_told(
    guarded: FakeDashboard, monkeypatch: pytest.MonkeyPatch, token: str | None, told: str
) -> None:
    if token is not None:
        monkeypatch.setenv(TOKEN, token)

    with pytest.raises(ClusterError, match=told) as caught:
        connect(guarded.url)

    assert str(token) not in str(caught.value)
    assert TOKEN_PATH in caught.value.mend


def test_a_token_that_others_can_read_is_not_sent(guarded: FakeDashboard, tmp_path: Path) -> None:
    path = tmp_path / ".ray" / "auth_token"
    path.parent.mkdir()
    path.write_text(TEXT)
    path.chmod(0o644)

    with pytest.raises(ConfigError, match=r"chmod 600 \S+auth_token"):
        connect(guarded.url)

    assert set(guarded.tokens_seen) == {None}
