import subprocess
from pathlib import Path

import pytest

from distrain.track import lineage
from distrain.track.git import git_facts


def git(folder: Path, *arguments: str) -> None:
    names = ["-c", "user.name=ann", "-c", "user.email=ann@example.org"]
    subprocess.run(["git", "-C", str(folder), *names, *arguments], check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q", "-b", "trunk")
    (tmp_path / "a.py").write_text("A = 1\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "Begin")
    return tmp_path


def test_a_clean_working_tree_is_told(repository: Path) -> None:
    git(repository, "remote", "add", "origin", "https://ann:secret@example.org/a.git")
    (repository / "new.txt").write_text("untracked\n")
    facts = git_facts(repository)
    assert facts is not None
    assert len(facts.commit) == 40
    assert (facts.branch, facts.is_dirty) == ("trunk", False)
    assert facts.remote == "https://example.org/a.git"


def test_a_changed_file_makes_it_dirty(repository: Path) -> None:
    (repository / "a.py").write_text("A = 2\n")
    facts = git_facts(repository)
    assert facts is not None
    assert facts.is_dirty


def test_a_detached_head_has_no_branch(repository: Path) -> None:
    git(repository, "checkout", "-q", "--detach")
    facts = git_facts(repository)
    assert facts is not None
    assert facts.branch is None


def test_no_repository_no_commit_and_no_git_are_no_facts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert git_facts(tmp_path) is None
    git(tmp_path, "init", "-q")
    assert git_facts(tmp_path) is None
    monkeypatch.setenv("PATH", "")
    assert git_facts(tmp_path) is None


def test_the_code_digest_follows_the_users_sources(tmp_path: Path) -> None:
    source = tmp_path / "net.py"
    source.write_text("A = 1\n")
    before = lineage.code_digest([source])
    assert lineage.code_digest([source]) == before
    assert lineage.code_digest() != before
    source.write_text("A = 2\n")
    assert lineage.code_digest([source]) != before


def test_the_code_digest_follows_what_a_package_links_to(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "gate.py").write_text("A = 1\n")
    (tmp_path / "nets").mkdir()
    (tmp_path / "nets" / "sub").symlink_to(tmp_path / "shared")

    assert list(lineage.code_hashes([tmp_path / "nets"])) == ["nets/sub/gate.py"]


def test_digests_do_not_depend_on_the_order_of_keys() -> None:
    assert lineage.digest({"a": 1, "b": [2]}) == lineage.digest({"b": [2], "a": 1})
    assert lineage.digest({"a": 1}) != lineage.digest({"a": 2})


@pytest.mark.parametrize(
    ("argv", "name"),
    [
        (
            ["/venv/bin/distrain", "train", "run.yaml", "seed=1", "--json"],
            "distrain train run.yaml",
        ),
        (["distrain", "train", "a.yaml", "track.uri=http://ann:pw@h"], "distrain train a.yaml"),
        ([""], "python"),
        ([], "python"),
    ],
)
def test_the_source_is_the_command_without_values(argv: list[str], name: str) -> None:
    assert lineage.source_name(argv) == name


def test_a_run_says_where_it_comes_from(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(repository)
    tags = lineage.run_tags(config_digest="c" * 64, seed=7)
    assert tags["distrain.config.sha256"] == "c" * 64
    assert tags["distrain.seed"] == "7"
    assert tags["distrain.code.dirty"] == "false"
    assert tags["mlflow.source.git.branch"] == "trunk"
    assert len(tags["distrain.code.sha256"]) == len(tags["distrain.env.sha256"]) == 64
    assert all(isinstance(value, str) and value for value in tags.values())
    assert "torch" in lineage.environment_facts()
