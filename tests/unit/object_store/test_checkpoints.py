import shutil

import pytest
import torch

from distrain.object_store import claims
from distrain.object_store.link import Link
from distrain.train import taking_up
from distrain.train.checkpoint import SavedState, commit, committed_steps, retain
from distrain.train.taking_up import clear_after, find
from tests.s3_server import S3Server
from tests.unit.object_store.conftest import NewLink


def saved(step: int) -> SavedState:
    return SavedState(step, {"plan": "p"}, {}, {"w": torch.full((3,), float(step))})


@pytest.fixture
def link(new_link: NewLink) -> Link:
    link = new_link("first")
    claims.claim(link, 1, b"first")
    for step in (2, 4, 6):
        commit(link.folder, saved(step))
    return link


def taken_over(new_link: NewLink, name: str = "second", fence: int = 2) -> Link:
    link = new_link(name)
    claims.claim(link, fence, name.encode())
    return link


def test_the_newest_is_found_on_a_host_that_has_nothing(link: Link, new_link: NewLink) -> None:
    other = taken_over(new_link)

    found = find(other.folder, keeps_tensors=True)

    own = link.folder / "checkpoints" / "step-6" / "state.safetensors"
    assert (found.step, found.damaged) == (6, ())
    assert found.content.tensors.tobytes() == own.read_bytes()


def test_a_torn_one_is_told_and_passed_over_for_good(link: Link, new_link: NewLink) -> None:
    link.run.remove(["checkpoints/000001-000/step-6/state.safetensors"])
    other, told = taken_over(new_link), []

    found = find(other.folder, told.append)
    clear_after(other.folder, found)

    assert (found.step, found.damaged) == (4, (6,))
    assert "the file cannot be read" in told[0]
    assert find(taken_over(new_link, "third", 3).folder).damaged == ()


def test_one_without_a_manifest_was_never_committed(link: Link, new_link: NewLink) -> None:
    link.run.remove(["checkpoints/000001-000/step-6/manifest.json"])

    assert find(taken_over(new_link).folder).step == 4


def test_a_commit_that_the_store_does_not_take_is_none_here_either(
    link: Link, server: S3Server
) -> None:
    with server.being_away(), pytest.raises(OSError, match="SlowDown"):
        commit(link.folder, saved(8))

    assert committed_steps(link.folder) == [6, 4, 2]
    commit(link.folder, saved(8))
    assert committed_steps(link.folder) == [8, 6, 4, 2]


def test_nothing_is_removed_here_while_the_store_is_away(link: Link, server: S3Server) -> None:
    with server.being_away(), pytest.raises(OSError, match="SlowDown"):
        retain(link.folder, 1, None)

    assert committed_steps(link.folder) == [6, 4, 2]


def test_the_newest_and_the_best_stay_in_both_places(link: Link, new_link: NewLink) -> None:
    retain(link.folder, 1, best_step=2)

    other = taken_over(new_link)
    assert committed_steps(link.folder) == [6, 2]
    assert find(other.folder).step == 6
    names = [entry.name.split("/")[2] for entry in other.run.entries("checkpoints/")]
    assert sorted(set(names)) == ["step-2", "step-6"]


def test_a_stale_worker_writes_over_nothing_and_removes_nothing_of_the_living(
    link: Link, new_link: NewLink
) -> None:
    living = taken_over(new_link)
    commit(living.folder, saved(8))
    shutil.rmtree(link.folder / "checkpoints")

    commit(link.folder, SavedState(8, {"plan": "p"}, {}, {"w": torch.zeros(3)}))

    third = taken_over(new_link, "third", 3)
    found = find(third.folder, keeps_tensors=True)
    own = living.folder / "checkpoints" / "step-8" / "state.safetensors"
    assert found.content.tensors.tobytes() == own.read_bytes()


def test_a_damaged_copy_on_this_host_is_fetched_again(
    link: Link, caplog: pytest.LogCaptureFixture
) -> None:
    copy = link.folder / "checkpoints" / "step-6" / "state.safetensors"
    whole = copy.read_bytes()
    copy.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])

    found = find(link.folder)

    assert (found.step, found.damaged, copy.read_bytes()) == (6, (), whole)
    assert "the copy here was fetched again" in caplog.text


def test_one_that_is_damaged_here_and_not_at_the_store_is_passed_over(link: Link) -> None:
    link.run.remove(["checkpoints/000001-000/step-6/manifest.json"])
    (link.folder / "checkpoints" / "step-6" / "state.safetensors").write_bytes(b"torn")

    assert find(link.folder).damaged == (6,)


def test_one_that_is_removed_while_it_is_looked_for_is_not_damaged(
    link: Link, new_link: NewLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = taken_over(new_link)
    link.run.remove(["checkpoints/000001-000/step-6/manifest.json"])
    monkeypatch.setattr(taking_up, "kept_steps", lambda _: [6, 4, 2])

    found = find(other.folder)

    assert (found.step, found.damaged) == (4, ())
