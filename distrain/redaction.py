"""Secrets: what looks like one, and any text without them.

What distrain writes, sends or prints as free text passes `redacted`: every error's message, log
lines, tracebacks, the record's tags. What is kept with a run as it is, its configuration (but for
what `cluster.env` masks) and the user's own code, is refused where it holds one:
`config/environment.py`, `track/code_secrets.py`; in sources it is found by
`track/written_secrets.py`.
What the user's own code prints is the user's. Standard library only: it runs in workers and in
packaged models.
"""

import base64
import logging
import os
import re
import traceback
import urllib.parse
from typing import Final, final

from distrain.known_keys import known_key_in, without_known_keys
from distrain.secret_names import (
    LEAST_SECRET_LENGTH,
    LEAST_TOKEN_LENGTH,
    OTHER_SECRET_WORDS,
    SECRET_WORDS,
    is_ordinary,
    names_secret,
)

MASK: Final = "***"

# Every log line passes these patterns. So none looks at the same text from each of many places,
# which takes seconds where a word is repeated: a URL, a query's name, and a value are taken whole,
# and judged afterwards. A URL begins behind its scheme, which any letter could begin.
_URL: Final = re.compile(r"://[^\s\"']+")
# A password may hold unescaped @ and slashes, so it ends at the last @; `host:5000/a@b` has none.
_URL_USER_BEFORE_PASSWORD: Final = re.compile(r"://[^/:@]*:(?!\d+([/?#,]|$))")
# On Azure that is a container: abfss://container@account.dfs.core.windows.net/path.
_NO_USER: Final = r"(?<!\babfs)(?<!\babfss)(?<!\bwasb)(?<!\bwasbs)(?<!\baz)"
_URL_USER: Final = re.compile(rf"{_NO_USER}(://)[^/\s\"']*@", re.IGNORECASE)
_URL_TOKEN: Final = re.compile(
    rf"(?P<before>{_NO_USER}://)(?P<user>[\w.~-]+)(?P<after>:?@)", re.IGNORECASE
)
_TOKEN_BEGINS: Final = re.compile(
    r"(gh[pousr]_|github_pat_|glpat-)\w{4,}|(hf_|sk-|xox[abprs]-|dapi|npm_|pypi-)(?=\S*\d)\S{6,}"
)
# Between letters and digits, and before capitals that begin no word.
_SWITCH: Final = re.compile(r"(?<=[A-Za-z])(?=\d)|(?<=\d)(?=[A-Za-z])|(?<=[a-z])(?=[A-Z](?![a-z]))")
_MOST_SWITCHES_IN_WORDS: Final = 3
# A page's token tells where a list goes on; of tokens a model may have many, `max_tokens`.
_PAGE_TOKEN: Final = r"(?:page|next|prev|previous|continuation|start|end|pad)[_-]?token$"
_QUERY: Final = re.compile(r"(?P<before>[?&;](?P<name>[\w-]+)=)(?P<value>[^&;\s\"'#]+)")
_QUERY_NAME: Final = re.compile(
    rf"(?!.*{_PAGE_TOKEN})(?:.*?(?:{OTHER_SECRET_WORDS}|token[_-]?\d*$)|"
    r"(?:sig|(?:x-amz-)?signature|x-amz-credential|awsaccesskeyid)$)",
    re.IGNORECASE,
)
# A quote behind a backslash ends nothing, unless no other follows.
# Also with an annotation, under a key in brackets, and in the escaped quotes of a notebook.
_GIVEN: Final = re.compile(
    rf"(?P<before>(?:{SECRET_WORDS})[\\\"'\])]*\s*(?::[\w\[\]., |\t]{{1,128}}=|[:=])\s*[rbu]{{0,2}}"
    rf"(?P<quote>\\?[\"'])(?!(?:\$\{{\w+\}}|\{{\w*\}}|%s)?(?P=quote)))"
    r"(?:(?:\\.|[^\\\n])*?|.*?)(?P<after>(?P=quote))",
    re.IGNORECASE,
)
# Pairs as ODBC, libpq and Azure write them: `Server=db;Password=x`. One pair alone is none, nor are
# the arguments of a call; a variable is no password.
_WRITTEN: Final = r"(?![$<{(*%/\[?:]|[\w.]+\()(?=[^\w\s;\"']*\w)"
# In braces a password may hold anything, as ODBC has it; a name alone is a variable.
_BRACED: Final = r"\{(?![A-Za-z_.]*\}(?!\})|\{)[^}\"'\n]{1,128}+(?:\}\}[^}\"'\n]{0,128}+){0,4}\}"
_CONNECTIONS: Final = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"(?P<before>(?<!\w)\w+=[^\s=;,\"']*(?:;\s*|\s+)\w*(?:password|pwd)=)"
        rf"(?P<value>{_BRACED}|{_WRITTEN}[^\s;\"']+)",
        r"(?P<before>(?<!\w)\w*(?:password|pwd)=)"
        rf"(?P<value>{_BRACED}|{_WRITTEN}[^\s;,\"']+)"
        r"(?:(?=(?:;\s*|\s+)\w[\w ]{0,20}=)|(?P<alone>))",
        r"(?P<before>(?<!\w)(?:accountkey|sharedaccesskey|sharedaccesssignature)=)"
        rf"(?P<value>{_BRACED}|{_WRITTEN}[^\s;\"']+)",
    )
)
# The same where a query holds it URL-encoded, as SQLAlchemy's `odbc_connect` does.
_PAIR_IN_QUERY: Final = re.compile(
    r"(?P<before>(?:^|;)\s*+\w*(?:password|pwd)\s*=)"
    r"(?P<value>\{(?:[^}]|\}\})*+\}|(?!\{[A-Za-z_.]*\})[^;]+)",
    re.IGNORECASE,
)
_HEADER: Final = re.compile(
    r"(?P<before>authorization[\\\"'\])]*\s*[:=,]\s*[\\\"']*(?:basic|bearer)\s+)"
    r"(?P<value>[^\s\"'\\]+)",
    re.IGNORECASE,
)
_WORDS: Final = re.compile(r"(?:[A-Za-z]+|\d{1,4})(?:[_-](?:[A-Za-z]+|\d{1,4}))*")
_KEY_VARIABLE: Final = re.compile(r"(?<!PUBLIC)(?<!CACHE)_KEY$")
_NOT_SECRET: Final = ("PWD", "OLDPWD")

