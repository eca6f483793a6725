"""The record of one run, from its first line to its last: a journal, and what ships it."""

import logging
import time
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, final

from distrain import lease
from distrain.errors import first_line
from distrain.run_folder import JOURNAL
from distrain.track import describe
from distrain.track.backlog import Backlog
from distrain.track.journal import JournalWriter
from distrain.track.journal_reading import DRIVER, recorded_kinds, written_by
from distrain.track.layout import SearchLayout
from distrain.track.links import NOTE_TAG, Pages
from distrain.track.markdown import plain
from distrain.track.model_versions import RegisteredVersion
from distrain.track.origin import STEPS_TAG, WEIGHTS_TAG, WINNER_TAG
from distrain.track.outcome import (
    ERROR,
    ERROR_CAUSE,
    ERROR_CLASS,
    ERROR_KIND,
    OUTCOME,
    STOP_STEP,
    VOID,
    failure_tags,
)
from distrain.track.sending import GOES_ON
from distrain.track.shipper import Shipper
from distrain.track.tracking_server import TrackingServer
from distrain.track.watermark import Watermark

LEAST_DRAIN_S = 1.0
CUT_SHORT_DRAIN_S = 3.0
VOID_NOTE: Final = (
    "### Gone on with\n\nA later command went on with the run, so what was told here of an earlier "
    f"end is void. The tag `{OUTCOME}` tells how it stands; what it comes to is told at its end."
)

logger = logging.getLogger(__name__)


@final
@dataclass(frozen=True)
class RunFacts:
    """What a record says of a run when it begins.

    Attributes:
        experiment: the MLflow experiment.
        run: the run's name.
        config: the resolved configuration as plain values.
        manifest: the prepared dataset's manifest.
        tags: where the run comes from.
        search: how it is laid out (`layout.SearchLayout`); None: it is no search.
    """

    experiment: str
    run: str
    config: Mapping[str, Any]
    manifest: Mapping[str, Any]
    tags: Mapping[str, str]
    search: SearchLayout | None = None

    @property
    def key(self) -> str:
        """Return what makes the run found again: the same at every attempt."""
        return f"{self.experiment}/{self.run}"


