"""Where a token is looked for, and why a cluster refuses who knocks."""

import os
import stat
from pathlib import Path

import pytest

from distrain import ray_token
from distrain.errors import ConfigError
from distrain.ray_token import (
    MODE,
    TLS,
    TOKEN,
    TOKEN_PATH,
    Access,
    Token,
    ask_access,
    ensure_token,
    find_token,
    own_token,
    why_refused,
)
from distrain.redaction import MASK, redacted

OWN = Token("/home/me/.ray/auth_token", "s3cret", 0o600)
OPEN = Token("/home/me/.ray/auth_token", "s3cret", 0o644)
TEXT = "a-token-of-a-test-0123456789"


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep a token where Ray looks for it at home."""
    for name in (TOKEN, TOKEN_PATH):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    path = tmp_path / ".ray" / "auth_token"
    path.parent.mkdir()
    path.write_text(TEXT + "\n", encoding="utf-8")
    path.chmod(0o600)
    return path


def test_a_token_is_taken_from_the_environment_before_a_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{TEXT}\n")
    both = {"RAY_AUTH_TOKEN": " own ", "RAY_AUTH_TOKEN_PATH": str(tmp_path / "token")}

    found = find_token(both)

    assert found == Token("RAY_AUTH_TOKEN", "own")
    assert "own" not in repr(found)


def test_a_token_file_is_found_with_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(f"{TEXT}\n")
    path.chmod(0o640)

    found = find_token({"RAY_AUTH_TOKEN_PATH": str(path)})

    assert found == Token(str(path), TEXT, 0o640)
    assert found is not None
    assert found.is_open


def test_without_any_there_is_no_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "home", lambda: tmp_path)

    assert find_token({}) is None


def test_a_file_that_is_named_and_missing_is_told() -> None:
    found = find_token({"RAY_AUTH_TOKEN_PATH": "/nowhere/token"})
    access = Access(is_asked=True, is_on=True, token=found, is_right=False)

    refusal = why_refused(access)

    assert refusal is not None
    assert "/nowhere/token holds none" in refusal[0]


@pytest.mark.parametrize(
    ("access", "reason", "mend"),
    [
        (Access(True, True, None, False), "there is none here", "RAY_AUTH_TOKEN_PATH"),
        (Access(True, True, OWN, False), "refuses the token of /home/me", "its head"),
        (Access(True, False, OWN, False), "is not shown", "Set RAY_AUTH_MODE=token"),
        (Access(True, True, OPEN, False), "others can read /home/me", "chmod 600 /home/me"),
        (Access(False, True, None, False), "there is no token", "Unset RAY_AUTH_MODE"),
    ],
)
def test_a_refusal_is_told_with_its_mend(access: Access, reason: str, mend: str) -> None:
    refusal = why_refused(access)

    assert refusal is not None
    assert reason in refusal[0]
    assert mend in refusal[1]
    assert "s3cret" not in "".join(refusal)


@pytest.mark.parametrize(
    "access", [Access(True, True, OWN, True), Access(False, False, None, False)]
)
def test_who_is_let_in_is_not_refused(access: Access) -> None:
    assert why_refused(access) is None


@pytest.mark.parametrize(
    ("mode", "says", "shown"),
    [(0o600, "token", [None, TEXT]), (0o600, "", [None]), (0o644, "token", [None])],
)
def test_a_cluster_sees_the_token_only_where_ray_shows_it_and_nobody_else_can_read_it(
    kept: Path, monkeypatch: pytest.MonkeyPatch, mode: int, says: str, shown: list[str | None]
) -> None:
    seen: list[str | None] = []

    def accepts(_: str, token: str | None) -> bool:
        seen.append(token)
        return token is not None

    kept.chmod(mode)
    monkeypatch.setenv(MODE, says)
    monkeypatch.setattr(ray_token, "_accepts", accepts)

    access = ask_access("10.0.0.5:6379")

    assert seen == shown
    assert access is not None
    assert access.is_right is (len(shown) == 2)


def test_certificates_that_are_not_there_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TLS, "1")
    for name in ("RAY_TLS_SERVER_CERT", "RAY_TLS_SERVER_KEY", "RAY_TLS_CA_CERT"):
        monkeypatch.delenv(name, raising=False)

    with pytest.raises(ConfigError, match="certificates of RAY_USE_TLS cannot be read"):
        ask_access("10.0.0.5:6379")


def test_the_user_s_own_token_is_masked_from_then_on(kept: Path) -> None:
    assert own_token() == TEXT
    assert redacted(f"sent {TEXT}") == f"sent {MASK}"


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o640, 0o666])
def test_a_file_that_others_can_read_is_refused(kept: Path, mode: int) -> None:
    kept.chmod(mode)

    with pytest.raises(ConfigError) as caught:
        own_token()

    assert caught.value.mend == f"chmod 600 {kept}"
    assert TEXT not in str(caught.value)


@pytest.mark.parametrize("name", ["nowhere", "empty"])
def test_a_named_file_without_a_token_is_refused(
    kept: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (kept.parent / "empty").touch(mode=0o600)
    monkeypatch.setenv(TOKEN_PATH, str(kept.parent / name))

    with pytest.raises(ConfigError, match=f"{name}: there is no token there"):
        own_token()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without a token."""
    for name in (MODE, TOKEN, TOKEN_PATH):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_a_token_is_made_for_its_user_alone_and_only_once(home: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        (home / ".ray").mkdir()
        (home / ".ray").chmod(0o700)
        ensure_token()
    finally:
        os.umask(before)
    token = home / ".ray" / "auth_token"
    made = token.read_text(encoding="utf-8")
    ensure_token()

    assert len(bytes.fromhex(made)) == 32
    assert token.read_text(encoding="utf-8") == made
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert list(token.parent.iterdir()) == [token]


def test_a_token_that_came_meanwhile_is_kept(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / ".ray").mkdir()
    (home / ".ray" / "auth_token").write_text(TEXT)
    monkeypatch.setattr("distrain.ray_token.find_token", lambda: None)

    ensure_token()

    assert (home / ".ray" / "auth_token").read_text() == TEXT


@pytest.mark.parametrize(
    ("name", "value"), [(MODE, "disabled"), (TOKEN, "x"), (TOKEN_PATH, "/nowhere/x")]
)
def test_no_token_is_made_where_there_is_another_or_none_is_wanted(
    name: str, value: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)

    ensure_token()

    assert list(home.iterdir()) == []


def test_a_home_that_cannot_take_a_token_is_told(home: Path) -> None:
    (home / ".ray").write_text("no folder")

    with pytest.raises(ConfigError, match=r"a token for Ray cannot be kept") as caught:
        ensure_token()

    assert caught.value.where == str(home / ".ray" / "auth_token")
    assert TOKEN_PATH in caught.value.mend
