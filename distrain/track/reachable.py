"""Whether a tracking server answers, told within seconds and without importing mlflow."""

import contextlib
import http.client
import os
import socket
import ssl
import urllib.error
import urllib.parse
import urllib.request

from distrain.errors import TrackingError
from distrain.track.credentials import credentials_of
from distrain.track.database import check_database
from distrain.track.tracking_server import DATABASE_PORTS, TrackingServer

CHECK_TIMEOUT_S = 3.0
_MOST_READ = 200_000

_REFUSALS = {
    0: "asks for credentials, and none are set",
    401: "refuses these credentials",
    403: "refuses these credentials what is asked: their user may not do it",
}
_PROBE = "/api/2.0/mlflow/experiments/search?max_results=1"


def check_reachable(server: TrackingServer, timeout_s: float = CHECK_TIMEOUT_S) -> None:
    """Return when the server answers, or a SQLite database can be used or made; makes nothing.

    Args:
        server: the tracking store.
        timeout_s: seconds that the server has for each part of its answer.

    Raises:
        TrackingError: nothing answers, it refuses, or it is no MLflow server; MLflow's file of
            credentials cannot be read; the database is damaged, or of another MLflow version.
    """
    if server.is_remote:
        _check_http(server, timeout_s)
        return
    if server.database is not None:
        check_database(server.database, where=f"{server.origin} = {server.database}")
        return
    parts = urllib.parse.urlsplit(server.uri)
    port = DATABASE_PORTS.get(parts.scheme.partition("+")[0])
    if port is not None and parts.hostname:
        try:
            socket.create_connection((parts.hostname, parts.port or port), timeout_s).close()
        except (OSError, ValueError) as error:  # a port that is no number
            raise _silent(server, str(error)) from error


def _check_http(server: TrackingServer, timeout_s: float) -> None:
    url, authorization = credentials_of(server.uri)
    request = urllib.request.Request(url + _PROBE)
    if authorization:
        request.add_header("Authorization", authorization)
    try:
        with urllib.request.urlopen(request, timeout=timeout_s, context=tls_context(url)) as answer:
            body = _beginning(answer)
    except urllib.error.HTTPError as error:
        with error:
            raise _answered(server, error.code, _body_of(error)) from error
    except (OSError, ValueError, http.client.InvalidURL) as error:
        raise _silent(server, str(getattr(error, "reason", error))) from error
    except http.client.IncompleteRead as error:
        raise _silent(server, "its answer breaks off") from error
    except http.client.HTTPException as error:  # a greeting of SSH, bytes without a meaning
        raise _other_service(server) from error
    if not body.lstrip().startswith(b"{"):
        raise _other_service(server)


def _beginning(answer: http.client.HTTPResponse) -> bytes:
    """Return how an answer begins.

    Raises:
        http.client.IncompleteRead: it breaks off before its announced end.
    """
    body = answer.read(_MOST_READ)
    if answer.length and len(body) < _MOST_READ:
        raise http.client.IncompleteRead(body, answer.length)
    return body


def _body_of(error: urllib.error.HTTPError) -> str:
    """Return how an answer's text begins; empty: it breaks off, and its status alone is known."""
    with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
        return error.read(500).decode(errors="replace")
    return ""


def tls_context(url: str) -> ssl.SSLContext | None:
    """Return what MLflow's variables say of a server's certificate, None where it has none."""
    if not url.startswith("https:"):
        return None
    if os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in ("1", "true"):
        return ssl._create_unverified_context()
    context = ssl.create_default_context(cafile=os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH"))
    client_certificate = os.environ.get("MLFLOW_TRACKING_CLIENT_CERT_PATH")
    if client_certificate:
        context.load_cert_chain(client_certificate)
    return context


def _silent(server: TrackingServer, reason: str) -> TrackingError:
    return TrackingError(
        f"no tracking server answers there ({reason})",
        where=f"{server.origin} = {server.shown}",
        expected="a running MLflow server",
        mend="Start it or mend the address, or leave it out to record in SQLite below storage",
    )


def _other_service(server: TrackingServer) -> TrackingError:
    return TrackingError(
        "something answers there, but it is no MLflow server",
        where=f"{server.origin} = {server.shown}",
        expected="the address under which MLflow's own page opens",
        mend="Check the port and the path",
    )


def refusal_of(server: TrackingServer, error: Exception) -> TrackingError | None:
    """Return in words why a server lets nobody in, None where that is not what an error says.

    Args:
        server: the tracking store.
        error: raised by MLflow's client.
    """
    code = getattr(error, "get_http_status_code", lambda: 0)()
    return _answered(server, code, str(error)) if code in (401, 403) else None


def _answered(server: TrackingServer, code: int, body: str) -> TrackingError:
    where = f"{server.origin} = {server.shown}"
    if code == 403 and "host header" in body.lower():
        host = urllib.parse.urlsplit(server.uri).hostname
        return TrackingError(
            "the tracking server refuses this host name",
            where=where,
            expected="a name that the server allows",
            mend=f'Start the server with --allowed-hosts "{host}:*", or use its IP address',
        )
    if code in (401, 403):
        is_given = credentials_of(server.uri)[1] is not None
        return TrackingError(
            f"the tracking server {_REFUSALS[code if is_given else 0]} (HTTP {code})",
            where=where,
            expected="MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or "
            "MLFLOW_TRACKING_TOKEN, of a user who may read and write this experiment and model",
            mend="Set them in this command's environment",
        )
    if code in (404, 405, 501):
        return _other_service(server)
    return TrackingError(
        f"the tracking server is in trouble (HTTP {code})",
        where=where,
        expected="HTTP 200",
        mend="Look into the server's log",
    )
