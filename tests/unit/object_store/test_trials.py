import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from distrain.object_store import claims, trials
from distrain.object_store.checkpoints import kept_steps
from distrain.object_store.files import newest_files, put_files
from distrain.object_store.generations import Generation
from distrain.object_store.link import Link, linked, shown
from distrain.object_store.live import STOP_FILE, Heard, forget_words
from distrain.object_store.parts import put_part
from distrain.object_store.trials import (
    Remover,
    put_reply,
    put_trial_logs,
    remove_trials,
    search_folder,
    take_state,
    trial_place,
    trials_there,
)
from distrain.object_store.work_folder import new_token, work_folder
from distrain.object_store.work_link import for_workers
from distrain.train.checkpoint import SavedState, commit, retain
from distrain.train.taking_up import find
from tests.s3_server import S3Server
from tests.unit.object_store.conftest import NewLink

BEAT = "trials/0003/logs/beat-rank-0"


@pytest.fixture
def search(new_link: NewLink) -> Link:
    link = new_link("driver")
    claims.claim(link, 1, b"driver")
    return link


def attempt_at(search: Link, folder: Path, attempt: int, *, fence: int = 1, taken: int = 0) -> Link:
    """Return the link of an attempt at trial 3 that has begun, on a host of its own."""
    folder.mkdir(parents=True)
    link = Link(folder, trial_place(search.place, "0003", taken))
    link.patience_s = 0.0
    link.generation = Generation(fence, attempt)
    claims.begin_alone(link, is_first=(fence, attempt) == (1, 1))
    return link


def save(link: Link, step: int) -> None:
    saved = SavedState(step, {"plan": "p"}, {}, {"w": torch.full((3,), float(step))})
    with linked(link):
        commit(link.folder, saved)
        retain(link.folder, 1, None)


def test_what_a_trial_has_is_told_as_it_is_found_again(search: Link, tmp_path: Path) -> None:
    own = attempt_at(search, search.folder / "trials" / "0003", 1)
    log = own.folder / "logs" / "rank-0.txt"
    log.parent.mkdir()
    log.write_text("why it failed")
    save(own, 2)
    put_trial_logs(search, own.folder)

    with linked(own):
        names = ("checkpoints/step-2/manifest.json", "logs/rank-0.txt")
        told = [shown(own.folder / name).partition("?")[0] for name in names]

    at = search.place.uri.partition("?")[0]
    there = [f"{at}/{entry.name}" for entry in search.run.entries("")]
    assert told[0] == f"{at}/trials/0003/checkpoints/*/step-2/manifest.json"
    assert told[0].replace("*", "000001-001") in there
    assert told[1] in there


def found(link: Link) -> int | None:
    with linked(link):
        return find(link.folder).step


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10.0
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_first_attempt_at_a_trial_asks_the_store_for_one_thing(
    search: Link, server: S3Server, tmp_path: Path
) -> None:
    before = len(server.requests)

    attempt_at(search, tmp_path / "a", 1)

    assert [method for method, _ in server.requests[before:]] == ["PUT"]


def test_an_attempt_goes_on_elsewhere_from_what_an_earlier_one_saved(
    search: Link, tmp_path: Path
) -> None:
    save(attempt_at(search, tmp_path / "a", 1), 4)

    assert found(attempt_at(search, tmp_path / "b", 2)) == 4
    assert found(attempt_at(search, tmp_path / "c", 1, fence=2)) == 4


def test_what_a_lost_attempt_saves_late_counts_for_nothing(search: Link, tmp_path: Path) -> None:
    lost = attempt_at(search, tmp_path / "a", 1)
    save(lost, 4)
    assert claims.is_held(lost, 1, 1)

    second = attempt_at(search, tmp_path / "b", 2)
    saved = SavedState(8, {"plan": "p"}, {}, {"w": torch.zeros(3)})
    with linked(lost):
        commit(lost.folder, saved)

    assert not claims.is_held(lost, 1, 1)
    assert claims.is_held(second, 1, 2)
    assert found(second) == 4


def test_a_state_is_taken_over_with_its_ledger_and_once(search: Link, tmp_path: Path) -> None:
    source = attempt_at(search, tmp_path / "a", 1)
    (tmp_path / "step-00000004-rank-0.parquet").write_bytes(b"rows")
    put_part(source, tmp_path / "step-00000004-rank-0.parquet")
    save(source, 4)
    winner = Link(tmp_path / "winner", search.place.parent.below("run-0003"))
    winner.generation = Generation(1)

    take_state(source.place, None, winner)
    save(source, 6)
    take_state(source.place, None, winner)

    names = [entry.name for entry in winner.run.entries("")]
    assert kept_steps(winner) == [4]
    assert "ledger/000001-000/step-00000004-rank-0.parquet" in names
    assert found(winner) == 4


