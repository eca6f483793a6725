"""How far a journal has been shipped, kept in the journal's folder."""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, final

from distrain.foreign import is_count, read_json
from distrain.track.new_points import Sent
from distrain.track.trials import SentTrial

WATERMARK = "shipped.json"
SAVE_EVERY_S = 1.0
"""While many requests go one by one: saved after each, it would write gigabytes."""


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
        is_deleted: whether the run was found deleted there; nothing is sent then until a command
            names it.
        child_ids: of a search, a trial's number to MLflow's id of its run.
        trials: of a search, what was sent of each trial.
        refused: MLflow's id of a trial's run to the number of its records that the store refused.
        left_deleted: MLflow's ids of trials' runs that were found deleted there by a command that
            does not restore them; one that does sends all of the journal again.
        without_data: of a search, the trials whose runs were not told yet what they were trained
            on.
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
    is_deleted: bool = False
    child_ids: dict[int, str] = field(default_factory=dict)
    trials: dict[int, SentTrial] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    left_deleted: list[str] = field(default_factory=list)
    without_data: list[int] = field(default_factory=list)

    @staticmethod
    def load(folder: Path) -> "Watermark":
        """Return the watermark of a journal's folder; a fresh one where there is none."""
        try:
            fields = read_json(folder / WATERMARK)
            fields["sent"] = Sent(**fields.get("sent", {}))
            # The keys of JSON are text.
            fields["child_ids"] = {int(n): kept for n, kept in fields.get("child_ids", {}).items()}
            trials = fields.get("trials", {}).items()
            fields["trials"] = {int(number): SentTrial(**kept) for number, kept in trials}
            mark = Watermark(**fields)
            is_sound = mark.is_sound()
        except (FileNotFoundError, ValueError, TypeError, AttributeError):
            return Watermark()
        return mark if is_sound else Watermark()

    def is_sound(self) -> bool:
        """Return whether it says where to read on, and what is left, as `save` writes them."""
        places = [*self.positions.values(), *self.reached.values()]
        names = [name for pair in self.artifacts for name in pair]
        return (
            all(map(is_count, (*places, self.num_rejected, *self.without_data)))
            and all(isinstance(name, str) and "\0" not in name for name in names)
            and all(len(pair) == len(("path", "place")) for pair in self.artifacts)
        )

    @staticmethod
    def load_for(folder: Path, server: str) -> "Watermark":
        """Return how far a journal has been shipped to one tracking store.

        Another store has nothing of the journal yet, and is sent all of it.
        """
        mark = Watermark.load(folder)
        return mark if mark.server == server else Watermark(server=server)

    def anew(self) -> "Watermark":
        """Return that of a journal of which the same runs, which are there, are sent all again."""
        return Watermark(
            run_id=self.run_id,
            experiment_id=self.experiment_id,
            server=self.server,
            is_deleted=self.is_deleted,
            child_ids=self.child_ids,
            without_data=list(self.child_ids),
        )

    def save(self, folder: Path) -> None:
        """Write it into a journal's folder, whole or not at all."""
        unfinished = folder / f".{WATERMARK}.{os.getpid()}"
        unfinished.write_text(json.dumps(asdict(self)), encoding="utf-8")
        unfinished.replace(folder / WATERMARK)
