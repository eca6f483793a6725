from typing import Any

import pytest

from distrain.config.environment import ACCOUNT
from distrain.errors import ConfigError
from distrain.train.worker_environment import args_digest, part_environment


def test_what_holds_a_secret_is_kept_from_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PW", "hunter2")
    monkeypatch.setenv("PLANTED_TOKEN", "planted-value")
    for name in ACCOUNT:
        monkeypatch.delenv(name, raising=False)
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


def test_workers_set_the_driver_s_account_unless_another_is_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ACCOUNT:
        monkeypatch.setenv(name, f"the driver's {name}")

    assert part_environment({}, {}) == ({}, {name: f"the driver's {name}" for name in ACCOUNT})
    told, own = part_environment({"AWS_ACCESS_KEY_ID": "of-workers"}, {})

    assert "of-workers" in (told | own).values()
    assert "the driver's AWS_ACCESS_KEY_ID" not in own.values()
    assert own["AWS_SESSION_TOKEN"] == "the driver's AWS_SESSION_TOKEN"


def test_a_variable_that_is_not_set_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UNSET", raising=False)

    with pytest.raises(ConfigError, match=r"no variable UNSET"):
        part_environment({"A": "${UNSET}"}, {})


def digest_with(
    monkeypatch: pytest.MonkeyPatch,
    args: dict[str, Any],
    env: dict[str, str] | None = None,
    **variables: str,
) -> str | None:
    with monkeypatch.context() as patch:
        for name in ("P", "HF_TOKEN", "ANY"):
            patch.delenv(name, raising=False)
        for name, text in variables.items():
            patch.setenv(name, text)
        return args_digest(args, env or {})


def test_variables_of_a_model_s_args_are_in_their_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    args = {"layers": [{"dropout": "${P:-0.1}"}]}
    usual = digest_with(monkeypatch, args)
    assert usual == digest_with(monkeypatch, args, P="0.1")
    assert usual != digest_with(monkeypatch, args, P="0.9")
    assert digest_with(monkeypatch, {"dropout": 0.1}) is None


def test_the_driver_s_digest_is_the_one_that_workers_come_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    args = {"dropout": "${P:-0.1}"}
    for_workers = digest_with(monkeypatch, args, {"P": "0.9"})
    assert for_workers == digest_with(monkeypatch, args, P="0.9")
    # As in the workers, where the driver's variable comes first.
    assert digest_with(monkeypatch, args, {"P": "0.9"}, P="0.1") == digest_with(monkeypatch, args)


@pytest.mark.parametrize("args", [{"hub_token": "${ANY}"}, {"options": ["${HF_TOKEN}"]}])
def test_a_secret_is_in_no_digest_and_may_be_renewed(
    monkeypatch: pytest.MonkeyPatch, args: dict[str, Any]
) -> None:
    first, second = (
        digest_with(monkeypatch, args, HF_TOKEN=text, ANY=text)
        for text in ("planted-value-of-then", "planted-value-of-now")
    )
    assert first == second
