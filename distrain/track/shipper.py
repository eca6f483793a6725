"""The journal's way to MLflow: a thread beside the training, which it never slows or fails.

    until told to stop, every 2 s at first and every 10 s later, at once where it lags behind:
        send what the journal holds behind the watermark           (see `delivery.py`)
        until then: tell a search's trials what they were trained on, which hurries nobody
        a failure: wait, longer each time, and go on with the request that failed
        credentials or host name refused: tell it, and stop
        another has taken the run over: tell it, and stop; asked before each request

So a curve begins at once, and later ten reports that come once a second cost one request; who
drains waits for none of these seconds. With half a second, and no wait after each portion, 20
reports a second of 17 numbers cost 0.35 requests each, and cost 0.03 now (`tests/bench/record.py`;
2026-11-21).
"""

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, final

from distrain.errors import CheckpointError, TrackingError, first_line
from distrain.track.delivery import Delivery
from distrain.track.model_versions import RegisteredVersion
from distrain.track.patient import patient
from distrain.track.reachable import refusal_of
from distrain.track.tracking_server import TrackingServer, connect

if TYPE_CHECKING:
    from mlflow import MlflowClient

POLL_S = 2.0
LONGEST_POLL_S = 10.0
FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 30.0
LONGEST_PAUSE_WHILE_DRAINING_S = 2.0

logger = logging.getLogger(__name__)


