"""How a Ray that cannot be had is told; no Ray is started here."""

import stat
from pathlib import Path
from typing import Any

import pytest

from distrain.errors import ClusterError
from distrain.ray_session import ray_session
from distrain.ray_token import Access, Token


@pytest.fixture(autouse=True)
def not_connected(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a session find no Ray in this process, and end none, though other tests may share one."""
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setattr("ray.shutdown", lambda: None)


@pytest.mark.parametrize(
    "cause",
    [
        PermissionError(13, "Permission denied", "/tmp/ray"),
        RuntimeError("Failed to start GCS. Last 1 lines of error files:\nout of memory"),
        Exception("The current node timed out during startup."),
    ],
)
def test_a_local_ray_that_does_not_start_is_no_cluster_that_is_missing(
    monkeypatch: pytest.MonkeyPatch, cause: Exception
) -> None:
    def fail(**_options: Any) -> None:
        raise cause

    monkeypatch.setattr("ray.init", fail)

    with pytest.raises(ClusterError) as caught, ray_session("local", num_cpus=1):
        pass

    first_line = str(cause).splitlines()[0]
    assert caught.value.message == f"a local Ray did not start ({first_line})"
    assert "RAY_TMPDIR" in caught.value.mend
    assert caught.value.__cause__ is cause


def test_a_local_ray_finds_a_token_that_its_user_alone_can_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    modes = []

    def init(**_options: Any) -> None:
        modes.append(stat.S_IMODE((tmp_path / ".ray" / "auth_token").stat().st_mode))

    monkeypatch.setattr("ray.init", init)
    monkeypatch.setattr("ray.nodes", list)

    with ray_session("local", num_cpus=1):
        pass

    assert modes == [0o600]


def test_an_ipv6_address_is_asked_without_its_brackets(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def speaks_grpc(host: str, port: int) -> bool:
        asked.append((host, port))
        return False

    monkeypatch.setattr("distrain.ray_session.speaks_grpc", speaks_grpc)

    with (
        pytest.raises(ClusterError, match=r"cluster.address = \[::1\]:6379: .* no Ray cluster"),
        ray_session("[::1]:6379", num_cpus=1),
    ):
        pass

    assert asked == [("::1", 6379)]


def test_a_refused_token_is_told_before_ray_tries_it(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = Access(is_asked=True, is_on=True, token=Token("~/t", "s3cret", 0o600), is_right=False)
    monkeypatch.setattr("distrain.ray_session.speaks_grpc", lambda *_: True)
    monkeypatch.setattr("distrain.ray_session.ask_access", lambda _: refused)
    monkeypatch.setattr("ray.init", lambda **_: pytest.fail("Ray would try for 20 s"))

    with (
        pytest.raises(ClusterError, match="refuses the token of ~/t") as caught,
        ray_session("10.0.0.5:6379", num_cpus=1),
    ):
        pass

    assert "s3cret" not in str(caught.value)


def test_another_version_of_ray_is_told_with_both(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (
        "Version mismatch: The cluster was started with:\n    Ray: 2.59.0\n    Python: 3.12.1\n"
        "This process on 10.0.0.9 was started with:\n    Ray: 2.60.0\n    Python: 3.11.4\n"
    )

    def fail(**_options: Any) -> None:
        raise RuntimeError(text)

    monkeypatch.setattr("distrain.ray_session.speaks_grpc", lambda *_: True)
    monkeypatch.setattr("distrain.ray_session.ask_access", lambda _: None)
    monkeypatch.setattr("ray.init", fail)

    with (
        pytest.raises(ClusterError) as caught,
        ray_session("10.0.0.5:6379", num_cpus=1),
    ):
        pass

    assert caught.value.message == (
        "the cluster has Ray 2.59.0 on Python 3.12.1, this process Ray 2.60.0 on Python 3.11.4"
    )
    assert caught.value.mend.startswith("Install Ray 2.59.0 on Python 3.12.1 here")
