"""The token that a cluster asks for: where it is found, and who else may read it."""

from pathlib import Path

import pytest

from distrain.errors import ConfigError
from distrain.jobs.token import PATH_VARIABLE, VARIABLE, find_token
from distrain.redaction import MASK, redacted

TOKEN = "a-token-of-a-test-0123456789"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in (VARIABLE, PATH_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def keep(path: Path, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(TOKEN + "\n", encoding="utf-8")
    path.chmod(mode)


def test_there_may_be_none() -> None:
    assert find_token() is None


def test_it_is_found_at_home(home: Path) -> None:
    keep(home / ".ray" / "auth_token", 0o600)

    assert find_token() == TOKEN


def test_a_variable_comes_before_the_file(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(home / ".ray" / "auth_token", 0o644)
    monkeypatch.setenv(VARIABLE, "another")

    assert find_token() == "another"


def test_it_is_masked_from_then_on(home: Path) -> None:
    keep(home / ".ray" / "auth_token", 0o600)
    find_token()

    assert redacted(f"sent {TOKEN}") == f"sent {MASK}"


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o666])
def test_a_file_that_everybody_can_read_is_refused(home: Path, mode: int) -> None:
    path = home / ".ray" / "auth_token"
    keep(path, mode)

    with pytest.raises(ConfigError) as caught:
        find_token()

    assert caught.value.mend == f"chmod 600 {path}"
    assert TOKEN not in str(caught.value)


def test_a_file_that_is_named_and_not_there_is_told(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PATH_VARIABLE, str(home / "nowhere"))

    with pytest.raises(ConfigError, match=r"nowhere: .* there is no such file"):
        find_token()
