"""The user and password of a tracking server, from where MLflow takes them.

MLflow reads its file `~/.mlflow/credentials` at each call, and an error of that would quote what
stands there. So it is read here first.
"""

import base64
import configparser
import os
import urllib.parse
from pathlib import Path

from distrain.errors import TrackingError
from distrain.redaction import hide

_SECTION = "mlflow"


def credentials_of(uri: str) -> tuple[str, str | None]:
    """Return the address without its user part, and the Authorization header MLflow would send.

    Raises:
        TrackingError: MLflow's file of credentials cannot be read.
    """
    parts = urllib.parse.urlsplit(uri)
    host = parts.netloc.rpartition("@")[2]
    url = urllib.parse.urlunsplit(parts._replace(netloc=host))
    stored_user, stored_password = stored_credentials()
    user = os.environ.get("MLFLOW_TRACKING_USERNAME") or stored_user
    password = os.environ.get("MLFLOW_TRACKING_PASSWORD") or stored_password
    if not (user and password) and parts.username and parts.password:
        user, password = urllib.parse.unquote(parts.username), urllib.parse.unquote(parts.password)
    if user and password:
        return url, "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
    token = os.environ.get("MLFLOW_TRACKING_TOKEN")
    return url, f"Bearer {token}" if token else None


def stored_credentials() -> tuple[str | None, str | None]:
    """Return the user and the password in MLflow's own file, None for what is not there.

    Side effect: the password is masked in messages and logs from now on.

    Raises:
        TrackingError: the file cannot be read.
    """
    path = Path.home() / ".mlflow" / "credentials"
    parser = configparser.ConfigParser()
    try:
        parser.read(path)
        if not parser.has_section(_SECTION):
            return None, None
        user = parser.get(_SECTION, "mlflow_tracking_username", fallback=None)
        password = parser.get(_SECTION, "mlflow_tracking_password", fallback=None)
    except (configparser.Error, UnicodeDecodeError) as error:
        # Without its text and as no cause: it quotes the line, and so the password.
        raise _unreadable(path, error) from None
    hide(password or "")
    return user, password


def _unreadable(path: Path, error: Exception) -> TrackingError:
    told, mend = {
        "MissingSectionHeaderError": ("it does not begin with [mlflow]", "Write [mlflow] above"),
        "InterpolationSyntaxError": ("a % stands alone in it", "Write % as %%"),
        "InterpolationMissingOptionError": ("a % stands alone in it", "Write % as %%"),
        "DuplicateOptionError": ("a key stands there twice", "Leave one of them"),
        "DuplicateSectionError": ("a section stands there twice", "Leave one of them"),
        "UnicodeDecodeError": ("it is not written in UTF-8", "Save it as UTF-8"),
    }.get(type(error).__name__, ("a line of it has no '='", "Mend that line"))
    return TrackingError(
        f"MLflow cannot read its credentials ({told})",
        where=str(path),
        expected="[mlflow], and below it lines such as mlflow_tracking_username = NAME",
        mend=mend,
    )
