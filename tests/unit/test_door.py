"""The public door: all that it names is there, and what is a command can be called."""

import pytest

import distrain


@pytest.mark.parametrize("name", distrain.__all__)
def test_each_public_name_can_be_called(name: str) -> None:
    assert callable(getattr(distrain, name))
