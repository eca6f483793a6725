"""The page of a search: every number on it is that of the event log."""

import html
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from distrain import lease
from distrain.report.search.page import search_page
from distrain.report.search.view import read_search
from distrain.report.search.writing import write_search_report
from distrain.run_folder import RESULT
from distrain.track.journal import JournalWriter
from tests.search_folder import METRIC, make_search, write_events

EPOCHS = 20
Events = Sequence[Mapping[str, Any]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Events]:
    """The page of a search of 48 trials that has ended, and its events."""
    run_dir, log = make_search(tmp_path_factory.mktemp("search"), num_trials=48, epochs=EPOCHS)
    return search_page(read_search(run_dir), 0), log.events


def text_of(page: str) -> str:
    """Return what a page says: its text, each element's apart."""
    return html.unescape(re.sub(r"<[^>]*>", "\n", page))


def card(page: str, label: str) -> tuple[str, str]:
    """Return a key figure and its note."""
    found = re.search(rf"<dt>{re.escape(label)}</dt><dd>(.*?)</dd><small>(.*?)</small>", page)
    assert found is not None, label
    return html.unescape(found[1]), html.unescape(found[2])


def row(page: str, section: str, at: int) -> list[str]:
    """Return the cells of a row of a section's first table that has a head."""
    part = page.split(f'<section id="{section}">')[1].split("</section>")[0]
    body = part.split("</thead>")[1].split("</table>")[0]
    cells = re.findall(r"<td[^>]*>(.*?)</td>", body.split("<tr")[at + 1])
    return [text_of(cell).strip() for cell in cells]


def of_kind(events: Events, kind: str) -> Iterator[Mapping[str, Any]]:
    return (event for event in events if event["event"] == kind)


def finals(events: Events) -> list[tuple[float, int]]:
    """Return the values of whole trials, the best first."""
    ended = of_kind(events, "ended")
    whole = [event for event in ended if event["outcome"] in ("finished", "stopped_early")]
    return sorted(((e["metrics"][METRIC], -e["trial"]) for e in whole), reverse=True)


def test_the_winner_is_the_best_whole_trial_and_leads_by_the_difference(
    made: tuple[str, Events],
) -> None:
    page, events = made
    (best, first), (second, next_one) = finals(events)[:2]

    assert card(page, f"best {METRIC}") == (f"{best:.5f}", f"trial {-first}")
    told = f"It leads trial {-next_one}, {second:.6g}, by {best - second:.4g}."
    assert told in text_of(page)


def test_key_figures_are_counted_from_the_events(made: tuple[str, Events]) -> None:
    page, events = made
    outcomes = [event["outcome"] for event in of_kind(events, "ended")]

    assert card(page, "trials") == ("48", f"{outcomes.count('stopped')} stopped")
    assert card(page, "failed")[0] == str(outcomes.count("failed"))
    assert outcomes.count("failed") == 2


def test_epochs_are_those_of_the_ends_and_saved_are_those_that_stops_left(
    made: tuple[str, Events],
) -> None:
    page, events = made
    ends = list(of_kind(events, "ended"))
    spent = sum(event["epoch"] for event in ends)
    saved = sum(EPOCHS - event["epoch"] for event in ends if event["outcome"] == "stopped")

    share = round(100 * saved / (saved + spent))
    assert card(page, "epochs") == (f"{spent:,}", f"{saved:,} saved, {share} %")


def test_time_is_that_between_the_first_and_the_last_event(made: tuple[str, Events]) -> None:
    page, events = made
    times = [event["time_ms"] for event in events if event["event"] != "won"]
    seconds = round((max(times) - min(times)) / 1000)
    inside = round(sum(event["train_s"] for event in of_kind(events, "ended")))

    told, note = card(page, "time")

    assert told == f"{seconds // 60} min {seconds % 60} s"
    assert note == f"{inside // 60} min {inside % 60} s in trials"


def test_gpu_hours_and_cost_follow_from_the_time_inside_trials(made: tuple[str, Events]) -> None:
    page, events = made
    hours = sum(event["train_s"] for event in of_kind(events, "ended")) / 3600

    assert card(page, "cost of GPUs") == (f"{2.5 * hours:.2f}", f"{hours:.4g} GPU-hours")


def test_a_rung_counts_the_verdicts_there(made: tuple[str, Events]) -> None:
    page, events = made
    there = [event for event in of_kind(events, "decided") if event["rung"] == 0]
    stopped = sum(event["action"] == "stop" for event in there)
    cut = max(event["cut"] for event in there if event["cut"] is not None)
    best = max(there, key=lambda event: event["value"])

    cells = row(page, "stopping", 0)

    assert cells[:5] == ["0", "1", str(len(there)), str(len(there) - stopped), str(stopped)]
    assert cells[5:] == [f"{cut:.4g}", f"{best['value']:.4g}", f"trial {best['trial']}"]


