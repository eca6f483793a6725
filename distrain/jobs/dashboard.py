"""A cluster's dashboard, spoken to over HTTP: found, asked within a time limit, told in words.

In: an address. Out: answers as plain values, or why there are none. The token is sent to a server
that asks for one, or where RAY_AUTH_MODE says so, and never along with a redirection.
"""

import functools
import http.client
import json
import os
import socket
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, final

from distrain.errors import ClusterError, ConfigError, first_line
from distrain.loopback import is_loopback
from distrain.ray_token import TOKEN, TOKEN_PATH, is_shown, own_token

DEFAULT: Final = "http://127.0.0.1:8265"
CONNECT_TIMEOUT_S: Final = 5.0
TIMEOUT_S: Final = 30.0
_URL_VARIABLE: Final = "RAY_API_SERVER_ADDRESS"
_HEADERS_VARIABLE: Final = "RAY_JOB_HEADERS"
_FORMS: Final = "http(s)://HOST:PORT of the cluster's dashboard"


@final
@dataclass(frozen=True)
class Dashboard:
    """A dashboard that has answered.

    Attributes:
        url: its address, without a slash at the end.
        origin: what named it.
        headers: what each request carries; nobody is shown it.
    """

    url: str
    origin: str
    headers: Mapping[str, str] = field(repr=False)

    @property
    def where(self) -> str:
        """Return the address and what named it, for messages."""
        return f"{self.origin} = {self.url}"

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | Mapping[str, Any] | None = None,
        *,
        timeout_s: float = TIMEOUT_S,
    ) -> tuple[int, bytes]:
        """Return the status and the content of an answer.

        Args:
            method: HTTP's.
            path: begins with a slash.
            body: what is sent; a mapping as JSON.
            timeout_s: seconds that each part of the answer may take.

        Raises:
            ClusterError: nothing answers, or the token is refused.
        """
        headers = dict(self.headers)
        if isinstance(body, Mapping):
            body, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
        elif body is not None:
            headers["Content-Type"] = "application/octet-stream"
        request = urllib.request.Request(self.url + path, data=body, headers=headers, method=method)
        try:
            with _opener(self.url).open(request, timeout=timeout_s) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as refusal:
            with refusal:
                status, content = refusal.code, refusal.read()
        except (OSError, ValueError, http.client.HTTPException) as error:
            # What came is this error's text, often none at all, as of the control store.
            is_other = isinstance(error, http.client.BadStatusLine)
            if is_other and not isinstance(error, OSError):
                raise self._other_service() from error
            raise self._silent(error) from error
        if status in (401, 403):
            raise self.refused(status)
        return status, content

    def json(self, path: str) -> Any:
        """Return what a path holds, as plain values; None: there is nothing of that name.

        Raises:
            ClusterError: nothing answers, the token is refused, or something else went wrong.
        """
        status, content = self.ask("GET", path)
        if status == 404:
            return None
        if status != 200:
            raise self.in_trouble(status, content)
        try:
            return json.loads(content)
        except ValueError as error:
            raise self._other_service() from error

    def refused(self, status: int) -> ClusterError:
        """Return in words that the cluster lets nobody in with this token, or without one."""
        told = "takes another token" if "Authorization" in self.headers else "asks for a token"
        return ClusterError(
            f"the cluster {told} (HTTP {status})",
            where=self.where,
            expected="the token that the cluster was started with",
            mend=f"Set {TOKEN}, or {TOKEN_PATH} to a file that you alone can read; without "
            "either it is looked for in ~/.ray/auth_token",
        )

    def in_trouble(self, status: int, content: bytes) -> ClusterError:
        """Return in words that the cluster could not do what it was asked."""
        lines = content.decode(errors="replace").strip().splitlines() or [""]
        return ClusterError(
            f"the cluster's dashboard is in trouble (HTTP {status}: {lines[-1][:300]})",
            where=self.where,
            expected="HTTP 200",
            mend="Look into dashboard.log and dashboard_agent.log on the head node",
        )

    def _silent(self, error: Exception) -> ClusterError:
        reason = getattr(error, "reason", error)
        told = first_line(reason) if isinstance(reason, BaseException) else str(reason)
        return ClusterError(
            f"no Ray cluster answers there ({told})",
            where=self.where,
            expected=f"{_FORMS}, as `ray start --head` prints it",
            mend="Check that the cluster runs; one behind a firewall is reached through `ssh -L "
            "8265:127.0.0.1:8265 HEAD`; or name another with --address",
        )

    def _other_service(self) -> ClusterError:
        return ClusterError(
            "something answers there, but it is no Ray dashboard",
            where=self.where,
            expected=_FORMS,
            mend="The port is usually 8265, not that of the control store",
        )


