"""The journal's way to MLflow: a thread beside the training, which it never slows or fails.

    until told to stop, every 2 s at first and every 10 s later, at once where it lags behind:
        send what the journal holds behind the watermark           (see `delivery.py`)
        a failure: wait, longer each time, and go on with the request that failed
        credentials or host name refused: tell it, and stop

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

from distrain.errors import TrackingError, first_line
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
    """

    def __init__(
        self,
        folder: Path,
        server: TrackingServer,
        *,
        connect_to: "Callable[[TrackingServer], MlflowClient]" = connect,
    ) -> None:
        self._folder = folder
        self._server = server
        self._connect = connect_to
        self._client: MlflowClient | None = None
        self._delivery = Delivery(folder, server)
        self._state = threading.Condition()
        self._began = time.monotonic()
        self._num_passes = 0
        self._last_clean_pass = 0
        self._num_failures = 0
        self._is_refused = False
        self._is_draining = False
        self._is_closed = False
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
    def damages(self) -> list[str]:
        """What of the journal is damaged or cut off, each with its file and byte."""
        return self._delivery.damages

    @property
    def is_refused(self) -> bool:
        """Whether the server lets nobody in, so that nothing more is tried."""
        return self._is_refused

    @property
    def problem(self) -> str | None:
        """Why nothing gets through at the moment; None: nothing is wrong."""
        return self._problem

    def note_store(self) -> None:
        """Write down which store the journal goes to, where another process is to ship it."""
        self._delivery.note_store()

    def note_lost_ends(self) -> None:
        """Tell where segments were cut; before `start`, where nobody writes any more."""
        self._delivery.note_lost_ends()

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def drain(self, timeout_s: float) -> bool:
        """Return whether all that was recorded before this call is shipped.

        Args:
            timeout_s: seconds to wait for a tracking server that is away.
        """
        with self._state:
            wanted = self._num_passes + 1
            self._is_draining = True
            self._state.notify_all()
            try:
                self._state.wait_for(
                    lambda: self._last_clean_pass >= wanted or self._is_refused, timeout_s
                )
            finally:  # an interruption ends the wait, and with it the haste
                self._is_draining = False
            return self._last_clean_pass >= wanted

    def close(self, timeout_s: float = 5.0) -> None:
        """Stop; what is not shipped stays in the journal."""
        with self._state:
            self._is_closed = True
            self._state.notify_all()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def _work(self) -> None:
        while not (self._is_closed or self._is_refused):
            with self._state:
                self._num_passes += 1
            pause_s = self._one_pass()
            with self._state:
                # A drain that began during a good pass waits for one that starts after it.
                is_called_for = self._is_draining and self._num_failures == 0
                if pause_s and not self._is_closed and not is_called_for:
                    self._state.wait(pause_s)

    def _one_pass(self) -> float:
        """Ship what there is and return the seconds to wait before the next pass."""
        try:
            has_more = self._ship()
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

    @property
    def _poll_s(self) -> float:
        """Seconds until the next look: a tenth of the time that has passed, within bounds."""
        passed_s = time.monotonic() - self._began
        return min(max(POLL_S, passed_s / 10), LONGEST_POLL_S)

    def _ship(self) -> bool:
        """Ship one portion and return whether there may be more."""
        self._delivery.note_store()
        if self._client is None:
            self._client = patient(self._connect(self._server))
        if self._error is not None:
            self._delivery.recover(self._client, self._error)
            self._error = None
        return self._delivery.send_next(self._client)

    def _refuse(self, refusal: TrackingError) -> None:
        """Stop for good: no repetition helps where credentials or a host name are wrong."""
        logger.error(
            "%s Nothing more is sent in this command; training goes on, records are kept in %s, "
            "and `distrain sync` sends them",
            refusal,
            self._folder,
        )
        with self._state:
            self._problem = str(refusal)
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