def test_the_leaderboard_begins_with_whole_trials_and_counts_the_rest(
    made: tuple[str, Events],
) -> None:
    page, events = made
    (best, first), *others = finals(events)

    assert row(page, "leaderboard", 0)[:4] == ["1", str(-first), f"{best:.5f}", "finished"]
    assert [row(page, "leaderboard", at)[3] for at in range(len(others) + 1)] == [
        "finished" for _ in range(len(others) + 1)
    ]
    assert "And 26 more: " in text_of(page)


def test_failures_are_told_by_cause_with_their_logs(made: tuple[str, Events]) -> None:
    page, _ = made
    part = text_of(page.split('<section id="failures">')[1].split("</section>")[0])

    assert "2 trials failed, of 2 causes. The " in part
    assert "Traceback <of trial 17>" in part
    assert "trials/0017/logs/rank-0.txt" in part


def test_all_trials_are_drawn(made: tuple[str, Events]) -> None:
    page, _ = made
    part = page.split('<section id="parameters">')[1].split("<figure")[1]

    assert part.count("<path d=") - part.count('class="spine"') >= 48


def test_nothing_is_fetched(made: tuple[str, Events]) -> None:
    page, _ = made

    assert not re.search(r"https?://|src=|@import|url\(", page)


def test_a_search_whose_driver_was_killed_has_a_page(tmp_path: Path) -> None:
    run_dir, log = make_search(tmp_path, num_trials=40, until_s=200.0)
    ended = sum(event["event"] == "ended" for event in log.events)
    begun = sum(event["event"] == "suggested" for event in log.events)

    page = search_page(read_search(run_dir), 0)

    assert "Cut off" in page
    assert f"{begun - ended} have not ended and {40 - begun} have not begun" in text_of(page)


def test_a_search_that_is_driven_runs(tmp_path: Path) -> None:
    run_dir, _ = make_search(tmp_path, num_trials=40, until_s=200.0)

    with lease.holding(run_dir, lambda _: None):
        page = search_page(read_search(run_dir), 0)

    assert "<b>Running</b>" in page
    assert ">The best so far</h2>" in page


def test_a_search_that_failed_tells_of_what(tmp_path: Path) -> None:
    run_dir, _ = make_search(tmp_path, num_trials=8, epochs=2)
    result = json.loads((run_dir / RESULT).read_text())
    told = {
        "kind": "train",
        "message": "10 trials failed of the same cause",
        "where": "",
        "mend": "",
    }
    failed = {"status": "failed", "best": None, "model": None, "error": {**told, "expected": ""}}
    (run_dir / RESULT).write_text(json.dumps({**result, **failed}))

    page = search_page(read_search(run_dir), 0)

    assert "<b>Failed" in page
    assert "10 trials failed of the same cause" in page


def test_each_stop_is_told_with_its_reason(made: tuple[str, Events]) -> None:
    page, events = made
    stops = [event for event in of_kind(events, "decided") if event["action"] == "stop"]

    assert stops
    assert all(html.escape(event["text"]) in page for event in stops)


def test_a_search_without_an_event_has_a_page(tmp_path: Path) -> None:
    run_dir, _ = make_search(tmp_path, num_trials=4, epochs=2)
    (run_dir / "journal" / "search-00001.jsonl").write_bytes(b"")
    (run_dir / "result.json").unlink()

    page = search_page(read_search(run_dir), 0)

    assert "No trial has come to its end, so there is none." in text_of(page)


