"""What `distrain chaos` refuses as a command."""

import pytest

from distrain.commands.chaos import chaos
from distrain.errors import ConfigError


def test_an_address_as_an_option_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"--address auto: .* private Ray alone") as refused:
        chaos(["run.yaml"], address="auto")

    assert refused.value.exit_code == 2


def test_a_configuration_is_needed() -> None:
    with pytest.raises(ConfigError, match="no configuration file"):
        chaos(["train.steps=5"])
