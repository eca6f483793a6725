"""What holds of every file below `cluster/`: no secret, locked versions, tested and explained."""

import re
from pathlib import Path

import pytest

from distrain.redaction import holds_secret
from distrain.secret_names import is_secret_value
from tests.cluster_files import CLUSTER, documents, leaves, locked, pinned_packages, variables

# Each with the tests that would notice if it broke.
TESTED = {
    "README.md": "test_every_file",
    "aws.yaml": "test_launcher_files",
    "gcp.yaml": "test_launcher_files",
    "on-premises.yaml": "test_launcher_files",
    "compose.yaml": "test_compose_file",
    "make-secrets": "test_compose_file",
    "grafana.json": "test_grafana",
    "slurm.sh": "test_slurm_script",
    "image/Dockerfile": "test_image",
    "image/Dockerfile.dockerignore": "test_image",
    "image/mlflow-auth.ini": "test_image",
    "image/with-secrets": "test_image",
    "kubernetes/kustomization.yaml": "test_kubernetes_files",
    "kubernetes/mlflow.yaml": "test_kubernetes_files",
    "kubernetes/namespace.yaml": "test_kubernetes_files",
    "kubernetes/network.yaml": "test_kubernetes_files",
    "kubernetes/postgresql.yaml": "test_kubernetes_files",
    "kubernetes/raycluster.yaml": "test_kubernetes_files",
    "kubernetes/rayjob.yaml": "test_kubernetes_files",
    "kubernetes/storage.yaml": "test_kubernetes_files",
}
FILES = [CLUSTER / name for name in TESTED]
YAML_FILES = [path for path in FILES if path.suffix == ".yaml"]


def names(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(CLUSTER)) for path in paths]


def test_each_file_has_its_tests_and_no_other_is_there() -> None:
    there = {path for path in CLUSTER.rglob("*") if path.is_file()}

    assert {path for path in there if "secrets" not in path.parts} == set(FILES)
    for tests in set(TESTED.values()):
        assert Path(__file__).with_name(f"{tests}.py").is_file()


@pytest.mark.parametrize("path", FILES, ids=names(FILES))
def test_no_secret_is_written_out(path: Path) -> None:
    assert holds_secret(path.read_text(encoding="utf-8")) is None


@pytest.mark.parametrize("path", YAML_FILES, ids=names(YAML_FILES))
def test_no_variable_or_key_has_a_secret_as_its_value(path: Path) -> None:
    trees = documents(path)
    named = [(where[-1], value) for tree in trees for where, value in leaves(tree) if where]
    # A name of a secret's place: `secretName`, or a file below /run/secrets.
    # As a key, a file's path is no name of a variable: `/home/ray/.ray/auth_token: FROM`.
    given = [(k, v) for k, v in named if isinstance(v, str) and not str(k).startswith("/")]
    given += [pair for tree in trees for pair in variables(tree)]

    assert [name for name, value in given if is_secret_value(name, value)] == []


@pytest.mark.parametrize("path", FILES, ids=names(FILES))
def test_versions_are_the_locked_ones(path: Path) -> None:
    text = path.read_text(encoding="utf-8")

    for name, version in pinned_packages(text):
        assert locked(name) in (None, version), name
    for version in re.findall(r"rayproject/ray:([\d.]+)", text):
        assert version == locked("ray")


@pytest.mark.parametrize("path", FILES, ids=names(FILES))
def test_nothing_is_published_to_every_address(path: Path) -> None:
    text = path.read_text(encoding="utf-8")

    assert (
        re.findall(r"0\.0\.0\.0(?:/0|:\d+)|hostNetwork|hostPort|NodePort|LoadBalancer", text) == []
    )


def test_the_readme_names_each_file_that_is_taken() -> None:
    readme = (CLUSTER / "README.md").read_text(encoding="utf-8")
    taken = ("aws.yaml", "gcp.yaml", "on-premises.yaml", "compose.yaml", "slurm.sh")

    for name in (*taken, "kubernetes", "make-secrets", "image/Dockerfile", "rayjob.yaml"):
        assert f"]({name})" in readme or f"](kubernetes/{name})" in readme, name
    links = re.findall(r"\]\(([^)#]+)\)", readme)
    assert [link for link in links if not (CLUSTER / link).exists()] == []