def test_nothing_is_taken_over_of_what_is_gone(search: Link, tmp_path: Path) -> None:
    source = attempt_at(search, tmp_path / "a", 1)
    save(source, 6)
    other = attempt_at(search, tmp_path / "b", 1, taken=1)

    take_state(source.place, 4, other)

    assert kept_steps(other) == []


def test_a_trial_that_has_taken_over_does_not_see_what_it_had(search: Link, tmp_path: Path) -> None:
    save(attempt_at(search, tmp_path / "a", 1), 8)
    of_other = Link(tmp_path / "x", search.place.below("trials/0005"))
    of_other.generation = Generation(1, 1)
    save(of_other, 4)
    anew = Link(tmp_path / "c", trial_place(search.place, "0003", 1))
    anew.generation = Generation(1)

    take_state(of_other.place, 4, anew)

    assert found(attempt_at(search, tmp_path / "b", 2, taken=1)) == 4


def test_what_can_no_longer_win_is_removed_wherever_it_lies(search: Link, tmp_path: Path) -> None:
    save(attempt_at(search, tmp_path / "a", 1), 4)
    save(attempt_at(search, tmp_path / "b", 2, taken=1), 4)
    kept = Link(tmp_path / "c", trial_place(search.place, "0004", 0))
    kept.generation = Generation(1, 1)
    save(kept, 4)
    remover = Remover(search)
    remover.start()

    remover.add("0003")
    remover.close()

    assert trials_there(search) == {"0004"}


def test_who_was_taken_for_dead_removes_nothing(
    search: Link, new_link: NewLink, tmp_path: Path
) -> None:
    save(attempt_at(search, tmp_path / "a", 1), 4)
    claims.claim(new_link("other"), 2, b"other")

    remove_trials(search, ["0003"])

    assert trials_there(search) == {"0003"}


def test_of_trials_only_the_logs_of_failed_ones_are_among_the_files(
    search: Link, new_link: NewLink
) -> None:
    for trial in ("0003", "0004"):
        folder = search.folder / "trials" / trial
        (folder / "logs").mkdir(parents=True)
        (folder / "logs" / "rank-0.txt").write_text(f"of {trial}")
        (folder / "job.json").write_text("{}")

    put_files(search)
    put_trial_logs(search, search.folder / "trials" / "0003")

    assert list(newest_files(search.run)) == ["trials/0003/logs/rank-0.txt"]
    other = new_link("other")
    claims.claim(other, 2, b"other")
    assert not (other.folder / "trials").exists()


def test_a_process_on_another_host_tells_and_is_told(
    search: Link, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trials, "LOOK_S", 0.02)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "other"))
    (tmp_path / "other").mkdir()
    told = json.loads(json.dumps({**for_workers(search, 0), "token": new_token()}))
    heard = Heard(search)

    with search_folder(told) as theirs:
        assert theirs.link.is_apart
        beat = theirs.link.folder / BEAT
        beat.parent.mkdir(parents=True)
        beat.write_bytes(b"beat")
        theirs.told.add(BEAT)
        (search.folder / STOP_FILE).touch()

        def both_know() -> bool:
            heard.take_in()
            is_stopped = (theirs.link.folder / STOP_FILE).exists()
            return is_stopped and (search.folder / BEAT).exists()

        wait_until(both_know)
        put_reply(search, "slot-1", "reply-2.json", b"stop")
        assert theirs.read_reply("slot-1", "reply-2.json") == b"stop"
        with pytest.raises(FileNotFoundError):
            theirs.read_reply("slot-1", "reply-3.json")
        theirs.tell_no_more(BEAT)
        own = "live/000001-000/"
        wait_until(lambda: [e.name for e in search.run.entries(own)] == [f"{own}{STOP_FILE}"])

    assert (search.folder / BEAT).read_bytes() == b"beat"
    forget_words(search)
    assert search.run.entries("live/") == []


def test_a_process_on_the_driver_s_host_works_in_the_driver_s_folder(
    search: Link, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    token = new_token()

    with (
        work_folder(token, is_driver=True) as (storage, _),
        search_folder({**for_workers(search, 0), "token": token}) as theirs,
    ):
        assert not theirs.link.is_apart
        assert theirs.link.folder == storage / search.place.parent.name / search.place.name
