"""Texts of others in a description: as they read, whatever signs of Markdown are in them. Pure.

MLflow's pages take Markdown, and HTML in it. Messages of errors, values and paths hold signs of
both, and would become links, tables and emphasis that nobody wrote.
"""

import re
from typing import Final

from distrain.redaction import redacted

_SIGN: Final = re.compile(r"[\\`*_~\[\]|]")


def plain(text: object, limit: int | None = None) -> str:
    """Return a text in one line that reads as it is, without secrets.

    Args:
        text: any.
        limit: how many of its characters are kept; None: all.
    """
    kept = redacted(" ".join(str(text).split()))[:limit]
    # A backslash before a tag would be shown, and the tag be one.
    return _SIGN.sub(r"\\\g<0>", kept).replace("<", "&lt;")


def code(text: object, limit: int | None = None) -> str:
    """Return a text in one line as code, without secrets.

    No sign means anything there, a backslash before it would be shown, and only a backtick ends it.

    Args:
        text: any.
        limit: how many of its characters are kept; None: all.
    """
    return f"`{redacted(' '.join(str(text).split()))[:limit].replace('`', chr(39))}`"