_hidden: Final[set[str]] = set()


def hide(secret: str) -> None:
    """Have a secret masked from now on in this process, whatever variable it came from."""
    if len(secret) >= LEAST_SECRET_LENGTH:
        _hidden.add(secret)


def redacted(text: str) -> str:
    """Return a text in which everything that looks like a secret is masked.

    That is: the values of environment variables whose names speak of secrets, what `hide` was told,
    passwords in URLs and connection strings, signatures and tokens in the queries of URLs, what is
    given to a name such as `password` in quotes, and well-known forms of keys.
    """
    for value in _known_values():
        text = text.replace(value, MASK)
    text = _URL.sub(_without_url_password, text)
    text = _URL_TOKEN.sub(_without_token, text)
    text = without_connection_passwords(text)
    text = _GIVEN.sub(rf"\g<before>{MASK}\g<after>", text)
    text = _QUERY.sub(_without_query_secret, text)
    text = _HEADER.sub(rf"\g<before>{MASK}", text)
    return without_known_keys(text, MASK)


def without_password(uri: str) -> str:
    """Return a URI whose password is masked, and a token or signature in it."""
    masked = _URL.sub(_without_url_password, uri)
    masked = _URL_TOKEN.sub(_without_token, masked)
    return _QUERY.sub(_without_query_secret, without_connection_passwords(masked))


def without_credentials(uri: str) -> str:
    """Return a URI or path as it may be kept: the user is masked too, which may be a key's name."""
    return _URL_USER.sub(rf"\g<1>{MASK}@", without_password(uri)) if "://" in uri else uri


def without_connection_passwords(text: str) -> str:
    """Return a text whose connection strings, `Server=db;User=me;Password=x`, have no password."""
    for pattern in _CONNECTIONS:
        text = pattern.sub(_without_connection_password, text)
    return text


def connection_passwords(text: str) -> list[str]:
    """Return the passwords in a text's connection strings, without the braces around them."""
    return [
        found["value"][1:-1] if found["value"].startswith("{") else found["value"]
        for pattern in _CONNECTIONS
        for found in pattern.finditer(text)
        if _is_connection(found)
    ]


def is_key_variable(name: str, value: str) -> bool:
    """Return whether a variable such as `ACME_KEY` holds one: others of that name hold words."""
    pieces = re.split(r"[/_.-]", value)  # of a path
    return _KEY_VARIABLE.search(name) is not None and any(map(_looks_random, pieces))


