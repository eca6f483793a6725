"""The container image: what goes into it, as whom it runs, and how secrets reach a command."""

import configparser
import fnmatch
import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

from tests.cluster_files import CLUSTER, CONSTRAINTS, PROJECT, REPOSITORY, locked, pinned_packages

IMAGE = CLUSTER / "image"
TEXT = (IMAGE / "Dockerfile").read_text(encoding="utf-8")
# Instructions with their arguments; lines that go on are joined.
LINES = [
    line.split(maxsplit=1)
    for line in re.sub(r"\\\n", " ", TEXT).splitlines()
    if line.strip() and not line.startswith("#")
]


def arguments(instruction: str) -> list[str]:
    return [rest for name, rest in LINES if name == instruction]


def test_it_begins_with_an_official_python_that_the_package_takes() -> None:
    [base] = arguments("FROM")
    # Of the minor version: old patch versions are not kept for every system.
    found = re.fullmatch(r"python:(\d+\.\d+)-slim", base)

    assert found is not None
    assert f"{found[1]}.0" in SpecifierSet(PROJECT["requires-python"])


def test_only_locked_packages_are_installed() -> None:
    installs = [line for line in arguments("RUN") if "pip install" in line]

    assert len(installs) == 2
    assert all("--constraint constraints.txt" in line for line in installs)
    named = dict(pinned_packages(TEXT))
    assert named.keys() == {"ray", "torch", "mlflow", "psycopg", "boto3"}
    assert all(locked(name) == version for name, version in named.items())
    [ray] = [line for line in PROJECT["dependencies"] if line.startswith("ray[")]
    assert re.search(r"ray\[[\w,]+\]", TEXT)[0] == ray[: ray.index("]") + 1]


def test_what_the_mlflow_server_asks_passwords_with_is_locked() -> None:
    assert re.search(r"^Flask-WTF==", CONSTRAINTS, re.MULTILINE)
    assert '"mlflow[auth]==' in TEXT


def test_it_runs_as_an_ordinary_user_and_asks_for_a_token() -> None:
    names = [name for name, _ in LINES]
    [environment] = arguments("ENV")

    assert arguments("USER") == ["distrain"]
    assert "RUN" not in names[names.index("USER") :]
    assert "--uid 1000" in TEXT
    assert "RAY_AUTH_MODE=token" in environment.split()
    assert json.loads(arguments("ENTRYPOINT")[0]) == ["with-secrets"]


def copied() -> list[tuple[str, str]]:
    """Return what is copied: where from, and where to."""
    pairs = []
    for line in arguments("COPY"):
        *sources, target = [word for word in line.split() if not word.startswith("--")]
        pairs += [(source, target) for source in sources]
    return pairs


def test_all_that_is_copied_is_there_and_nothing_else_goes_to_the_builder() -> None:
    lines = (IMAGE / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    let_in = [rule[1:] for rule in rules if rule.startswith("!")]

    assert rules[0] == "*"
    for source, _ in copied():
        assert (REPOSITORY / source).exists(), source
        assert any(fnmatch.fnmatch(source, f"{rule}*") for rule in let_in), source
    for rule in let_in:
        assert any(source.startswith(rule) for source, _ in copied()), rule
    assert not any(rule in ("runs", ".git", "cluster", "cluster/secrets") for rule in let_in)


def test_mlflow_s_settings_are_where_it_looks_and_let_nobody_in() -> None:
    [environment] = arguments("ENV")
    targets = dict(copied())
    settings = configparser.ConfigParser()
    settings.read(IMAGE / "mlflow-auth.ini")

    assert f"MLFLOW_AUTH_CONFIG_PATH={targets['cluster/image/mlflow-auth.ini']}" in environment
    assert settings["mlflow"]["default_permission"] == "NO_PERMISSIONS"
    assert "admin_password" not in settings["mlflow"]
    for path in (CLUSTER / "compose.yaml", CLUSTER / "kubernetes" / "mlflow.yaml"):
        assert settings["mlflow"]["database_uri"] in path.read_text(encoding="utf-8")


def with_secrets(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [IMAGE / "with-secrets", *words],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
    )


SECRETS = (
    *("PGPASSWORD", "AWS_SECRET_ACCESS_KEY", "MLFLOW_TRACKING_PASSWORD"),
    *("MLFLOW_AUTH_ADMIN_PASSWORD", "MLFLOW_FLASK_SERVER_SECRET_KEY"),
)


@pytest.mark.parametrize("name", SECRETS)
def test_a_command_gets_a_secret_from_the_file_that_is_named(name: str, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("a b$c'\"\n", encoding="utf-8")

    ended = with_secrets("printenv", name, **{f"{name}_FILE": str(file)})

    assert ended.stdout == "a b$c'\"\n"


def test_without_files_the_command_runs_as_it_is() -> None:
    ended = with_secrets("sh", "-c", 'echo "$1 ${PGPASSWORD-none}"; exit 3', "sh", "a word")

    assert (ended.returncode, ended.stdout) == (3, "a word none\n")


@pytest.mark.parametrize("content", [None, ""])
def test_a_secret_that_is_missing_is_told_and_nothing_runs(
    content: str | None, tmp_path: Path
) -> None:
    file = tmp_path / "secret"
    if content is not None:
        file.write_text(content, encoding="utf-8")

    ended = with_secrets("echo", "ran", PGPASSWORD_FILE=str(file))

    assert ended.returncode != 0
    assert ended.stdout == ""
    assert str(file) in ended.stderr


def test_each_secret_file_of_the_compose_file_is_known_to_it() -> None:
    text = (CLUSTER / "compose.yaml").read_text(encoding="utf-8")
    named = set(re.findall(r"^\s+(\w+)_FILE: /run/secrets/", text, re.MULTILINE))

    # PostgreSQL's own image reads this one.
    assert named - {"POSTGRES_PASSWORD"} == set(SECRETS)
