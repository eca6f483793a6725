"""Which tracking store a run of an earlier command is recorded at, and clients of several stores.

It stands in the watermark of the run's journal, because the environment of the later command may
name another; and in the journal, because a crash of the machine may take the watermark with it.
"""

from pathlib import Path
from typing import TYPE_CHECKING, final

from distrain.config.environment import expand_env
from distrain.config.load import load_settings
from distrain.config.settings import Settings
from distrain.errors import TrackingError
from distrain.locations import storage_of, store_at
from distrain.object_store.link import Link, link_of
from distrain.run_folder import CONFIG, JOURNAL
from distrain.track.journal_reading import DRIVER, last_written
from distrain.track.reachable import check_reachable
from distrain.track.tracking_server import (
    STORAGE,
    TrackingServer,
    connect,
    has_hidden_password,
    resolve_tracking_uri,
    server_beside_store,
    storage_server,
)
from distrain.track.watermark import Watermark

if TYPE_CHECKING:
    from mlflow import MlflowClient


@final
class Stores:
    """Clients of tracking stores, each made once; one that did not answer is not asked again."""

    def __init__(self) -> None:
        self._made: dict[str, MlflowClient | TrackingError] = {}

    def client(self, server: TrackingServer) -> "MlflowClient":
        """Return the client of a store.

        Raises:
            TrackingError: it cannot be reached, or refuses.
        """
        if server.uri not in self._made:
            try:
                check_reachable(server)
                self._made[server.uri] = connect(server)
            except TrackingError as error:
                self._made[server.uri] = error
        made = self._made[server.uri]
        if isinstance(made, TrackingError):
            raise made
        return made


def server_of_new_run(settings: Settings, *, is_offline: bool) -> TrackingServer:
    """Return the tracking store that a new run is recorded at.

    Args:
        settings: of the run.
        is_offline: whether nothing is sent now, so that none need be named yet.

    Raises:
        ConfigError: none that can be is named.
    """
    uri = expand_env(settings.track.uri) if settings.track.uri else None
    place = store_at(settings)
    if place is None:
        return resolve_tracking_uri(uri, storage_of(settings))
    return server_beside_store(uri, place.uri, is_offline=is_offline)


def server_of_run(run_dir: Path) -> TrackingServer:
    """Return the tracking store that a run is recorded at.

    Raises:
        ConfigError: its configuration cannot be read.
        TrackingError: it cannot be told without the password, which is not kept.
    """
    link = link_of(run_dir)
    if link is not None:
        return _store_beside(run_dir, link)
    storage = run_dir.parent.parent
    kept = Watermark.load(run_dir / JOURNAL).server or _recorded_store(run_dir)
    if kept == STORAGE:
        return storage_server(storage)
    if kept and not has_hidden_password(kept):
        return resolve_tracking_uri(kept, storage)
    uri = load_settings([run_dir / CONFIG]).track.uri
    server = resolve_tracking_uri(expand_env(uri) if uri else None, storage)
    if kept in ("", server.identity):
        return server
    raise _without_password(kept, str(run_dir))


def _store_beside(run_dir: Path, link: Link) -> TrackingServer:
    """Return the store of a run that an object store keeps: the recorded one, or what is named."""
    kept = Watermark.load(run_dir / JOURNAL).server or _recorded_store(run_dir)
    is_known = kept not in ("", STORAGE) and not has_hidden_password(kept)
    configured = load_settings([run_dir / CONFIG]).track.uri
    given = kept if is_known else (expand_env(configured) if configured else None)
    server = server_beside_store(given, link.storage.uri, is_offline=False)
    if kept in ("", STORAGE, server.identity):
        return server
    raise _without_password(kept, link.place.uri)


def _without_password(kept: str, where: str) -> TrackingError:
    return TrackingError(
        f"the run is recorded at {kept}, and the password is not kept with it",
        where=where,
        expected="the tracking store that the run began with",
        mend="Set MLFLOW_TRACKING_URI to it in this command's environment",
    )


def _recorded_store(run_dir: Path) -> str:
    """Return the store that a run's driver named last; empty: it named none."""
    record = last_written(DRIVER, run_dir / JOURNAL, "store")
    return str(record.payload["identity"]) if record else ""