@final
class Shipper:
    """Ships one journal from a thread of its own. Call order: `start`, `drain`, `close`.

    Args:
        folder: the journal's folder; one shipper at a time.
        server: the tracking store.
        connect_to: makes the client; imports mlflow and creates a fresh database on the way.
        check: asked before each request; raises `CheckpointError` where another ships the journal
            by now.
        may_restore: whether the run is restored where it was deleted at MLflow.
    """

    def __init__(
        self,
        folder: Path,
        server: TrackingServer,
        *,
        connect_to: "Callable[[TrackingServer], MlflowClient]" = connect,
        check: Callable[[], None] = lambda: None,
        may_restore: bool = True,
    ) -> None:
        self._folder = folder
        self._server = server
        self._connect = connect_to
        self._check_lease = check
        self._client: MlflowClient | None = None
        self._delivery = Delivery(folder, server, self._check, may_restore=may_restore)
        self._state = threading.Condition()
        self._began = time.monotonic()
        self._num_passes = 0
        self._last_clean_pass = 0
        self._num_failures = 0
        self._is_refused = False
        self._is_draining = False
        self._is_data_asked = False
        self._is_closed = False
        self._is_left_behind = False
        self._problem: str | None = None
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._work, name="distrain-shipper", daemon=True)

    @property
    def run_id(self) -> str | None:
        """MLflow's id of the run; None while the run does not exist there yet."""
        return self._delivery.mark.run_id

    @property
    def versions(self) -> dict[str, RegisteredVersion]:
        """The model versions that were made, by the key of their model."""
        return self._delivery.versions

    @property
    def child_ids(self) -> dict[int, str]:
        """MLflow's ids of the runs of a search's trials, by number, as far as they are there."""
        return dict(self._delivery.mark.child_ids)

    @property
    def reached(self) -> dict[str, int]:
        """The byte of each segment of the journal, by its name, behind what is shipped."""
        return self._delivery.mark.reached

    @property
    def damages(self) -> list[str]:
        """What of the journal is damaged, cut off or missing, each with its file and place."""
        return self._delivery.damages

    @property
    def is_refused(self) -> bool:
        """Whether nothing more is tried: nobody is let in, another has taken over, or a slip."""
        return self._is_refused

    @property
    def problem(self) -> str | None:
        """Why nothing gets through at the moment; None: nothing is wrong."""
        return self._problem

    def note_store(self) -> None:
        """Write down which store the journal goes to, where another process is to ship it."""
        self._delivery.note_store()

    def note_losses(self) -> None:
        """Tell what is cut off or missing; before `start`, where nobody writes any more."""
        self._delivery.note_losses()

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def drain(self, timeout_s: float, *, with_data: bool = False) -> bool:
        """Return whether all that was recorded before this call is shipped.

        Args:
            timeout_s: seconds to wait for a tracking server that is away.
            with_data: whether each of a search's trials has to be told, after all else, what it
                was trained on.
        """
        with self._state:
            wanted = self._num_passes + 1
            self._is_draining = True
            self._is_data_asked = with_data
            self._state.notify_all()
            try:
                self._state.wait_for(
                    lambda: self._last_clean_pass >= wanted or self._is_refused, timeout_s
                )
            finally:  # an interruption ends the wait, and with it the haste
                self._is_draining = self._is_data_asked = False
            return self._last_clean_pass >= wanted

    def close(self, timeout_s: float = 5.0) -> None:
        """Stop; what is not shipped stays in the journal.

        Args:
            timeout_s: seconds to wait for what is under way; after them only the request that is
                out comes to its end, and no other follows it.
        """
        with self._state:
            self._is_closed = True
            self._state.notify_all()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        self._is_left_behind = True

    def _work(self) -> None:
        try:
            while not (self._is_closed or self._is_refused):
                self._pass_and_pause()
        except BaseException as error:  # goes through; whoever drains is not left waiting
            self._stop(f"the thread that ships has died: {type(error).__name__}: {error}")
            raise

    def _pass_and_pause(self) -> None:
        with self._state:
            self._num_passes += 1
        pause_s = self._one_pass()
        if pause_s and self._num_failures == 0:
            pause_s = self._tell_data(pause_s)
        with self._state:
            # A drain that began during a good pass waits for one that starts after it.
            is_called_for = self._is_draining and self._num_failures == 0
            if pause_s and not self._is_closed and not is_called_for:
                self._state.wait(pause_s)

    def _one_pass(self) -> float:
        """Ship what there is and return the seconds to wait before the next pass."""
        try:
            has_more = self._ship()
        except CheckpointError as error:
            self._leave(error)
            return 0.0
        except Exception as error:  # told once, kept in `problem`, and tried again
            # Whatever goes wrong here must not touch the training.
            refusal = refusal_of(self._server, error)
            if refusal is not None:
                self._refuse(refusal)
                return 0.0
            self._error = error
            return self._failed(error)
        self._recovered()
        if has_more:
            # What was recorded meanwhile goes with what comes until the next pass.
            return 0.0 if self._is_draining or self._delivery.is_behind else self._poll_s
        with self._state:
            self._last_clean_pass = self._num_passes
            self._state.notify_all()
        return self._poll_s

    def _tell_data(self, pause_s: float) -> float:
        """Tell trials what they were trained on, instead of a pause; return what is left of it.

        What fails here is mended or told of by the next pass, where that fails too.
        """
        assert self._client is not None
        due_s = time.monotonic() + pause_s
        try:
            while not (self._is_draining or self._is_closed) and time.monotonic() < due_s:
                if not self._delivery.tell_data(self._client):
                    break
        except Exception as error:  # kept for the next pass, which is about to put it right
            self._error = error
        return max(0.0, due_s - time.monotonic())

    @property
    def _poll_s(self) -> float:
        """Seconds until the next look: a tenth of the time that has passed, within bounds."""
        passed_s = time.monotonic() - self._began
        return min(max(POLL_S, passed_s / 10), LONGEST_POLL_S)

    def _ship(self) -> bool:
        """Ship one portion and return whether there may be more."""
        self._delivery.note_store()
        if self._client is None:
            self._client = patient(self._connect(self._server), self._check)
        if self._error is not None:
            if self._delivery.recover(self._client, self._error):
                self._num_failures = 0  # the next one, of another of many, is no worse
            self._error = None
        has_more = self._delivery.send_next(self._client)
        if has_more or not self._is_data_asked:
            return has_more
        return self._delivery.tell_data(self._client)

    def _check(self) -> None:
        """Return where this thread may send more.

        Raises:
            CheckpointError: another has taken the run over, or nobody waits for this thread.
        """
        if self._is_left_behind:
            raise CheckpointError("the record was closed")
        self._check_lease()

    def _leave(self, reason: CheckpointError) -> None:
        """Stop for good: what is left is another's to send."""
        if not self._is_left_behind:
            logger.warning("%s Nothing more is sent from here: %s", reason, self._folder)
        self._stop(str(reason))

    def _refuse(self, refusal: TrackingError) -> None:
        """Stop for good: no repetition helps where credentials or a host name are wrong."""
        logger.error(
            "%s Nothing more is sent in this command; training goes on, records are kept in %s, "
            "and `distrain sync` sends them",
            refusal,
            self._folder,
        )
        self._stop(str(refusal))

    def _stop(self, problem: str) -> None:
        with self._state:
            self._problem = problem
            self._is_refused = True
            self._state.notify_all()

    def _failed(self, error: Exception) -> float:
        self._num_failures += 1
        reason = first_line(error)
        if self._problem is None:
            logger.warning(
                "recording at %s fails (%s); training goes on, records are kept in %s and sent "
                "when it is back",
                self._server.shown,
                reason,
                self._folder,
            )
        self._problem = reason
        longest = LONGEST_PAUSE_WHILE_DRAINING_S if self._is_draining else LONGEST_PAUSE_S
        return min(FIRST_PAUSE_S * 2.0 ** min(self._num_failures - 1, 10), longest)

    def _recovered(self) -> None:
        if self._problem is not None:
            logger.warning("recording at %s works again", self._server.shown)
        self._problem = None
        self._num_failures = 0
