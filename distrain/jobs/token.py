"""The token that a Ray cluster asks for: found where Ray looks for it, shown to nobody.

Ray writes `~/.ray/auth_token` with the user's umask, so that others can often read it; whoever has
it can run anything on the cluster. A file that others can read is refused.
"""

import os
import stat
from pathlib import Path
from typing import Final

from distrain.errors import ConfigError
from distrain.redaction import hide

VARIABLE: Final = "RAY_AUTH_TOKEN"
PATH_VARIABLE: Final = "RAY_AUTH_TOKEN_PATH"


def find_token() -> str | None:
    """Return the token of this user; None: there is none. It is masked in messages from now on.

    Raises:
        ConfigError: its file cannot be read, or others can read it, too.
    """
    token = os.environ.get(VARIABLE) or _kept_token()
    if token is not None:
        hide(token)
    return token


def _kept_token() -> str | None:
    named = os.environ.get(PATH_VARIABLE)
    path = Path(named).expanduser() if named else Path.home() / ".ray" / "auth_token"
    try:
        mode = path.stat().st_mode
        if mode & stat.S_IROTH:
            raise _readable_by_others(path, mode)
        return path.read_text(encoding="utf-8").strip() or None
    except (FileNotFoundError, NotADirectoryError):
        if named:
            raise _unreadable(path, "there is no such file") from None
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, str(getattr(error, "strerror", None) or error)) from error


def _readable_by_others(path: Path, mode: int) -> ConfigError:
    return ConfigError(
        f"every user of this machine can read the cluster's token (mode {stat.S_IMODE(mode):04o})",
        where=str(path),
        expected="a file that its owner alone can read",
        mend=f"chmod 600 {path}",
    )


def _unreadable(path: Path, reason: str) -> ConfigError:
    return ConfigError(
        f"the cluster's token cannot be read ({reason})",
        where=str(path),
        expected=f"a file with the token, or {VARIABLE}",
        mend=f"Check {PATH_VARIABLE}",
    )
