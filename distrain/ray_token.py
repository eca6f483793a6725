"""The token of a Ray cluster: found where Ray looks for it, shown to nobody, asked for in 0.1 s.

Whoever has it can run anything on the cluster, and Ray writes `~/.ray/auth_token` with the user's
umask, so that others can often read it. So it is made here before Ray would, for its user alone.

Ray's own client tries a refused token for 20 s, and its error does not say that it was refused
(2.60.0). A client takes part only where RAY_AUTH_MODE says `token`, though it has one: a new local
Ray turns that on by itself, a connection to a named address does not.
"""

import contextlib
import importlib
import os
import secrets
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, final

from distrain.errors import ConfigError, first_line
from distrain.redaction import hide

ASK_TIMEOUT_S: Final = 3.0
MODE: Final = "RAY_AUTH_MODE"
TLS: Final = "RAY_USE_TLS"
TOKEN: Final = "RAY_AUTH_TOKEN"
TOKEN_PATH: Final = "RAY_AUTH_TOKEN_PATH"
BELOW_HOME: Final = Path(".ray") / "auth_token"


@final
@dataclass(frozen=True)
class Token:
    """A token, and where it stands.

    Attributes:
        origin: `RAY_AUTH_TOKEN`, or the path of a file.
        text: the token itself; empty: the file cannot be read, or holds none.
        mode: permission bits of the file; None: it is in no file.
    """

    origin: str
    text: str = field(repr=False)
    mode: int | None = None

    @property
    def is_open(self) -> bool:
        """Return whether others than its owner can read its file."""
        return self.mode is not None and bool(self.mode & (stat.S_IRWXG | stat.S_IRWXO))


@final
@dataclass(frozen=True)
class Access:
    """What a cluster says to who knocks.

    Attributes:
        is_asked: whether it lets nobody in without a token.
        is_on: whether this process's Ray shows a token at all.
        token: this process's; None: it has none.
        is_right: whether the cluster takes that token.
    """

    is_asked: bool
    is_on: bool
    token: Token | None
    is_right: bool


def find_token(environ: Mapping[str, str] | None = None) -> Token | None:
    """Return the token that Ray would show; None: there is none. It is masked from now on.

    Args:
        environ: the environment; None: this process's.
    """
    found = os.environ if environ is None else environ
    named = found.get(TOKEN_PATH)
    if found.get(TOKEN):
        token: Token | None = Token(TOKEN, found[TOKEN].strip())
    elif named:
        token = _kept_in(Path(named)) or Token(named, "")
    else:
        token = _kept_in(Path.home() / BELOW_HOME)
    if token is not None:
        hide(token.text)
    return token


def own_token() -> str | None:
    """Return the text of this user's token; None: there is none. It is masked from now on.

    Raises:
        ConfigError: its file cannot be read, is empty, or others can read it, too.
    """
    token = find_token()
    if token is None:
        return None
    if token.is_open:
        raise ConfigError(
            f"others can read the cluster's token (mode {token.mode:04o})",
            where=token.origin,
            expected="a file that its owner alone can read",
            mend=f"chmod 600 {token.origin}",
        )
    if not token.text:
        raise ConfigError(
            "there is no token there that this user can read",
            where=token.origin,
            expected=f"a file with the token, or {TOKEN}",
            mend=f"Check {TOKEN_PATH}",
        )
    return token.text


def asks_for_token() -> bool:
    """Return whether a Ray that is started here lets in holders of a token alone."""
    return os.environ.get(MODE, "token").lower() == "token"


def ensure_token() -> None:
    """Make a token where a new Ray asks for one and there is none, for its user alone to read.

    One that is there is left as it is. Of several processes at once, the first one's counts.

    Raises:
        ConfigError: it cannot be kept.
    """
    if not asks_for_token() or find_token() is not None:
        return
    path = Path.home() / BELOW_HOME
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        # A name of its own first, which is readable by its owner alone: nobody finds half a token.
        with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".token-") as made:
            made.write(secrets.token_hex(32))
            made.flush()
            os.fsync(made.fileno())
            with contextlib.suppress(FileExistsError):
                os.link(made.name, path)
    except OSError as error:
        raise ConfigError(
            f"a token for Ray cannot be kept there ({error.strerror or error})",
            where=str(path),
            expected="a home folder that can be written",
            mend=f"Name a file that holds a token by {TOKEN_PATH}, or set {MODE}=disabled, which "
            "lets in every user of this machine",
        ) from error


