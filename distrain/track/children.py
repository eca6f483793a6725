"""A search's trials at MLflow: a run for each, below the search's own; a part of `delivery.py`.

    the first trial of a process: look, in one search, which runs are there already
    make its run, if it is not there yet                           (by key)
    send parameters, metrics and tags in one request, and an end   (each safe to repeat)
    nothing waits to be sent: tell one run after the other what it was trained on
    the search has ended: end what is open, rank the best and tell them what they were trained on,
        delete runs that were made twice

A trial that one portion of the journal holds takes three requests: its run, all of its own news,
its end. The best take one more once the search has ended, and another where their rank has changed
since. What distrain does beside them is a few hundredths of the time that they take
(`tests/bench/children.py`). With the tags of its end in a request of their own, it took a tenth
more; with its rank in one for every trial, a quarter. MLflow takes a run's data in no request but
one for it alone, which costs another quarter: it goes in the pauses of the search, where nobody
waits for it, and is not what a drain waits for first.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, final

from distrain.object_store.link import is_linked, link_of
from distrain.track.deleted import is_run_deleted, restore_run
from distrain.track.experiment_page import lay_out
from distrain.track.journal_reading import JournalRecord
from distrain.track.layout import MAX_RANKED, RANK, layout_in
from distrain.track.new_points import Point
from distrain.track.origin import DATA_TAG, KIND_TAG, SWEEP_TAG, TRIAL_TAG
from distrain.track.rejected import Rejected
from distrain.track.sending import (
    KEY_TAG,
    MAX_METRICS_PER_CALL,
    MAX_OTHERS_PER_CALL,
    MAX_TAG_LENGTH,
    RunSender,
    batches,
    holds_nothing,
    sendable,
)
from distrain.track.trial_news import TrialNews, cut_off, trial_news
from distrain.track.trials import CUT_OFF, SEARCH, SentTrial, kind_of, label, ranked
from distrain.track.watermark import SAVE_EVERY_S, Watermark

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

PARENT_TAG: Final = "mlflow.parentRunId"
SEED_TAG: Final = "distrain.seed"

_INHERITED = (
    DATA_TAG,
    SEED_TAG,
    "distrain.version",
    "distrain.code.",
    "distrain.env.sha256",
    "mlflow.user",
    "mlflow.source.",
)
_PAGE = 1000
# Beside the parameters and tags of one request.
_MAX_POINTS = MAX_METRICS_PER_CALL - 2 * MAX_OTHERS_PER_CALL

logger = logging.getLogger(__name__)


@final
class Children:
    """Sends the trials of one journal; every request may be repeated after a failure.

    Args:
        folder: the journal's folder.
        mark: how far the journal has been shipped; ids of runs are added to it.
        facts: what the journal's driver recorded of the search.
    """

    def __init__(self, folder: Path, mark: Watermark, facts: Callable[[], dict[str, Any]]) -> None:
        self._folder = folder
        self._mark = mark
        self._facts_of_search = facts
        self._facts: dict[str, Any] | None = None
        self._there: dict[str, str] | None = None
        self._in_doubt: set[int] = set()
        self._under_way: str | None = None

    def requests(
        self, client: "MlflowClient", records: Sequence[JournalRecord]
    ) -> tuple[list[Callable[[], None]], dict[int, SentTrial]]:
        """Return the requests that a portion's trials take, in order, and what is known after.

        Args:
            client: one whose own retries are off.
            records: the portion's, of all kinds.
        """
        if not any(record.kind == SEARCH for record in records):
            return [], dict(self._mark.trials)
        told, after = trial_news(records, self._mark.trials, layout_in(self._search))
        since_ms = min((news.began_ms for news in told), default=0) if self._mark.child_ids else 0
        todo: list[Callable[[], None]] = []
        for news in told:
            todo.append(partial(self._make, client, news, since_ms))
            todo += self._telling(client, news)
        return todo, after

    def restore(self, client: "MlflowClient") -> bool:
        """Restore the run that the last request failed for; return whether it was deleted."""
        return self._under_way is not None and restore_run(client, self._under_way)

    def leave_deleted(self, client: "MlflowClient") -> bool:
        """Tell the run that the last request failed for nothing more, where it was deleted.

        Returns:
            Whether it was.
        """
        if self._under_way is None or not is_run_deleted(client, self._under_way):
            return False
        logger.warning(
            "MLflow run %r, a trial's, was deleted; it is left so until a command names its search",
            self._under_way,
        )
        self._mark.left_deleted.append(self._under_way)
        self._under_way = None
        return True

    def is_lost(self, error: Exception) -> bool:
        """Return whether an error tells that the run of the last request is not there any more."""
        return self._under_way is not None and self._under_way in str(error)

    def finish(self, client: "MlflowClient", end_ms: int, save: Callable[[], None]) -> None:
        """End the runs of trials that have no end, and delete runs that were made twice.

        Args:
            client: one whose own retries are off.
            end_ms: when the search ended, in milliseconds since 1970.
            save: saves how far the journal has been shipped: a search that goes on takes back the
                ends that stand there.
        """
        last_save = time.monotonic()
        try:
            for trial, sent in self._mark.trials.items():
                if sent.outcome:
                    continue
                self._cut_off(client, trial, sent, end_ms)
                if time.monotonic() - last_save > SAVE_EVERY_S:
                    save()
                    last_save = time.monotonic()
        except Exception:  # goes through: only what was ended since the last save is kept first
            save()
            raise
        self._rank(client, end_ms, save)
        if self._mark.child_ids:
            # A run that a slow server made after its client had given up was never sent anything.
            self._look(client, "attributes.status = 'RUNNING'")

    def tell_data(self, client: "MlflowClient", trial: int) -> None:
        """Tell a trial's run what it was trained on, unless it was told before.

        Args:
            client: one whose own retries are off.
            trial: its number.
        """
        if trial in self._mark.without_data:
            if trial in self._mark.child_ids:
                self._tell(client, trial, self._send_data)
            self._mark.without_data.remove(trial)

    def _rank(self, client: "MlflowClient", end_ms: int, save: Callable[[], None]) -> None:
        """Tell trials the ranks that they were not told yet, and the experiment's page of them."""
        layout = layout_in(self._search) if self._mark.trials else None
        if layout is None:
            return
        places = ranked(self._mark.trials, is_greater_better=layout.is_greater_better)
        last_save = time.monotonic()
        try:
            for rank, trial in enumerate(places, start=1):
                sent = self._mark.trials[trial]
                # One that has a rank from before is told its own, wherever it is now.
                if sent.rank == rank or (rank > MAX_RANKED and not sent.rank):
                    continue
                self.tell_data(client, trial)
                point = (RANK, float(rank), end_ms, max(0, sent.ended_step))
                self._tell(client, trial, partial(RunSender.metrics, points=[point]))
                self._mark.trials[trial] = replace(sent, rank=rank)
                if time.monotonic() - last_save > SAVE_EVERY_S:
                    save()
                    last_save = time.monotonic()
        except Exception:  # goes through: only what was told since the last save is kept first
            save()
            raise
        num_trials = sum(kind_of(trial)[0] == "trial" for trial in self._mark.trials)
        num_ranked = num_trials if places else 0
        lay_out(client, self._experiment_id, self._search, end_ms, num_trials=num_ranked)

    def _cut_off(self, client: "MlflowClient", trial: int, sent: SentTrial, end_ms: int) -> None:
        for request in self._telling(client, cut_off(trial, sent, end_ms)):
            request()
        ended = replace(sent, outcome=CUT_OFF, ended_step=sent.last_step, last_steps={})
        self._mark.trials[trial] = ended

    def _telling(self, client: "MlflowClient", news: TrialNews) -> list[Callable[[], None]]:
        """Return the requests for what is to be said of a trial whose run is there."""
        params, *more_params = batches(list(news.params.items()), MAX_OTHERS_PER_CALL) or [[]]
        points, *more_points = batches(news.points, _MAX_POINTS) or [[]]
        todo: list[Callable[[RunSender], None]] = [
            partial(_tell_together, news=news, params=params, points=points)
        ]
        todo += [partial(RunSender.params, values=part) for part in more_params]
        todo += [partial(RunSender.metrics, points=part) for part in more_points]
        if news.status is not None:
            status, at_ms = news.status
            todo.append(partial(RunSender.end, status=status, end_ms=at_ms))
        return [partial(self._tell, client, news.trial, request) for request in todo]

    def _tell(
        self, client: "MlflowClient", trial: int, request: Callable[[RunSender], None]
    ) -> None:
        run_id = self._mark.child_ids[trial]
        if run_id in self._mark.left_deleted:
            return
        self._under_way = run_id
        request(RunSender(client, run_id, Rejected(self._folder, self._mark, client, run_id)))
        self._under_way = None

    def _make(self, client: "MlflowClient", news: TrialNews, since_ms: int) -> None:
        """Make or find the run of a trial that has none yet."""
        if news.trial in self._mark.child_ids:
            return
        if self._there is None:
            self._there = self._look(client, f"attributes.start_time >= {since_ms}")
        key = self._key(news.trial)
        if news.trial in self._in_doubt or self._has_won(news.trial):
            self._there |= self._look(client, f"tags.`{KEY_TAG}` = '{key}'")
        run_id = self._there.get(key)
        if run_id is None:
            self._in_doubt.add(news.trial)  # until the answer is here
            run_id = self._create(client, news)
        else:  # the winner's own journal may have made it, which does not know the search's run
            news.tags |= self._place_tags(news.trial)
        self._in_doubt.discard(news.trial)
        self._mark.child_ids[news.trial] = run_id
        self._mark.without_data.append(news.trial)

    def _create(self, client: "MlflowClient", news: TrialNews) -> str:
        search = self._search
        inherited = {k: v for k, v in search["tags"].items() if k.startswith(_INHERITED)}
        tags = {
            **inherited,
            **({SEED_TAG: news.params["seed"]} if "seed" in news.params else {}),
            **news.tags,
            **self._place_tags(news.trial),
            KEY_TAG: self._key(news.trial),
        }
        sent = {name: sendable(value)[:MAX_TAG_LENGTH] for name, value in tags.items()}
        # MLflow's tables show a name's first twenty letters.
        name = f"trial {label(news.trial)} of {search['name']}"
        run = client.create_run(self._experiment_id, news.began_ms, sent, name)
        news.tags.clear()  # a tenth of a short trial's time, were they sent by themselves
        run_id: str = run.info.run_id
        return run_id

    def _place_tags(self, trial: int) -> dict[str, str]:
        """Return the tags by which a trial's run stands below the search's own."""
        assert self._mark.run_id is not None
        kind, of_trial, _ = kind_of(trial)
        return {
            KIND_TAG: kind,
            TRIAL_TAG: str(of_trial),
            SWEEP_TAG: self._search["key"],
            PARENT_TAG: self._mark.run_id,
        }

    def _has_won(self, trial: int) -> bool:
        """Return whether a run of its own began with the trial, whose journal goes to its run."""
        run_dir = self._folder.absolute().parent
        name, link = _numbered(run_dir.name, trial), link_of(run_dir)
        if link is not None:
            return is_linked(link.place.parent.below(name))
        return run_dir.with_name(name).exists()

    def _look(self, client: "MlflowClient", which: str) -> dict[str, str]:
        """Return the runs that are there, by key; deletes those that were made twice.

        Of two with a key the one that holds something stays; where both do, nothing is deleted.

        Args:
            client: one whose own retries are off.
            which: a filter beside that for the search's own.
        """
        there = {self._key(trial): run_id for trial, run_id in self._mark.child_ids.items()}
        for run in sorted(self._pages(client, which), key=holds_nothing):
            key, run_id = run.data.tags.get(KEY_TAG), run.info.run_id
            # Without a key, somebody removed it, or it is not ours.
            if key is None:
                continue
            if there.setdefault(key, run_id) != run_id and holds_nothing(run):
                client.delete_run(run_id)
        return there

    def _pages(self, client: "MlflowClient", which: str) -> "list[Run]":
        # Not by the parent's id: a winner's run that was made before the search's lacks it.
        query = f"tags.`{SWEEP_TAG}` = '{self._search['key']}' and {which}"
        found: list[Run] = []
        token: str | None = None
        while True:
            page = client.search_runs(
                [self._experiment_id], query, max_results=_PAGE, page_token=token
            )
            found += page
            token = page.token
            if not token:
                return found

    @property
    def _experiment_id(self) -> str:
        assert self._mark.experiment_id is not None
        return self._mark.experiment_id

    def _key(self, trial: int) -> str:
        return _numbered(self._search["key"], trial)

    def _send_data(self, sender: RunSender) -> None:
        """Send what a trial was trained on: MLflow shows and filters that by its own runs.

        By name and digest MLflow knows what the search's run was told of columns and findings.
        """
        facts = self._search.get("dataset")
        if facts is not None:
            splits = {name: rows for name, rows in facts["splits"].items() if name != "test"}
            told = {"splits": splits, "schema": {}, "profile": {}, "findings": []}
            sender.dataset({**facts, **told})

    @property
    def _search(self) -> dict[str, Any]:
        """What the driver recorded of the search, read once."""
        if self._facts is None:
            self._facts = self._facts_of_search()
        return self._facts


def _tell_together(
    sender: RunSender, news: TrialNews, params: Sequence[tuple[str, Any]], points: Sequence[Point]
) -> None:
    tags = list(news.tags.items())  # those that the run was not made with
    if params or points or tags:
        sender.together(params, points, tags)


def _numbered(name: str, trial: int) -> str:
    return f"{name}-{label(trial)}"
