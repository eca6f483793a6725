from typing import Any

from distrain.track.journal_reading import JournalRecord
from distrain.track.layout import FAILED_COLOR, PLAIN_COLOR, STOPPED_COLOR, WON_COLOR
from distrain.track.trial_news import TrialNews, cut_off, trial_news
from distrain.track.trials import SentTrial
from tests.unit.track.test_layout import LAYOUT

REASON, COLOR = "distrain.stop_reason", "mlflow.runColor"


def records(*events: dict[str, Any]) -> list[JournalRecord]:
    return [
        JournalRecord("search", number, 1000 + number, "search", event, "search-00001.jsonl")
        for number, event in enumerate(events)
    ]


def suggested(trial: int = 0) -> dict[str, Any]:
    assignment = {"train.optimizer.lr": 0.01, "model.hidden": [8]}
    return {"event": "suggested", "trial": trial, "assignment": assignment}


def ended(outcome: str, trial: int = 0, **more: Any) -> dict[str, Any]:
    told = {"step": 40, "epoch": 2, "metrics": {}, "train_s": 3.0, "error": None, **more}
    return {"event": "ended", "trial": trial, "outcome": outcome, **told}


def decided(action: str, text: str, trial: int = 0) -> dict[str, Any]:
    return {"event": "decided", "trial": trial, "action": action, "text": text, "rung": 0}


def won(trial: int) -> dict[str, Any]:
    return {"event": "won", "trial": trial}


def only(*events: dict[str, Any]) -> TrialNews:
    (news,), _ = trial_news(records(*events), {}, LAYOUT)
    return news


def test_a_trial_has_a_logarithm_beside_its_learning_rate_a_score_and_its_cost() -> None:
    finals = {"validation/accuracy": 0.75}

    news = only(suggested(), ended("finished", metrics=finals))

    assert news.params["log10.train.optimizer.lr"] == "-2.0"
    assert news.params["train.optimizer.lr"] == "0.01"
    points = {name: (value, step) for name, value, _, step in news.points}
    assert points["search/score"] == (0.75, 40)
    assert (points["search/epochs"], points["search/train_s"]) == ((2.0, 40), (3.0, 40))


def test_a_journal_of_an_earlier_version_brings_what_it_has() -> None:
    (news,), _ = trial_news(records(suggested(), ended("finished")), {})

    assert "log10.train.optimizer.lr" not in news.params
    assert news.points == []


def test_stopped_failed_and_finished_trials_are_told_apart_by_colour_and_in_words() -> None:
    error = {"kind": "train", "message": "no such thing"}

    stopped = only(decided("stop", "It came last."), ended("stopped"))
    failed = only(ended("failed", error=error))
    finished = only(ended("finished"))

    assert (stopped.tags[COLOR], stopped.tags[REASON]) == (STOPPED_COLOR, "It came last.")
    assert (failed.tags[COLOR], failed.tags[REASON]) == (FAILED_COLOR, "It failed: no such thing")
    assert (finished.tags[COLOR], REASON in finished.tags) == (PLAIN_COLOR, False)
    statuses = [news.status[0] for news in (stopped, failed, finished) if news.status]
    assert statuses == ["FINISHED", "FAILED", "FINISHED"]


def test_a_reason_that_was_sent_before_is_not_taken_back_by_the_end() -> None:
    _, sent = trial_news(records(decided("stop", "It came last.")), {}, LAYOUT)

    (news,), _ = trial_news(records(ended("stopped")), sent, LAYOUT)

    assert REASON not in news.tags


def test_an_end_without_a_verdict_says_what_may_be_behind_it() -> None:
    assert "own early stopping" in only(ended("stopped_early")).tags[REASON]
    assert "budget" in only(ended("stopped")).tags[REASON]


def test_the_winner_is_gold_and_only_the_last_one() -> None:
    finals = {"validation/accuracy": 0.75}
    told, sent = trial_news(records(ended("finished", metrics=finals), won(0)), {}, LAYOUT)
    assert sent[0].score == 0.75
    assert told[0].tags[COLOR] == WON_COLOR

    told, _ = trial_news(records(ended("finished", trial=4), won(4)), sent, LAYOUT)

    assert {news.trial: news.tags[COLOR] for news in told} == {0: PLAIN_COLOR, 4: WON_COLOR}


def test_a_trial_that_is_cut_off_and_goes_on_loses_the_marks_of_its_end() -> None:
    cut = cut_off(0, SentTrial(), 5000)
    assert "under way" in cut.tags[REASON]

    started = {"event": "started", "trial": 0}
    (news,), _ = trial_news(records(started), {0: SentTrial(outcome="killed")}, LAYOUT)

    assert (news.tags[COLOR], news.tags[REASON]) == (PLAIN_COLOR, "none")
