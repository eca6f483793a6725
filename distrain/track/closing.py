"""What goes to MLflow once a journal is read to its end: artifacts, models, then the status.

They hold nothing up: artifacts and models often go to another store, which may be full or closed
while the tracking server works. Each file is a request of its own, and what is still to be done
stands in the watermark, so that a link that loses answers costs one request again and not all.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from distrain.foreign import is_within
from distrain.track.children import Children
from distrain.track.journal_reading import JournalRecord
from distrain.track.model_versions import RegisteredVersion
from distrain.track.registry import ModelFacts, register_version
from distrain.track.rejected import Rejected
from distrain.track.sending import GOES_ON, RunSender, delete_doubles, files_below, is_refusal
from distrain.track.tracking_server import TrackingServer
from distrain.track.watermark import SAVE_EVERY_S, Watermark

if TYPE_CHECKING:
    from mlflow import MlflowClient


@final
@dataclass(frozen=True)
class Closing:
    """Sends what comes after the records, as far as the watermark says that it is still to do.

    Args:
        folder: the journal's folder.
        server: the tracking store.
        client: one whose own retries are off.
        sender: of the run.
        mark: how far the journal has been shipped; it is moved on, and saved.
        save: saves it.
        rejected: takes what the store refuses for good.
        children: the runs of a search's trials.
    """

    folder: Path
    server: TrackingServer
    client: "MlflowClient"
    sender: RunSender
    mark: Watermark
    save: Callable[[], None]
    rejected: Rejected
    children: Children

    def send(self) -> None:
        """Send all of it, the status even where the rest fails; after a failure, call it again."""
        try:
            self._send_artifacts()
            self._register_models()
        finally:
            self._send_status()

    def _send_artifacts(self) -> None:
        todo, last_save = self.mark.artifacts, time.monotonic()
        try:
            while todo:
                path, place = todo[0]
                if not self._is_own(path):
                    self.rejected.add(f"artifact {path}", "it lies outside of the run's folder")
                    del todo[0]
                    continue
                if (folder := self._place(path)).is_dir():
                    todo[:1] = [
                        (str(Path(path) / file.relative_to(folder)), file_place)
                        for file, file_place in files_below(folder, place)
                    ]
                    continue
                self.sender.artifact(self._place(path), place)
                del todo[0]
                # Not after each: of a folder with thousands of files that would write gigabytes.
                if not todo or time.monotonic() - last_save > SAVE_EVERY_S:
                    self.save()
                    last_save = time.monotonic()
        except Exception:  # goes through: only what was sent since the last save is kept first
            self.save()
            raise

    def _register_models(self) -> None:
        while self.mark.models:
            model = self.mark.models[0]
            version = self.rejected.unless_refused(
                partial(self._register, model),
                f"model {model['facts']['name']}",
                lambda error: is_refusal(error) or isinstance(error, FileNotFoundError),
            )
            if version is not None:
                made = (version.name, version.version, version.alias)
                self.mark.versions[model["facts"]["key"]] = made
            del self.mark.models[0]
            self.save()

    def _register(self, model: dict[str, Any]) -> RegisteredVersion:
        assert self.mark.run_id is not None
        assert self.mark.experiment_id is not None
        facts = ModelFacts(
            **model["facts"], run_id=self.mark.run_id, experiment_id=self.mark.experiment_id
        )
        folder = self._place(model["path"])
        if not folder.is_dir():
            raise FileNotFoundError(f"{folder} is gone")
        if not all(is_within(path, self.folder.parent) for path in (folder, *folder.rglob("*"))):
            raise FileNotFoundError(f"{folder} leads out of the run's folder")
        return register_version(
            self.client, self.server, folder, facts, alias=model["alias"], asked_ms=model["time_ms"]
        )

    def _send_status(self) -> None:
        if self.mark.final is None:
            return
        status, end_ms = self.mark.final
        if status != GOES_ON:
            self.children.finish(self.client, end_ms, self.save)
        self.sender.end(status, end_ms)
        if status != GOES_ON and self.mark.run_id and self.mark.experiment_id:
            delete_doubles(self.client, self.mark.experiment_id, self.mark.run_id)
        self.mark.final, self.mark.status = None, status
        self.save()

    def _is_own(self, path: str) -> bool:
        """Return whether a recorded path leads to the run's folder: no other file is sent."""
        return is_within(self._place(path), self.folder.parent)

    def _place(self, path: str) -> Path:
        """Return where a recorded path is now: what was relative is below the run's folder."""
        return self.folder.parent / path


def models_to_register(
    records: Sequence[JournalRecord], before: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return the models that are to be registered after some records, in order.

    Args:
        records: the next ones of the journal; where the run goes on, what was packaged before is
            void, and may be overwritten at any time.
        before: those that were to be registered before them.
    """
    models = list(before)
    for record in records:
        if record.kind == "status" and record.payload["status"] == GOES_ON:
            models = []
        elif record.kind == "model":
            models.append({**record.payload, "time_ms": record.time_ms})
    return models
