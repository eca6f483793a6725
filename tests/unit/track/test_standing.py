"""Where the user stands: here, or where a job was submitted."""

from collections.abc import Iterator

import pytest

from distrain.track import lineage, standing
from distrain.track.git import GitFacts, Uncommitted
from distrain.track.standing import Standing

FAR = Standing(
    user="somebody",
    git=GitFacts(commit="a" * 40, branch="main", is_dirty=True, remote=None),
    changes=Uncommitted("diff\n", 5, 0),
    job_id="distrain-adult-1",
)


@pytest.fixture(autouse=True)
def _standing_kept() -> Iterator[None]:
    yield
    standing._carried.clear()


def test_it_comes_back_from_plain_values() -> None:
    assert Standing.from_json(FAR.to_json()) == FAR


def test_a_job_s_record_names_the_code_of_where_it_was_submitted() -> None:
    standing.carry_over(FAR)

    tags = lineage.run_tags(config_digest="c", seed=0)

    assert tags["mlflow.user"] == "somebody"
    assert tags["distrain.code.commit"] == "a" * 40
    assert tags["distrain.code.dirty"] == "true"
    assert tags["distrain.job"] == "distrain-adult-1"
    assert standing.changes_here(standing.git_here()) == FAR.changes


def test_without_a_job_it_is_here() -> None:
    assert "distrain.job" not in lineage.run_tags(config_digest="c", seed=0)
    assert standing.standing_here().job_id is None