@final
class RunRecord:
    """Records a run and ships the record beside it. Call order: `with`, records, `end`, `drain`.

    Whatever leaves the `with` block before `end` is the run's end; what comes after is not.

    Args:
        run_dir: the run's folder.
        server: the tracking store.
        facts: what is known when it begins.
        drain_s: seconds to wait, over all of the run, for a tracking server that is away; at
            least a second, or one that answers could not be told from one that is away. None:
            nothing is sent; a later command does, to the same store.
        fence: the driver's number; once another has a newer one, nothing more is recorded or sent.
            None: the run has no driver.
    """

    def __init__(
        self,
        run_dir: Path,
        server: TrackingServer,
        facts: RunFacts,
        *,
        drain_s: float | None,
        fence: int | None = None,
    ) -> None:
        folder = run_dir / JOURNAL
        self._is_ours = partial(lease.is_held, run_dir, fence)
        self._recorded = recorded_kinds(folder, DRIVER)
        self.journal = JournalWriter(folder, DRIVER, is_ours=self._is_ours)
        self.shipper = Shipper(folder, server, check=partial(lease.check, run_dir, fence))
        self.backlog = Backlog(folder, lambda: self.shipper.reached)
        self.facts = facts
        self._is_offline = drain_s is None
        self._patience_s = max(drain_s or 0.0, LEAST_DRAIN_S)
        self._has_end = False
        self._is_hurried = False
        self._model_key = self._waiting_model = ""
        self._begin(server)

    def _begin(self, server: TrackingServer) -> None:
        """Record what the run is; of one that goes on, what an earlier attempt did not come to."""
        facts = self.facts
        if "run" not in self._recorded:
            self.journal.run(
                {
                    "experiment": facts.experiment,
                    "key": facts.key,
                    "name": facts.run,
                    "tags": dict(facts.tags),
                    **({"search": facts.search.to_json()} if facts.search else {}),
                }
            )
        self.journal.store(server.identity)
        if self._recorded:
            self.journal.tags({**self._void_tags(), **facts.tags})
            self.journal.status(GOES_ON)
        if "params" not in self._recorded:
            self.journal.params(describe.run_params(facts.config))
        if "dataset" not in self._recorded:
            self.journal.dataset(describe.dataset_facts(facts.experiment, facts.manifest))
        self.journal.sync()

    def _void_tags(self) -> dict[str, str]:
        """Return what takes the place of the tags that an earlier attempt ended with."""
        earlier = {
            name
            for record in written_by(DRIVER, self.journal.path.parent)
            if record.kind == "tags"
            for name in record.payload
        }
        of_error = (ERROR, ERROR_KIND, ERROR_CLASS, ERROR_CAUSE)
        of_end = (*of_error, STOP_STEP, STEPS_TAG, WEIGHTS_TAG, WINNER_TAG)
        void = {OUTCOME: "running", NOTE_TAG: VOID_NOTE, **dict.fromkeys(of_end, VOID)}
        return {name: word for name, word in void.items() if name in earlier}

    def __enter__(self) -> Self:
        if self._is_offline:
            self.shipper.note_store()
        else:
            self.shipper.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is not None and not self._has_end:
                self._end_cut_short(error)
        except OSError as fault:
            # What cut the run short is what the user has to know, not that the disk is full too.
            logger.warning("the end of the run is not recorded in %s: %s", self.journal.path, fault)
        finally:
            self.shipper.close()
            # What cut it short comes first; and an end is synced, with all that came before it.
            is_settled = kind is not None or self._has_end
            with suppress(OSError) if is_settled else nullcontext():
                self.journal.close()

    def _end_cut_short(self, error: BaseException | None) -> None:
        """Record that the run was cut short: it would be shown as running for ever."""
        if not self._is_ours():  # the journal itself looks only once a second
            logger.warning(
                "the run was taken over: its end is not recorded in %s", self.journal.path
            )
            return
        self._patience_s = min(self._patience_s, CUT_SHORT_DRAIN_S)
        # What was told of a search under way would stay there.
        if isinstance(error, Exception):
            note = f"### Failed: {plain(first_line(error))}"
            self.end("FAILED", {OUTCOME: "failed", **failure_tags(error), NOTE_TAG: note})
        else:
            self.end("KILLED", {OUTCOME: "interrupted", NOTE_TAG: "### Interrupted"})
        self.drain(with_data=True)

    def drain(self, *, with_data: bool = False) -> bool:
        """Return whether all that was recorded before this call is shipped.

        Waits at most `drain_s`, less what earlier calls waited in vain. An interruption ends the
        waiting, and nothing else: what is recorded outlives this process.

        Args:
            with_data: whether each trial of a search has to be told what it was trained on, too.
        """
        if self._is_offline or self._is_hurried:
            return False
        started = time.monotonic()
        try:
            is_shipped = self.shipper.drain(self._patience_s, with_data=with_data)
        except KeyboardInterrupt:
            self._is_hurried = True
            return False
        if not is_shipped:
            waited_s = time.monotonic() - started
            self._patience_s = max(self._patience_s - waited_s, LEAST_DRAIN_S)
        return is_shipped

    def register(self, model: Path, facts: Mapping[str, Any], alias: str | None) -> bool:
        """Record a packaged model and return whether all of it was shipped, as `drain` does.

        Args:
            model: the MLflow model's folder.
            facts: see `registry.ModelFacts`; without ids, which the shipper knows.
            alias: what moves to the version; None: nothing does.
        """
        self._model_key = facts["key"]
        self.journal.model(model, facts, alias)
        self.journal.sync()
        is_shipped = self.drain()
        self._waiting_model = "" if is_shipped else facts["name"]  # else it may be refused
        return is_shipped

    @property
    def has_model(self) -> bool:
        """Whether a model was recorded, to be registered."""
        return bool(self._model_key)

    @property
    def waiting_model(self) -> str | None:
        """The name under which a model is still to be registered; None: none is."""
        return None if self.version is not None else self._waiting_model or None

    @property
    def why_unsent(self) -> str:
        """Return why something is not shipped, after a `drain` that said so."""
        if self._is_offline:
            return "nothing is sent in this command, as --offline says"
        if self._is_hurried:
            return "the wait was interrupted"
        return self.shipper.problem or "it took longer than track.drain_s"

    @property
    def pages(self) -> Pages | None:
        """The run's pages at MLflow; None: it is not there yet."""
        mark = Watermark.load(self.journal.path.parent)
        if mark.run_id is None or mark.experiment_id is None:
            return None
        return Pages(mark.experiment_id, mark.run_id, self.facts.key, mark.child_ids)

    @property
    def version(self) -> RegisteredVersion | None:
        """The version of the model; None: there is none yet, or it was refused."""
        return self.shipper.versions.get(self._model_key)

    def end(self, status: str, tags: Mapping[str, str]) -> None:
        """Record how the run ended, once and for all, durably.

        Args:
            status: FINISHED, FAILED or KILLED, MLflow's words.
            tags: what is known at the end.

        Raises:
            OSError: the disk is full, or gone.
        """
        self.journal.tags(tags)
        self.journal.status(status)
        self._has_end = True
        self.journal.sync()

    def abandon(self) -> None:
        """Record no end: another has taken the run over, and goes on with its record."""
        self._has_end = True
