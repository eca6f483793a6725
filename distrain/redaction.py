"""Secrets: what looks like one, and any text without them.

What distrain writes, sends or prints as free text passes `redacted`: every error's message, log
lines, tracebacks, the record's tags. What is kept with a run as it is, its configuration (but for
what `cluster.env` masks) and the user's own code, is refused where it holds one:
`config/environment.py`, `track/code_secrets.py`.
What the user's own code prints is the user's. Standard library only: it runs in workers and in
packaged models.
"""

import logging
import os
import re
import traceback
import urllib.parse
from collections.abc import Iterator
from typing import Any, Final, final

MASK: Final = "***"
ALLOWED: Final = "pragma: allowlist secret"
LEAST_SECRET_LENGTH: Final = 6
LEAST_TOKEN_LENGTH: Final = 16

_KINDS: Final = {
    "an AWS access key": re.compile(r"(?<![A-Za-z0-9])(AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])"),
    "a GitHub token": re.compile(
        r"(?<![A-Za-z0-9])(gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,})"
    ),
    "a GitLab token": re.compile(r"(?<![A-Za-z0-9])glpat-[\w-]{20,}"),
    "a Hugging Face token": re.compile(r"(?<![A-Za-z0-9])hf_[A-Za-z0-9]{20,}"),
    # With a digit: scikit-learn's pages have classes such as sk-toggleable__label-arrow.
    "an API key": re.compile(r"(?<![A-Za-z0-9])sk-(?=[\w-]*\d)[A-Za-z0-9_-]{20,}"),
    "a Slack token": re.compile(r"(?<![A-Za-z0-9])xox[abprs]-[A-Za-z0-9-]{10,}"),
    "a Databricks token": re.compile(r"(?<![A-Za-z0-9])dapi[0-9a-f]{32}"),
    "a private key": re.compile(
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----(.*?-----END [A-Z ]*PRIVATE KEY-----|.*)", re.DOTALL
    ),
}
# A password may hold unescaped @ and slashes, so it ends at the last @; `host:5000/a@b` has none.
# Without the scheme: looked for at each letter of 60,000 without a break, it takes 11 s.
_URL_PASSWORD: Final = re.compile(
    r"(?P<before>://[^/\s:@\"']*:)(?!\d+([/?#\s\"',]|$))"
    r"[^\s\"']+(?P<after>@)"
)
_URL_USER: Final = re.compile(r"(://)[^/\s\"']*@")
_SECRET: Final = (
    r"passw(?:or)?d|passphrase|pwd|secrets?|token|credentials?|api[_-]?key|access[_-]?key|"
    r"private[_-]?key|auth[_-]?key"
)
_STEMS: Final = ("passw", "passphrase", "pwd", "secret", "token", "credential", "key")
_QUERY: Final = re.compile(
    rf"(?P<before>[?&;](?:[\w-]*?(?:{_SECRET})[\w-]*|sig|(?:x-amz-)?signature|x-amz-credential|"
    r"awsaccesskeyid)=)[^&;\s\"'#]+",
    re.IGNORECASE,
)
_GIVEN: Final = re.compile(
    rf"(?P<before>(?:{_SECRET})[\"']?\s*[:=]\s*(?P<quote>[\"'])).*?(?P<after>(?P=quote))",
    re.IGNORECASE,
)
_HEADER: Final = re.compile(
    r"(?P<before>authorization[\"']?\s*[:=]\s*[\"']?(?:basic|bearer)\s+)[^\s\"']+", re.IGNORECASE
)
_NAME: Final = re.compile(
    r"passw(or)?d|passphrase|secrets?($|[_-])|"
    r"(^|[_-])(pwd|token|credentials?|api_?key|access_?key|private_?key|auth_?key)($|[_-])",
    re.IGNORECASE,
)
_SECRET_AT_END: Final = re.compile(
    r"(passw(or)?d|passphrase|secrets?|"
    r"(^|[_-])(pwd|token|credentials?|api_?key|access_?key|private_?key|auth_?key))[_-]?\d*$",
    re.IGNORECASE,
)
_PASSWORD_NAME: Final = re.compile(r"passw(or)?d|passphrase|(^|[_-])pwd($|[_-])", re.IGNORECASE)
_CAMEL_CASE: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_LITERAL: Final = re.compile(
    rf"(?P<name>(?<![\w-])[\w-]*(?:{_SECRET}))[\"'\])]*\s*(?::\s*[\w\[\]., |]+=|[:=])\s*[rbu]?"
    r"(?P<quote>[\"'])(?P<value>[^\"'\s]{8,})(?P=quote)",
    re.IGNORECASE,
)
_PLACEHOLDER: Final = re.compile(r"\{[\w.\[\]()!:'\"]*\}|%\(\w+\)s|%s|\$\{?\w+\}?|<\w+>")
_NOT_SECRET: Final = ("PWD", "OLDPWD")

