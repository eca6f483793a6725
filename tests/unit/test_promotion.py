import pytest

from distrain.errors import ConfigError
from distrain.promotion import check_alias


@pytest.mark.parametrize(
    ("alias", "told"),
    [
        ("latest", "reserved by MLflow"),
        ("Latest", "reserved by MLflow"),
        ("v7", "reserved by MLflow"),
        ("", "none that the registry takes"),
        ("prod.eu", "none that the registry takes"),
        ("a/b", "none that the registry takes"),
        ("two words", "none that the registry takes"),
        ("x" * 256, "none that the registry takes"),
    ],
)
def test_an_alias_that_cannot_be_is_told(alias: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        check_alias(alias)


def test_other_aliases_are_taken() -> None:
    for alias in ("champion", "prod-eu_2", "v7b", "x" * 255):
        check_alias(alias)
