"""What is recorded of the machines of an attempt, without Ray; and who measures them, with it."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from distrain.run_folder import JOURNAL
from distrain.track.journal_reading import JournalRecord, last_step, written_by
from distrain.train import samplers, system_metrics
from distrain.train.beat import Beat, beating
from distrain.train.machines import Machine, machine_of, number_machines
from distrain.train.samplers import sampling
from distrain.train.system_metrics import WRITER, recording_system_metrics

Look = Callable[[], dict[int, dict[str, float]]]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system_metrics, "START_LOOK_S", 0.01)
    monkeypatch.setattr(system_metrics, "FIRST_LOOK_S", 0.01)


@pytest.fixture
def beats(tmp_path: Path) -> Iterator[list[Beat]]:
    """Three workers that have not begun to train: the middle one on a node of its own."""
    (tmp_path / "logs").mkdir()
    with ExitStack() as stack:
        places = enumerate(("first", "second", "first"))
        yield [
            stack.enter_context(beating(tmp_path, rank, attempt=1, node=node))
            for rank, node in places
        ]


def give(monkeypatch: pytest.MonkeyPatch, look: Look) -> list[list[str]]:
    """Put something in the place of the samplers; return the nodes that they were started on."""
    started: list[list[str]] = []

    @contextmanager
    def sampling(nodes: Sequence[str], has_ended: threading.Event) -> Iterator[SimpleNamespace]:
        started.append(list(nodes))
        machines = [Machine(node, f"host of {node}") for node in nodes]
        yield SimpleNamespace(look=look, machines=machines)

    monkeypatch.setattr(samplers, "sampling", sampling)
    return started


def recorded(run_dir: Path, kind: str = "system") -> list[JournalRecord]:
    found = written_by(WRITER, run_dir / JOURNAL)
    return [record for record in found if record.kind == kind]


def wait_for_looks(run_dir: Path, count: int) -> None:
    deadline = time.monotonic() + 10
    while len(recorded(run_dir)) < count and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(recorded(run_dir)) >= count


def test_the_nodes_of_workers_that_train_are_recorded_by_their_first_ranks(
    tmp_path: Path, beats: list[Beat], monkeypatch: pytest.MonkeyPatch
) -> None:
    started = give(monkeypatch, lambda: {0: {"cpu": 1.5}, 1: {"cpu": 2.5}})

    with recording_system_metrics(tmp_path, 1, 3, 0.01):
        time.sleep(0.1)
        assert started == []
        beats[0]("data", 0)
        wait_for_looks(tmp_path, 3)

    assert started == [["first", "second"]]
    looks = recorded(tmp_path)
    assert [look.payload["step"] for look in looks] == list(range(len(looks)))
    assert looks[0].payload["values"] == {"system/node_0/cpu": 1.5, "system/node_1/cpu": 2.5}
    assert last_step(tmp_path / JOURNAL) == 0  # that of the training


def test_a_later_attempt_goes_on_counting(
    tmp_path: Path, beats: list[Beat], monkeypatch: pytest.MonkeyPatch
) -> None:
    give(monkeypatch, lambda: {0: {"cpu": 1.5}})
    beats[0]("compute", 1)

    for count in (2, 4):
        with recording_system_metrics(tmp_path, 1, 3, 0.01):
            wait_for_looks(tmp_path, count)

    looks = recorded(tmp_path)
    assert len({look.segment for look in looks}) == 2
    assert [look.payload["step"] for look in looks] == list(range(len(looks)))


def test_a_machine_keeps_its_number_when_another_is_lost(
    tmp_path: Path, beats: list[Beat], monkeypatch: pytest.MonkeyPatch
) -> None:
    give(monkeypatch, lambda: {0: {"cpu": 1.5}})
    beats[0]("compute", 1)
    with recording_system_metrics(tmp_path, 1, 3, 0.01):
        wait_for_looks(tmp_path, 1)
    with beating(tmp_path, 0, attempt=2, node="second") as beat:
        beat("compute", 1)
        with recording_system_metrics(tmp_path, 2, 1, 0.01):
            wait_for_looks(tmp_path, len(recorded(tmp_path)) + 1)

    last = recorded(tmp_path)[-1].payload
    assert last["values"] == {"system/node_1/cpu": 1.5}
    assert [tags.payload for tags in recorded(tmp_path, "tags")] == [
        {"distrain.node.0": "host of first", "distrain.node.1": "host of second"},
        {"distrain.node.1": "host of second"},
    ]


@pytest.mark.parametrize(
    ("now", "numbers"),
    [
        ([("a", "x"), ("b", "y")], [0, 1]),
        ([("b", "y"), ("c", "z")], [1, 2]),
        ([("new id", "y")], [1]),  # Ray was started anew
        ([("b", "y"), ("c", "y")], [1, 2]),  # two of Ray's nodes on a host
        ([("", "")], [2]),
    ],
)
def test_machines_are_known_again(now: list[tuple[str, str]], numbers: list[int]) -> None:
    known = [Machine("a", "x"), Machine("b", "y")]
    found, everyone = number_machines([Machine(*facts) for facts in now], known)
    assert found == numbers
    assert [everyone[number].node for number in numbers] == [node for node, _ in now]


def test_a_machine_is_told_by_its_host_and_its_gpus() -> None:
    resources = {"CPU": 8.0, "GPU": 2.0, "accelerator_type:H200": 1.0}
    said = {"NodeID": "a", "NodeManagerHostname": "gpu-3", "Resources": resources}
    assert machine_of("a", [said]).text == "gpu-3, 2 x H200"
    assert machine_of("b", [said]).text == "unknown"


def test_a_driver_that_was_taken_over_records_no_more_looks(
    tmp_path: Path, beats: list[Beat], monkeypatch: pytest.MonkeyPatch
) -> None:
    give(monkeypatch, lambda: {0: {"cpu": 1.5}})
    beats[0]("compute", 1)
    (tmp_path / ".lease").mkdir()
    (tmp_path / ".lease" / "1").touch()

    with recording_system_metrics(tmp_path, 1, 3, 0.01, fence=1):
        wait_for_looks(tmp_path, 1)
        (tmp_path / ".lease" / "2").touch()
        time.sleep(0.1)
        count = len(recorded(tmp_path))
        time.sleep(0.1)

    assert len(recorded(tmp_path)) == count


def test_a_look_that_nobody_answers_is_no_record(
    tmp_path: Path, beats: list[Beat], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([{}, {}])
    give(monkeypatch, lambda: next(answers, {0: {"cpu": 1.0}}))
    beats[0]("compute", 1)

    with recording_system_metrics(tmp_path, 1, 3, 0.01):
        wait_for_looks(tmp_path, 1)

    assert next(answers, None) is None
    assert recorded(tmp_path)[0].payload["step"] == 0


def test_what_fails_is_logged_and_ends_nothing_else(
    tmp_path: Path,
    beats: list[Beat],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    has_failed = threading.Event()

    def look() -> dict[int, dict[str, float]]:
        has_failed.set()
        raise OSError("no such counter")

    give(monkeypatch, look)
    beats[0]("compute", 1)

    with recording_system_metrics(tmp_path, 1, 3, 0.01):
        assert has_failed.wait(10)

    assert [record.getMessage() for record in caplog.records] == [
        "no more system metrics in this attempt"
    ]
    assert "no such counter" in caplog.text


def test_nothing_is_measured_where_none_is_wanted(
    tmp_path: Path, beats: list[Beat], monkeypatch: pytest.MonkeyPatch
) -> None:
    started = give(monkeypatch, dict)
    beats[0]("compute", 1)

    with recording_system_metrics(tmp_path, 1, 3, None):
        time.sleep(0.1)

    assert started == []
    assert not (tmp_path / JOURNAL).exists()


@pytest.mark.usefixtures("ray_local")
def test_a_node_that_is_gone_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    monkeypatch.setattr(samplers, "ANSWER_S", 0.3)
    own = ray.get_runtime_context().get_node_id()

    with sampling(["ab" * (len(own) // 2), own], threading.Event()) as nodes:
        looks = [nodes.look(), nodes.look()]

    assert [list(look) for look in looks] == [[1], [1]]
    assert "cpu_utilization_percentage" in looks[0][1]


def test_a_late_answer_is_thrown_away(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    is_slow = True

    def ask() -> str:
        asked.append(f"answer {len(asked)}")
        return asked[-1]

    def wait(refs: list[str], *, num_returns: int, timeout: float) -> tuple[list[str], list[str]]:
        time.sleep(timeout)
        return ([], refs) if is_slow else (refs, [])

    monkeypatch.setattr(samplers, "ANSWER_S", 0.02)
    monkeypatch.setattr(samplers, "END_LOOK_S", 0.01)
    actor = SimpleNamespace(look=SimpleNamespace(remote=ask))
    context = SimpleNamespace(get_node_id=lambda: "own")
    fake = SimpleNamespace(
        get_runtime_context=lambda: context,
        wait=wait,
        get=lambda ref: {"of": ref},
        kill=lambda _actor: None,
        nodes=list,
    )
    monkeypatch.setattr(samplers, "ray", fake)
    monkeypatch.setattr(samplers, "_start_actor", lambda _node: actor)

    with sampling(["other"], threading.Event()) as nodes:
        looks = [nodes.look(), nodes.look()]
        is_slow = False
        looks += [nodes.look(), nodes.look()]

    assert looks == [{}, {}, {}, {0: {"of": "answer 1"}}]