def connect(address: str | None) -> Dashboard:
    """Return the dashboard of an address, once it has answered.

    Args:
        address: as given; None: RAY_API_SERVER_ADDRESS or RAY_ADDRESS, else this machine's.

    Raises:
        ConfigError: the address has a form that cannot work; the token's file is open to others.
        ClusterError: no Ray dashboard answers there, or it takes another token.
    """
    url, origin = _address(address)
    given = _given_headers()
    dashboard = Dashboard(url, origin, {**_token_header(is_shown()), **given})
    try:
        version = _version_of(dashboard)
    except ClusterError as error:
        if not error.message.endswith(("(HTTP 401)", "(HTTP 403)")):
            raise
        token = _token_header(is_wanted=True)
        if not token or "Authorization" in dashboard.headers:
            raise
        dashboard = Dashboard(url, origin, {**token, **given})
        version = _version_of(dashboard)
    if not isinstance(version, dict) or "ray_version" not in version:
        raise dashboard._other_service()
    return dashboard


def _version_of(dashboard: Dashboard) -> Any:
    # In a time of its own: an address that swallows packets is told in seconds.
    parts = urllib.parse.urlsplit(dashboard.url)
    if not _proxies(dashboard.url):
        port = parts.port or (443 if parts.scheme == "https" else 80)
        try:
            socket.create_connection((str(parts.hostname), port), CONNECT_TIMEOUT_S).close()
        except OSError as error:
            raise dashboard._silent(error) from error
    return dashboard.json("/api/version")


def _address(given: str | None) -> tuple[str, str]:
    """Return the dashboard's URL, and what named it."""
    named = {
        "--address": given,
        _URL_VARIABLE: os.environ.get(_URL_VARIABLE),
        "RAY_ADDRESS": os.environ.get("RAY_ADDRESS"),
        "Ray's default": DEFAULT,
    }
    origin, text = next((origin, text) for origin, text in named.items() if text)
    url = text.strip().rstrip("/")
    parts = urllib.parse.urlsplit(url)
    try:
        is_url = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        is_url = False
    if not is_url or parts.username or parts.query:
        raise ConfigError(
            f"{text!r} is no address of a dashboard",
            where=origin,
            expected=_FORMS,
            mend="For example --address http://10.0.0.5:8265; the control store's HOST:6379 is "
            "what `distrain train --address` takes",
        )
    return url, origin


def _token_header(is_wanted: bool) -> dict[str, str]:
    token = own_token() if is_wanted else None
    return {"Authorization": f"Bearer {token}"} if token else {}


def _given_headers() -> dict[str, str]:
    """Return the headers that RAY_JOB_HEADERS asks for, as Ray's own commands do."""
    text = os.environ.get(_HEADERS_VARIABLE)
    try:
        headers = json.loads(text) if text else {}
    except ValueError:
        headers = None
    if not isinstance(headers, dict):
        raise ConfigError(
            "the variable is no JSON object",
            where=_HEADERS_VARIABLE,
            expected='names and values of HTTP headers, such as {"X-Team": "a"}',
            mend=f"Write it anew, or unset {_HEADERS_VARIABLE}",
        )
    return {str(name): str(value) for name, value in headers.items()}


@final
class _NoRedirection(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Follow none: the token would go along to whoever is named."""


@functools.cache
def _trusted() -> ssl.SSLContext:
    """Return who is trusted; reading that takes 20 ms, which each look at a job would pay."""
    return ssl.create_default_context()


def _opener(url: str) -> urllib.request.OpenerDirector:
    tls = urllib.request.HTTPSHandler(context=_trusted())
    return urllib.request.build_opener(
        _NoRedirection, tls, urllib.request.ProxyHandler(_proxies(url))
    )


def _proxies(url: str) -> dict[str, str]:
    """Return the proxies on the way to an address; to this machine's own there is none."""
    host = str(urllib.parse.urlsplit(url).hostname)
    if is_loopback(host) or urllib.request.proxy_bypass(host):
        return {}
    scheme = urllib.parse.urlsplit(url).scheme
    return {name: proxy for name, proxy in urllib.request.getproxies().items() if name == scheme}