def test_markup_in_values_is_text(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    run_dir, _ = make_search(tmp_path, num_trials=4, epochs=2)
    renamed = run_dir.parent.with_name(evil.replace("/", "-"))
    run_dir.parent.rename(renamed)
    page = search_page(read_search(renamed / run_dir.name), 0)

    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_the_file_is_written_whole_and_its_state_returned(tmp_path: Path) -> None:
    run_dir, _ = make_search(tmp_path, num_trials=8, epochs=4)

    state = write_search_report(run_dir, tmp_path / "out.html")

    assert state == "finished"
    assert (tmp_path / "out.html").read_text().endswith("</html>\n")


def test_several_seeds_make_a_margin_over_their_noise(tmp_path: Path) -> None:
    run_dir, log = make_search(
        tmp_path, num_trials=24, epochs=4, num_seeds=3, scheduler={"name": "none"}
    )
    values: dict[int, list[float]] = {}
    for event in of_kind(log.events, "ended"):
        if event["outcome"] == "finished":
            values.setdefault(event["trial"] // 3, []).append(event["metrics"][METRIC])
    several = [found for found in values.values() if len(found) > 1]
    squares = sum(_std(found) ** 2 * (len(found) - 1) for found in several)
    noise = math.sqrt(squares / sum(len(found) - 1 for found in several))

    text = text_of(search_page(read_search(run_dir), 0))

    assert {len(found) for found in several} == {2, 3}  # of some, a trial has failed
    told = f"over {len(several)} settings with 2 to 3 seeds each a run varies by ± {noise:.4g}, so"
    assert told in text


def test_a_mean_is_told_with_the_seeds_that_it_is_of(tmp_path: Path) -> None:
    run_dir, log = make_search(
        tmp_path, num_trials=3, epochs=4, num_seeds=3, scheduler={"name": "none"}
    )
    ended = of_kind(log.events, "ended")
    for event in ended:
        is_whole = event["trial"] < 2
        event["outcome"] = "finished" if is_whole else "failed"
        event["metrics"] = {METRIC: 0.5 + event["trial"]} if is_whole else {}
    write_events(run_dir, log.events)

    text = text_of(search_page(read_search(run_dir), 0))

    assert "1.0000, the mean over 2 of 3 seeds" in text


@pytest.mark.parametrize("word", ["nan", "inf", "-inf"])
def test_a_value_at_a_rung_that_is_no_finite_number_is_told(tmp_path: Path, word: str) -> None:
    run_dir, log = make_search(tmp_path, num_trials=16, epochs=4)
    at = next(i for i, e in enumerate(log.events) if e["event"] == "decided" and e["rung"] == 0)
    log.events[at] |= {"value": word, "cut": word}
    write_events(run_dir, log.events)

    page = search_page(read_search(run_dir), 0)

    assert "has other fields" not in text_of(page)
    there = [event for event in of_kind(log.events, "decided") if event["rung"] == 0]
    assert row(page, "stopping", 0)[2] == str(len(there))


def test_a_section_whose_events_are_forged_says_so_and_the_others_are_drawn(
    tmp_path: Path,
) -> None:
    run_dir, log = make_search(tmp_path, num_trials=16, epochs=4)
    next(event for event in log.events if event["event"] == "decided")["rung"] = "low"
    write_events(run_dir, log.events)

    text = text_of(search_page(read_search(run_dir), 0))

    assert "What was recorded for this section has other fields" in text
    assert "What was searched" in text


def test_the_winner_is_loaded_from_the_store_that_the_journal_names(tmp_path: Path) -> None:
    run_dir, _ = make_search(tmp_path, num_trials=8, epochs=2)
    result = json.loads((run_dir / RESULT).read_text())
    result["model"] = {"name": "found", "version": "2", "alias": None}
    (run_dir / RESULT).write_text(json.dumps(result))
    with JournalWriter(run_dir / "journal", "driver") as driver:
        driver.store("http://mlflow.example:5000")

    text = text_of(search_page(read_search(run_dir), 0))

    assert (
        "import mlflow, pandas\n\nmlflow.set_tracking_uri('http://mlflow.example:5000')\n"
        "model = mlflow.pyfunc.load_model('models:/found/2')\n"
    ) in text


def _std(values: Sequence[float]) -> float:
    mean = sum(values) / len(values)
    return math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))


def test_a_population_tells_who_took_over_and_the_values_that_trials_ended_with(
    tmp_path: Path,
) -> None:
    space = {
        "train.optimizer.lr": {"loguniform": [1e-4, 1e-1]},
        "train.optimizer.weight_decay": {"loguniform": [1e-5, 1e-1]},
        "model.dropout": {"uniform": [0, 0.6]},
    }
    run_dir, log = make_search(
        tmp_path, num_trials=8, epochs=6, num_slots=8, scheduler={"name": "pbt"}, space=space
    )
    copies = [event for event in of_kind(log.events, "decided") if event["action"] == "copy"]
    search = read_search(run_dir)
    last = {event["trial"]: event["assignment"]["train.changes"][-1] for event in copies}

    text = text_of(search_page(search, 0))

    assert f"At 5 rungs a trial took over from a better one {len(copies)} times." in text
    assert "Early termination" not in text
    assert "tune.audit_fraction" not in text
    assert [(t.number, t.values) for t in search.trials if t.number in last] == [
        (number, change["values"]) for number, change in sorted(last.items())
    ]
    assert len({str(trial.values) for trial in search.trials}) > len(last)
