import pytest

from distrain.errors import ConfigError
from distrain.train.worker_environment import part_environment


def test_what_holds_a_secret_is_kept_from_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PW", "hunter2")
    monkeypatch.setenv("PLANTED_TOKEN", "planted-value")
    env = {
        "NCCL_SOCKET_IFNAME": "eth0",
        "LD_LIBRARY_PATH": "${PLANTED_PATH:-/opt/lib}:/x",
        "HF_TOKEN": "${PW}",
        "API_KEY": "written-out",
        "DATABASE_URL": "postgresql://me:${PW}@host/db",
        "HEADERS": "x-key ${PLANTED_TOKEN}",
    }

    told, own = part_environment(env, {"key": ["${PW}", "${PLANTED_PATH:-x}"], "width": 3})

    assert told == {"NCCL_SOCKET_IFNAME": "eth0", "LD_LIBRARY_PATH": "/opt/lib:/x"}
    assert own == {
        "PW": "hunter2",
        "HF_TOKEN": "hunter2",
        "API_KEY": "written-out",
        "DATABASE_URL": "postgresql://me:hunter2@host/db",
        "HEADERS": "x-key planted-value",
    }


def test_a_variable_that_is_not_set_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UNSET", raising=False)

    with pytest.raises(ConfigError, match=r"no variable UNSET"):
        part_environment({"A": "${UNSET}"}, {})