def holds_secret(text: str) -> str | None:
    """Return what secret the text seems to hold, in words, or None."""
    if any(_url_password(found[0]) for found in _URL.finditer(text)):
        return "a URL with a password"
    if any(_is_token(found["user"]) for found in _URL_TOKEN.finditer(text)):
        return "a URL with a token in it"
    if "://" in text and any(map(_is_query_secret, _QUERY.finditer(text))):
        return "a URL with a token in it"
    if connection_passwords(text) or any(map(_holds_pair, _QUERY.finditer(text))):
        return "a connection string with a password"
    if any(_is_authorization(found["value"]) for found in _HEADER.finditer(text)):
        return "a header with credentials"
    return known_key_in(text)


def _url_password(url: str) -> slice | None:
    """Return where the password stands in a URL, which begins at `://`; None: it has none."""
    user, end = _URL_USER_BEFORE_PASSWORD.search(url), url.rfind("@")
    return slice(user.end(), end) if user and user.end() < end else None


def _without_url_password(found: re.Match[str]) -> str:
    url = found[0]
    password = _url_password(url)
    return f"{url[: password.start]}{MASK}{url[password.stop :]}" if password else url


def _is_query_secret(found: re.Match[str]) -> bool:
    """Return whether a query's value is a secret written out, and no word or dots in its place."""
    value = found["value"].rstrip(".,:)]`")  # the end of a sentence
    is_written = any(map(str.isalnum, value)) and value[0] not in "<[{$" and not is_ordinary(value)
    return is_written and _QUERY_NAME.match(found["name"]) is not None


def _without_query_secret(found: re.Match[str]) -> str:
    if _QUERY_NAME.match(found["name"]):
        return f"{found['before']}{MASK}"
    # What is around a password stays: it tells one server from another.
    plain = _PAIR_IN_QUERY.sub(rf"\g<before>{MASK}", urllib.parse.unquote_plus(found["value"]))
    masked = urllib.parse.quote_plus(plain, safe="*")
    return f"{found['before']}{masked}" if _holds_pair(found) else found[0]


def _holds_pair(found: re.Match[str]) -> bool:
    """Return whether a query's value, `odbc_connect`, is a connection string with a password."""
    if "%" not in found["value"]:  # as long texts without a secret are, and read here at once
        return False
    pairs = _PAIR_IN_QUERY.finditer(urllib.parse.unquote_plus(found["value"]))
    return any(map(str.isalnum, "".join(pair["value"] for pair in pairs)))


def _is_authorization(value: str) -> bool:
    """Return whether a header's value is written out: a token, or a user and a password."""
    if value[0] in "<[{$" or _WORDS.fullmatch(value):
        return False
    is_mixed = any(map(str.isdigit, value)) and any(map(str.isalpha, value))
    return (is_mixed and len(value) >= LEAST_TOKEN_LENGTH) or _is_user_and_password(value)


def _is_user_and_password(value: str) -> bool:
    """Return whether a text is what `Basic` is followed by: USER:PASSWORD in Base64."""
    try:
        plain = base64.b64decode(f"{value}==").decode()
    except ValueError:
        return False
    return ":" in plain and plain.isprintable()


def _is_connection(found: re.Match[str]) -> bool:
    """Return whether a pair is one of a connection string's, and does not stand alone."""
    return found.groupdict().get("alone") is None


def _without_connection_password(found: re.Match[str]) -> str:
    return f"{found['before']}{MASK}" if _is_connection(found) else found[0]


def _without_token(found: re.Match[str]) -> str:
    return f"{found['before']}{MASK}{found['after']}" if _is_token(found["user"]) else found[0]


def _is_token(user: str) -> bool:
    """Return whether a URL's user is a token: by how it begins, or because it looks random."""
    if _TOKEN_BEGINS.match(user):
        return True
    return _looks_random(user)


def _looks_random(text: str) -> bool:
    is_long = len(text) >= LEAST_TOKEN_LENGTH and any(map(str.isdigit, text))
    return is_long and len(_SWITCH.findall(text)) > _MOST_SWITCHES_IN_WORDS


def traceback_text(error: BaseException) -> str:
    """Return an exception's traceback, without secrets that its text may hold."""
    return redacted("".join(traceback.format_exception(error)))


@final
class RedactingFormatter(logging.Formatter):
    """Formats log lines, tracebacks included, without secrets."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return redacted(super().format(record))


def _known_values() -> list[str]:
    """Return what is known to be secret, the longest first, also as URLs quote it."""
    found = _hidden | {
        value
        for name, value in os.environ.items()
        if len(value) >= LEAST_SECRET_LENGTH
        and (names_secret(name) or is_key_variable(name, value))
        and name not in _NOT_SECRET
        and not value.startswith("/")  # the path of a file that holds it
    }
    quoted = {urllib.parse.quote(value, safe="") for value in found}
    return sorted(found | quoted, key=len, reverse=True)
