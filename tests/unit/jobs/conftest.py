"""What tests of a cluster's front share: a home of their own, since a user's may hold a token."""

import pytest

from distrain.ray_token import TOKEN, TOKEN_PATH


@pytest.fixture(autouse=True)
def _empty_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Show no token of the user's, whoever can read it."""
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
    monkeypatch.delenv(TOKEN, raising=False)
    monkeypatch.delenv(TOKEN_PATH, raising=False)
