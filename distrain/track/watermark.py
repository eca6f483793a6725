"""How far a journal has been shipped, kept in the journal's folder."""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, final

from distrain.track.new_points import Sent

WATERMARK = "shipped.json"


@final
@dataclass
class Watermark:
    """How far a journal has been shipped; lost, it is found again by shipping from the start.

    Attributes:
        run_id: MLflow's; None: the run does not exist there yet.
        experiment_id: MLflow's.
        positions: segment file name to the byte behind what was sent; a segment that is to be read
            again, for what of it waits, is left out.
        sent: which points of metrics were.
        final: the status to end with and its time, until it is sent.
        num_rejected: records that the store refused for good.
        server: the tracking store that all of this is about; `TrackingServer.identity`.
        artifacts: path, and folder among the run's artifacts, of what is still to be sent.
        models: what is still to be registered, each as `JournalWriter.model` recorded it, and when.
        versions: key of a registered model to its name, version and alias.
        reached: segment file name to the byte behind what was read, whether it has to be read again
            or not.
        status: the last one that was sent.
    """

    run_id: str | None = None
    experiment_id: str | None = None
    positions: dict[str, int] = field(default_factory=dict)
    sent: Sent = field(default_factory=Sent)
    final: tuple[str, int] | None = None
    num_rejected: int = 0
    server: str = ""
    artifacts: list[tuple[str, str]] = field(default_factory=list)
    models: list[dict[str, Any]] = field(default_factory=list)
    versions: dict[str, tuple[str, str, str | None]] = field(default_factory=dict)
    reached: dict[str, int] = field(default_factory=dict)
    status: str = ""

    @staticmethod
    def load(folder: Path) -> "Watermark":
        """Return the watermark of a journal's folder; a fresh one where there is none."""
        try:
            fields = json.loads((folder / WATERMARK).read_text(encoding="utf-8"))
            return Watermark(**{**fields, "sent": Sent(**fields.get("sent", {}))})
        except (FileNotFoundError, ValueError, TypeError, AttributeError):
            return Watermark()

    @staticmethod
    def load_for(folder: Path, server: str) -> "Watermark":
        """Return how far a journal has been shipped to one tracking store.

        Another store has nothing of the journal yet, and is sent all of it.
        """
        mark = Watermark.load(folder)
        return mark if mark.server == server else Watermark(server=server)

    def save(self, folder: Path) -> None:
        """Write it into a journal's folder, whole or not at all."""
        unfinished = folder / f".{WATERMARK}.{os.getpid()}"
        unfinished.write_text(json.dumps(asdict(self)), encoding="utf-8")
        unfinished.replace(folder / WATERMARK)
