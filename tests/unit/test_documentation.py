"""What the README and the guides say exists."""

import re
from pathlib import Path

import pytest
from typer.main import get_command

from distrain.cli import app
from distrain.config.load import load_settings

REPOSITORY = Path(__file__).parent.parent.parent
GUIDES = [REPOSITORY / "README.md", *sorted(REPOSITORY.glob("examples/*/README.md"))]


def names(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(REPOSITORY)) for path in paths]


@pytest.mark.parametrize("guide", GUIDES, ids=names(GUIDES))
def test_links_lead_somewhere(guide: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", guide.read_text(encoding="utf-8"))

    assert [link for link in links if not (guide.parent / link).exists()] == []


@pytest.mark.parametrize("guide", GUIDES, ids=names(GUIDES))
def test_commands_exist(guide: Path) -> None:
    known = set(getattr(get_command(app), "commands"))  # noqa: B009  (typer's command is a group)
    used = re.findall(r"^\s*\$?\s*distrain ([a-z]+)", guide.read_text(encoding="utf-8"), re.M)

    assert set(used) <= known


def test_make_targets_exist() -> None:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    used = re.findall(r"make ([a-z-]+)`|\$ make ([a-z-]+)", GUIDES[0].read_text(encoding="utf-8"))

    for target in {first or second for first, second in used}:
        assert re.search(rf"^{target}:", makefile, re.M), target


EXAMPLES = sorted(REPOSITORY.glob("examples/*/*.yaml"))
CONFIGS = [path for path in EXAMPLES if path.name not in ("tiny.yaml", "search.yaml")]
SEARCHES = [path for path in EXAMPLES if path.name == "search.yaml"]


@pytest.mark.parametrize("path", SEARCHES, ids=names(SEARCHES))
def test_an_example_s_search_is_valid_beside_its_configuration(path: Path) -> None:
    [base] = [config for config in CONFIGS if config.parent == path.parent]

    assert load_settings([base, path]).tune is not None


@pytest.mark.parametrize("path", CONFIGS, ids=names(CONFIGS))
def test_an_example_s_configuration_is_valid_with_and_without_its_tiny_variant(path: Path) -> None:
    full = load_settings([path])
    tiny = load_settings([path, path.parent / "tiny.yaml"])

    assert full.name == tiny.name
