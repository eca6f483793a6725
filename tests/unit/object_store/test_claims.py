import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from distrain import lease
from distrain.errors import CheckpointError, ConfigError
from distrain.object_store import claims
from distrain.object_store.bucket import Bucket
from distrain.object_store.generations import Generation, read_seal
from distrain.object_store.place import Place
from tests.s3_server import S3Server
from tests.unit.object_store.conftest import NewLink


def test_a_name_is_taken_by_one_of_many(run: Place) -> None:
    store = Bucket(run)

    def take(number: int) -> int | None:
        with suppress(FileExistsError):
            store.put_new("name", str(number).encode())
            return number
        return None

    with ThreadPoolExecutor(8) as pool:
        taken = [number for number in pool.map(take, range(16)) if number is not None]

    assert [store.get("name")] == [str(number).encode() for number in taken]


def test_who_asks_once_more_for_a_name_it_has_got_has_it(run: Place) -> None:
    store = Bucket(run)
    store.put_new("name", b"mine")

    store.put_new("name", b"mine")

    with pytest.raises(FileExistsError):
        store.put_new("name", b"another's")


def test_a_run_that_is_driven_is_refused_to_a_second_driver(
    new_link: NewLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "RENEW_S", 0.05)
    first, second = new_link("first"), new_link("second")

    with (
        lease.holding(first.folder, lambda _: None) as held,
        pytest.raises(ConfigError, match="the run is driven by process"),
    ):
        lease.take(second.folder)

    assert held.fence == 1
    assert lease.take(second.folder).fence == 2


def test_a_driver_that_stands_still_is_fenced_out(
    new_link: NewLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "LAPSE_S", 0.3)
    first, second = new_link("first"), new_link("second")
    stale = lease.take(first.folder)

    living = lease.take(second.folder)

    assert (stale.fence, living.fence) == (1, 2)
    lease.check(second.folder, 2)
    with pytest.raises(CheckpointError, match="the run was taken over by process"):
        lease.check(first.folder, 1)


def test_the_workers_of_an_earlier_attempt_are_fenced_out(new_link: NewLink) -> None:
    driver = new_link("driver")
    fence = lease.take(driver.folder).fence
    lease.begin_attempt(driver.folder, fence, 1)
    assert lease.is_held(driver.folder, fence, 1)

    lease.begin_attempt(driver.folder, fence, 2)

    assert lease.is_held(driver.folder, fence, 2)
    assert not lease.is_held(driver.folder, fence, 1)


def test_what_a_stale_driver_writes_late_counts_for_nothing(new_link: NewLink) -> None:
    stale, living = new_link("stale"), new_link("living")
    claims.claim(stale, 1, b"{}")
    claims.begin_attempt(stale, 1, 1)
    stale.run.put("checkpoints/000001-001/step-2/manifest.json", b"early")
    claims.claim(living, 2, b"{}")
    stale.run.put("checkpoints/000001-001/step-4/manifest.json", b"late")
    stale.run.put("journal/000001-000/driver-00001.jsonl/000000000000-1-00000000", b"x")
    living.run.put("journal/000002-000/driver-00002.jsonl/000000000000-1-00000000", b"x")

    seal = read_seal(living.run)

    assert seal.generation == Generation(2)
    assert seal.counts("checkpoints/000001-001/step-2/manifest.json")
    assert not seal.counts("checkpoints/000001-001/step-4/manifest.json")
    assert not seal.counts("journal/000001-000/driver-00001.jsonl/000000000000-1-00000000")
    assert seal.counts("journal/000002-000/driver-00002.jsonl/000000000000-1-00000000")


def test_a_lease_says_who_holds_it_and_that_it_was_released(new_link: NewLink) -> None:
    link = new_link("driver")
    with lease.holding(link.folder, lambda _: None):
        holder = lease.read_holder(link.folder)

    told = json.loads(link.run.get("lease/000001"))
    assert holder is not None
    assert holder.renewed_at is not None
    assert (told["fence"], told["renewed_at"]) == (1, None)


def test_a_store_that_is_away_says_nothing_of_who_drives_the_run(
    new_link: NewLink, server: S3Server
) -> None:
    link = new_link("driver")
    fence = lease.take(link.folder).fence

    with server.being_away(), pytest.raises(OSError, match="SlowDown"):
        lease.check(link.folder, fence)
