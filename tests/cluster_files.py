"""The files below `cluster/`, read as those read them that they are for."""

import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import yaml

from tests.resolved_versions import locked_version

REPOSITORY = Path(__file__).parent.parent
CLUSTER = REPOSITORY / "cluster"
KUBERNETES = CLUSTER / "kubernetes"
CONSTRAINTS = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8")
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
IMAGE = f"distrain:{PROJECT['version']}"


def documents(path: Path) -> list[dict[str, Any]]:
    """Return the documents of a YAML file."""
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


def locked(name: str) -> str | None:
    """Return the version that is locked of a package; None: it is not among the locked ones."""
    try:
        return locked_version(name, CONSTRAINTS)
    except SystemExit:
        return None


def pinned_packages(text: str) -> list[tuple[str, str]]:
    """Return the packages that a text names with a version, `name[extras]==1.2`."""
    return re.findall(r"([A-Za-z][\w.-]*)(?:\[[\w,]*\])?==([\w.]+)", text)


def leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Give the values of a tree that are neither mappings nor lists, each with its path."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, (*path, str(key)))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from leaves(inner, (*path, str(number)))
    else:
        yield path, value


def variables(tree: Any) -> Iterator[tuple[str, Any]]:
    """Give environment variables that a tree sets to written values.

    Both spellings are known: `{NAME: value}` below a key `environment`, and Kubernetes' list of
    `{name: NAME, value: ...}` below `env`.
    """
    if isinstance(tree, dict):
        yield from (tree.get("environment") or {}).items()
        for entry in tree.get("env") or []:
            if "value" in entry:
                yield entry["name"], entry["value"]
        for inner in tree.values():
            yield from variables(inner)
    elif isinstance(tree, list):
        for inner in tree:
            yield from variables(inner)


def parse(command: click.Command, words: list[str]) -> dict[str, Any]:
    """Return the values that a command of click's would get; it is not run.

    Raises:
        click.UsageError: it does not know such words.
    """
    return command.make_context(command.name, list(words)).params


def schemas() -> Path:
    """Return the folder of schemas, or where it would be: `DISTRAIN_SCHEMAS`, else beside it all.

    It may not be there.
    """
    return Path(os.environ.get("DISTRAIN_SCHEMAS", REPOSITORY.parent / "shared" / "schemas"))
