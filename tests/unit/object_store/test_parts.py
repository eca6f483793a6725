import io
import threading
from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from distrain.object_store import claims
from distrain.object_store.generations import Generation
from distrain.object_store.link import Link
from distrain.train.ledger import SCHEMA, Ledger, await_parts, remove_after, remove_leftovers
from tests.unit.object_store.conftest import NewLink


def worker(new_link: NewLink, name: str, attempt: int = 1) -> Link:
    link = new_link(name)
    link.generation = Generation(1, attempt)
    return link


def enter(ledger: Ledger, *rows: int) -> None:
    import numpy as np

    table = np.array([[1, row, 0, row] for row in rows], dtype=np.int64)
    ledger._current.add(table)
    ledger.cut()


def rows_at(link: Link) -> Counter[int]:
    names = [entry.name for entry in link.run.entries("ledger/") if "parquet" in entry.name]
    tables = [pq.read_table(io.BytesIO(link.run.get(name))) for name in names]
    return Counter(pa.concat_tables(tables or [SCHEMA.empty_table()])["row"].to_pylist())


def test_rows_of_a_commit_that_failed_are_there_once(
    new_link: NewLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = worker(new_link, "one")
    ledger = Ledger(link.folder, 0)
    enter(ledger, 1)
    put = link.run.put_file

    def arriving_without_an_answer(name: str, path: object) -> None:
        put(name, path)  # type: ignore[arg-type]
        raise OSError("no answer")

    with monkeypatch.context() as patch:
        patch.setattr(link.run, "put_file", arriving_without_an_answer)
        with pytest.raises(OSError, match="no answer"):
            ledger.commit(2)
    enter(ledger, 2)
    ledger.commit(4)

    assert rows_at(link) == {1: 1, 2: 1}


def test_rank_zero_waits_for_the_parts_of_other_hosts(new_link: NewLink) -> None:
    first, second = worker(new_link, "one"), worker(new_link, "two")
    other = Ledger(second.folder, 1)
    enter(other, 1)
    timer = threading.Timer(0.3, other.commit, [2])
    timer.start()

    await_parts(first.folder, 2, 2, timeout_s=20, is_leaving=threading.Event())

    timer.join()
    assert rows_at(first) == {1: 1}


def test_a_part_that_will_not_come_is_told(new_link: NewLink) -> None:
    first, second = worker(new_link, "one"), worker(new_link, "two")
    Ledger(second.folder, 1).tell_failure(2)

    with pytest.raises(OSError, match="rank 1 could not write its part"):
        await_parts(first.folder, 2, 2, timeout_s=20, is_leaving=threading.Event())

    assert first.run.entries("ledger/") == []


def test_an_attempt_removes_what_is_trained_again_and_nothing_of_later_ones(
    new_link: NewLink,
) -> None:
    driver = new_link("driver")
    claims.claim(driver, 1, b"driver")
    claims.begin_attempt(driver, 1, 1)
    old = worker(new_link, "old")
    for step in (2, 4):
        ledger = Ledger(old.folder, 0)
        enter(ledger, step)
        ledger.commit(step)
    claims.begin_attempt(driver, 1, 2)
    new, newer = worker(new_link, "new", 2), worker(new_link, "newer", 3)
    new.seal = newer.seal = claims.seal(driver.run, Generation(1, 3))
    ledger = Ledger(newer.folder, 0)
    enter(ledger, 6)
    ledger.commit(6)

    remove_after(new.folder, 2)
    remove_leftovers(new.folder)

    assert rows_at(new) == {2: 1, 6: 1}
