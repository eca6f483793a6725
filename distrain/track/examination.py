"""Whether runs can be recorded and models registered at a tracking store, tried and told.

A store that is there is asked as a run's end would ask it: a registered model and a version of it
are made, under a name of their own, and removed again. A SQLite database that is not there yet is
left so.
"""

import http.client
import secrets
import urllib.request
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Final, final

from distrain.errors import DistrainError, TrackingError, first_line
from distrain.track.credentials import credentials_of
from distrain.track.reachable import CHECK_TIMEOUT_S, check_reachable, refusal_of, tls_context
from distrain.track.tracking_server import TrackingServer, as_default, connect

if TYPE_CHECKING:
    from mlflow import MlflowClient

PROBE: Final = "distrain-doctor-"
# Not looked at by anybody: a server takes no local path, and none of its own artifacts, of no run.
_SOURCE: Final = "s3://distrain-doctor/none"
_NO_REGISTRY: Final = ("ENDPOINT_NOT_FOUND", "FEATURE_DISABLED", "NOT_IMPLEMENTED")


@final
@dataclass(frozen=True)
class TrackingFacts:
    """What was found out about a tracking store.

    Attributes:
        shown: its address, without a password.
        origin: what named it.
        own_version: of MLflow here.
        version: of the server's MLflow; None: it is a database, or does not tell.
        is_made: whether there is something already; False: a run makes the database.
        error: why no run could be recorded there; None: it could.
        registry_error: why no model version could be registered there; None: it could.
    """

    shown: str
    origin: str
    own_version: str
    version: str | None = None
    is_made: bool = True
    error: DistrainError | None = None
    registry_error: DistrainError | None = None


def examine_tracking(server: TrackingServer) -> TrackingFacts:
    """Return what can be found out about a tracking store; imports mlflow, which takes seconds.

    Args:
        server: the store.
    """
    is_made = server.database is None or server.database.exists()
    facts = TrackingFacts(server.shown, server.origin, version("mlflow"), is_made=is_made)
    try:
        check_reachable(server)
        if not is_made:
            return facts
        client = connect(server)
    except TrackingError as error:
        return replace(facts, error=error)
    return replace(
        facts,
        version=_server_version(server) if server.is_remote else None,
        registry_error=_registry_error(client, server),
    )


def _server_version(server: TrackingServer) -> str | None:
    """Return the version that a server says it is of, None where it does not."""
    url, authorization = credentials_of(server.uri)
    request = urllib.request.Request(f"{url}/version")
    if authorization:
        request.add_header("Authorization", authorization)
    tls = tls_context(url)
    try:
        with urllib.request.urlopen(request, timeout=CHECK_TIMEOUT_S, context=tls) as answer:
            told: str = answer.read(100).decode(errors="replace").strip()
    except (OSError, ValueError, http.client.HTTPException):
        return None
    return told if told[:1].isdigit() else None


def _registry_error(client: "MlflowClient", server: TrackingServer) -> DistrainError | None:
    """Return why no model version can be registered, None where one was, and is removed again."""
    name = PROBE + secrets.token_hex(4)
    left: Exception | None = None
    try:
        client.create_registered_model(name)
        try:
            with as_default(server):
                client.create_model_version(name, _SOURCE)
        finally:
            left = _removal_error(client, name)
    except Exception as error:  # told: MLflow lets the errors of its libraries through
        return refusal_of(server, error) or _unregistered(server, error)
    return None if left is None else _unremoved(server, name, left)


def _removal_error(client: "MlflowClient", name: str) -> Exception | None:
    try:
        client.delete_registered_model(name)
    except Exception as error:  # told, where a version could be made
        return error
    return None


def _unremoved(server: TrackingServer, name: str, error: Exception) -> TrackingError:
    return TrackingError(
        f"versions are registered, but the registered model {name!r}, made to try it, could not be "
        f"removed again ({first_line(error)})",
        where=f"{server.origin} = {server.shown}",
        expected="a model registry from which a registered model can be removed",
        mend="Remove it by hand, as somebody who may",
    )


def _unregistered(server: TrackingServer, error: Exception) -> TrackingError:
    code = getattr(error, "get_http_status_code", lambda: 0)()
    is_missing = code in (404, 405, 501) or getattr(error, "error_code", "") in _NO_REGISTRY
    where = f"{server.origin} = {server.shown}"
    expected = "a model registry that takes a registered model and a version"
    if is_missing or "registry" in str(error).lower():
        return TrackingError(
            f"the tracking server has no model registry ({first_line(error)})",
            where=where,
            expected=expected,
            mend="Start it with a database, `mlflow server --backend-store-uri postgresql://...`, "
            "which holds the registry too, or name one by --registry-store-uri",
        )
    return TrackingError(
        f"no model version can be registered ({first_line(error)})",
        where=where,
        expected=expected,
        mend="Look into the server's log; its database must take writes",
    )