def uses_tls() -> bool:
    """Return whether this process's Ray speaks TLS alone."""
    return os.environ.get(TLS, "0").lower() in ("1", "true")


def is_shown() -> bool:
    """Return whether this process's Ray shows its token to a cluster."""
    return os.environ.get(MODE, "").lower() == "token"


def ask_access(address: str) -> Access | None:
    """Return whether the cluster at HOST:PORT lets this process in; None: it did not say.

    The token goes there only where Ray would show it, and where nobody else can read its file.

    Raises:
        ConfigError: RAY_USE_TLS asks for certificates that are not there.
    """
    is_free = _accepts(address, None)
    if is_free is None:
        return None
    token, is_on = find_token(), is_shown()
    is_right = token is not None and bool(token.text) and is_free
    if token is not None and token.text and is_on and not token.is_open:
        is_right = is_free or bool(_accepts(address, token.text))
    return Access(is_asked=not is_free, is_on=is_on, token=token, is_right=is_right)


def why_refused(access: Access) -> tuple[str, str] | None:
    """Return why a cluster refuses this process, and what mends that; None: it lets it in."""
    if not access.is_asked:
        if access.is_on and access.token is None:
            return (
                f"{MODE} says token here, and there is no token",
                f"Unset {MODE}: the cluster asks for none",
            )
        return None
    if access.token is None or not access.token.text:
        missing = f" ({access.token.origin} holds none)" if access.token else ""
        return (
            f"the cluster asks for a token, and there is none here{missing}",
            "Copy the head's ~/.ray/auth_token to that path here, for this user alone (chmod 600), "
            f"or name a file by {TOKEN_PATH}; and set {MODE}=token",
        )
    if not access.is_on:
        return (
            f"the cluster asks for a token, and the one of {access.token.origin} is not shown",
            f"Set {MODE}=token",
        )
    if access.token.is_open:
        return (
            f"the cluster asks for a token, and others can read {access.token.origin}",
            f"chmod 600 {access.token.origin}",
        )
    if not access.is_right:
        return (
            f"the cluster refuses the token of {access.token.origin}",
            "Take the token that its head was started with: ~/.ray/auth_token there, or what "
            f"{TOKEN_PATH} names there",
        )
    return None


def _kept_in(path: Path) -> Token | None:
    """Return what a file has; None: it is not there."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        return Token(str(path), path.read_text(encoding="utf-8").strip(), mode)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError):
        return Token(str(path), "")


def _accepts(address: str, token: str | None) -> bool | None:
    """Return whether the control store answers who shows a token, or none; None: it is silent."""
    grpc: Any = importlib.import_module("grpc")
    requests: Any = importlib.import_module("ray.core.generated.gcs_service_pb2")
    services: Any = importlib.import_module("ray.core.generated.gcs_service_pb2_grpc")
    shown = (("authorization", f"Bearer {token}"),) if token else ()
    with _channel(grpc, address) as channel:
        store = services.NodeInfoGcsServiceStub(channel)
        try:
            store.GetClusterId(
                requests.GetClusterIdRequest(), timeout=ASK_TIMEOUT_S, metadata=shown
            )
        except grpc.RpcError as error:
            return False if error.code() == grpc.StatusCode.UNAUTHENTICATED else None
    return True


def _channel(grpc: Any, address: str) -> Any:
    options = (("grpc.enable_http_proxy", 0),)
    if not uses_tls():
        return grpc.insecure_channel(address, options)
    tls: Any = importlib.import_module("ray._common.tls_utils")
    try:
        chain, key, authority = tls.load_certs_from_env()
    except (OSError, RuntimeError) as error:
        raise ConfigError(
            f"the certificates of {TLS} cannot be read ({first_line(error)})",
            where=TLS,
            expected="RAY_TLS_SERVER_CERT, RAY_TLS_SERVER_KEY and RAY_TLS_CA_CERT, each a file",
            mend=f"Name them, or unset {TLS}",
        ) from error
    certificates = grpc.ssl_channel_credentials(authority, key, chain)
    return grpc.secure_channel(address, certificates, options)
