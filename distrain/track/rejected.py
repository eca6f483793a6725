"""What a store refused for good, or a journal has lost: kept in a file beside the journal, counted.

The count is a tag of the run. It is written before anything is set aside: a store that takes no tag
either is in trouble, as PostgreSQL is while it fails over: it answers 400 to every write (MLflow
tells most of a database's errors so), and what it refused then is sent again.
"""

import json
import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, final

from distrain.redaction import redacted
from distrain.track.watermark import Watermark

if TYPE_CHECKING:
    from mlflow import MlflowClient

REJECTED = "rejected.jsonl"
REJECTED_TAG = "distrain.tracking.rejected"

logger = logging.getLogger(__name__)


@final
@dataclass(frozen=True)
class Rejected:
    """The records of one journal that will never be at MLflow.

    Args:
        folder: the journal's folder.
        mark: how far the journal has been shipped; the count stands there.
        client: one whose own retries are off.
    """

    folder: Path
    mark: Watermark
    client: "MlflowClient"

    def add(self, what: str, why: str) -> None:
        """Set something aside; raises what the store says where it takes no tag either."""
        what, why = redacted(what), redacted(why)
        self.tell(one_more=True)
        line = json.dumps({"what": what, "why": why, "time_ms": time.time_ns() // 1_000_000})
        with (self.folder / REJECTED).open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        self.mark.num_rejected += 1
        logger.warning("%s is not recorded at MLflow: %s", what, why.strip().splitlines()[0])

    def tell(self, *, one_more: bool = False) -> None:
        """Write into the run how many there are, or are about to be."""
        assert self.mark.run_id is not None
        number = self.mark.num_rejected + one_more
        self.client.set_tag(self.mark.run_id, REJECTED_TAG, str(number))