_hidden: Final[set[str]] = set()


def hide(secret: str) -> None:
    """Have a secret masked from now on in this process, whatever variable it came from."""
    if len(secret) >= LEAST_SECRET_LENGTH:
        _hidden.add(secret)


def redacted(text: str) -> str:
    """Return a text in which everything that looks like a secret is masked.

    That is: the values of environment variables whose names speak of secrets, what `hide` was told,
    passwords in URLs, signatures and tokens in their queries, what is given to a name such as
    `password` in quotes, and well-known forms of keys.
    """
    for value in _known_values():
        text = text.replace(value, MASK)
    text = _URL_PASSWORD.sub(rf"\g<before>{MASK}\g<after>", text)
    text = _GIVEN.sub(rf"\g<before>{MASK}\g<after>", text)
    for pattern in (_QUERY, _HEADER):
        text = pattern.sub(rf"\g<before>{MASK}", text)
    for pattern in _KINDS.values():
        text = pattern.sub(MASK, text)
    return text


def without_password(uri: str) -> str:
    """Return a URI whose password, and signature or token in its query, is masked."""
    masked = _URL_PASSWORD.sub(rf"\g<before>{MASK}\g<after>", uri)
    return _QUERY.sub(rf"\g<before>{MASK}", masked)


def without_credentials(uri: str) -> str:
    """Return a URI or path as it may be kept: the user is masked too, which may be a key's name."""
    return _URL_USER.sub(rf"\g<1>{MASK}@", without_password(uri)) if "://" in uri else uri


def holds_secret(text: str) -> str | None:
    """Return what secret the text seems to hold, in words, or None."""
    if _URL_PASSWORD.search(text):
        return "a URL with a password"
    if "://" in text and _QUERY.search(text):
        return "a URL with a token in it"
    return _kind_in(text)


def names_secret(name: str) -> bool:
    """Return whether a key or a variable is called like something that holds a secret."""
    return _secret_word(name) != ""


def names_password(name: str) -> bool:
    """Return whether a key or a variable is called like something that holds a password."""
    return _PASSWORD_NAME.search(_CAMEL_CASE.sub("_", name)) is not None


def is_secret_value(name: str, value: Any) -> bool:
    """Return whether a value that is given to a name is likely to be a secret written out.

    A switch is none, nor is an empty value, a path, or a word of a vocabulary (`pad_token`), nor
    what a name merely begins with: `secret_dim`, `token_mixer`. A number is a password at most.
    """
    if not _SECRET_AT_END.search(_CAMEL_CASE.sub("_", name)) or isinstance(value, bool):
        return False
    if not isinstance(value, str):
        return isinstance(value, int | float) and names_password(name)
    if _secret_word(name) == "token" and (len(value) < LEAST_TOKEN_LENGTH or " " in value):
        return False
    return value != "" and value[0] not in "/<"


def secrets_in(text: str) -> Iterator[tuple[int, str]]:
    """Yield where secrets stand in a source or a file beside it: line, from 1, and what it is.

    Beside what `holds_secret` knows, that is text of letters and digits that is given to a name
    such as `api_key`. A line that says `pragma: allowlist secret`, as detect-secrets has it, is
    passed over.
    """
    for number, line in enumerate(text.splitlines(), 1):
        if ALLOWED in line:
            continue
        told = _kind_in(line) or holds_secret(_PLACEHOLDER.sub("", line)) or _literal_in(line)
        if told:
            yield number, told


def _kind_in(text: str) -> str | None:
    return next((told for told, pattern in _KINDS.items() if pattern.search(text)), None)


def _literal_in(line: str) -> str | None:
    lowered = line.lower()
    if not any(stem in lowered for stem in _STEMS):  # a tenth of the time of the pattern
        return None
    for found in _LITERAL.finditer(line):
        name, value = found["name"], found["value"]
        is_mixed = any(map(str.isdigit, value)) and any(map(str.isalpha, value))
        if is_mixed and value[0] not in "<[{$%" and is_secret_value(name, value):
            return f"a secret given to {name}"
    return None


def _secret_word(name: str) -> str:
    """Return the word of a name that speaks of a secret, in lower case; nothing: none does."""
    found = _NAME.search(_CAMEL_CASE.sub("_", name))
    return found[0].strip("_-").lower() if found else ""


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
        and names_secret(name)
        and name not in _NOT_SECRET
        and not value.startswith("/")  # the path of a file that holds it
    }
    quoted = {urllib.parse.quote(value, safe="") for value in found}
    return sorted(found | quoted, key=len, reverse=True)
