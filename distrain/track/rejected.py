"""What a store refused for good, or a journal has lost: kept in a file beside the journal, counted.

The count is a tag of the run. It is written before anything is set aside: a store that takes no tag
either is in trouble, as PostgreSQL is while it fails over: it answers 400 to every write (MLflow
tells most of a database's errors so), and what it refused then is sent again. So is, once, what it
refused before it took the tag: the trouble may have ended between the two.
"""

import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, final

from distrain.redaction import redacted
from distrain.track.watermark import Watermark

if TYPE_CHECKING:
    from mlflow import MlflowClient

REJECTED = "rejected.jsonl"
REJECTED_TAG = "distrain.tracking.rejected"

T = TypeVar("T")
logger = logging.getLogger(__name__)


@final
@dataclass(frozen=True)
class Rejected:
    """The records of one journal that will never be at MLflow.

    Args:
        folder: the journal's folder.
        mark: how far the journal has been shipped; the count stands there.
        client: one whose own retries are off.
        child: MLflow's id of a trial's run, where the records are of one; it is told its own count.
    """

    folder: Path
    mark: Watermark
    client: "MlflowClient"
    child: str | None = None

    def unless_refused(
        self, request: Callable[[], T], what: str, is_refusal: Callable[[Exception], bool]
    ) -> T | None:
        """Make a request; what is refused, though the store takes other things, is set aside.

        Args:
            request: may be repeated.
            what: it sends, for who reads what was set aside.
            is_refusal: whether an error says that repeating is no use; others are raised.

        Returns:
            What the request gives; None: it was set aside.
        """
        given, why = _attempt(request, is_refusal)
        if why is None:
            return given
        self.tell(one_more=True)
        # That was taken; if this is too by now, the store was in trouble, and is no more.
        given, why = _attempt(request, is_refusal)
        if why is None:
            self.tell()
        else:
            self.add(what, why)
        return given

    def add(self, what: str, why: str) -> None:
        """Set something aside; raises what the store says where it takes no tag either."""
        what, why = redacted(what), redacted(why)
        self.tell(one_more=True)
        line = json.dumps({"what": what, "why": why, "time_ms": time.time_ns() // 1_000_000})
        with (self.folder / REJECTED).open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        self.mark.num_rejected += 1
        if self.child is not None:
            self.mark.refused[self.child] = self.mark.refused.get(self.child, 0) + 1
        logger.warning("%s is not recorded at MLflow: %s", what, why.strip().splitlines()[0])

    def tell(self, *, one_more: bool = False) -> None:
        """Write into the run how many there are, or are about to be."""
        assert self.mark.run_id is not None
        if self.child is not None:  # and first: a child may be deleted where its parent is not
            number = self.mark.refused.get(self.child, 0) + one_more
            self.client.set_tag(self.child, REJECTED_TAG, str(number))
        number = self.mark.num_rejected + one_more
        self.client.set_tag(self.mark.run_id, REJECTED_TAG, str(number))


def _attempt(
    request: Callable[[], T], is_refusal: Callable[[Exception], bool]
) -> tuple[T | None, str | None]:
    """Make a request; return what it gives, and why it was refused, None where it was not."""
    try:
        return request(), None
    except Exception as error:  # raised again, unless it is a refusal, which whoever calls tells
        # Artifact stores raise errors of their own clients: requests, boto3, the disk's.
        if not is_refusal(error):
            raise
        return None, str(error)
