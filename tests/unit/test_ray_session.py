"""How a Ray that cannot be had is told; no Ray is started here."""

from typing import Any

import pytest

from distrain.errors import ClusterError
from distrain.ray_session import ray_session


@pytest.fixture(autouse=True)
def not_connected(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a session find no Ray in this process, though other tests may share one."""
    monkeypatch.setattr("ray.is_initialized", lambda: False)


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
