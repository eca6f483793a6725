"""Secrets written out in sources, in the settings beside them, and in differences of either.

In code a secret stands in quotes, and what is given without them is a name or a call. Elsewhere, in
YAML or in lines such as `API_KEY=...`, it needs none. In both, what only refers to a secret, a
variable or another name, is none, nor is a type or a word that is found in any form.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, final

from distrain.known_keys import known_key_in
from distrain.redaction import connection_passwords, holds_secret
from distrain.secret_names import (
    LEAST_SECRET_LENGTH,
    LEAST_TOKEN_LENGTH,
    SECRET_WORDS,
    is_ordinary,
    names_other_pass,
    names_password,
)

ALLOWED: Final = "pragma: allowlist secret"

# JSON too: its only values without quotes are numbers, as a vocabulary has them for each word.
_CODE: Final = re.compile(
    r"\.(pyi?|ipynb|jsonl?|js|ts|c|cc|cpp|cu|h|hpp|go|rs|java|scala|kt)$", re.IGNORECASE
)
# Where a value without quotes goes on to the end of its line.
_SETTINGS: Final = re.compile(r"\.(ya?ml|env|ini|cfg|conf|toml|properties)$", re.IGNORECASE)
_STEMS: Final = ("pass", "pwd", "secret", "token", "credential", "key")
_NAME: Final = rf"(?P<name>(?<![\w.-])[\w.-]*(?:{SECRET_WORDS}|(?<![a-z])pass)[_-]?\d{{0,2}})"
_QUOTED: Final = re.compile(
    rf"(?P<environ>environ\[[\\\"']+)?{_NAME}[\\\"'\])]*\s*"
    r"(?::[\w\[\]., |\t]{1,128}=|[:=])\s*[rbu]{0,2}"
    r"(?P<quote>\"\"\"|'''|\\?[\"'])(?P<value>(?:(?!(?P=quote))(?:\\[\"']|[^\"'\n\\]))+)(?P=quote)",
    re.IGNORECASE,
)
# Text of several lines begins here, in Python and in YAML; a tag such as `!vault` is none.
_OPENED: Final = re.compile(
    rf"{_NAME}[\\\"'\])]*\s*(?::[\w\[\]., |\t]{{1,128}}=|[:=])\s*[rbu]{{0,2}}"
    r"(?P<end>\"\"\"|''')(?P<value>[^\"'\\]*)\\?$",
    re.IGNORECASE,
)
_BLOCK: Final = re.compile(
    rf"^[\s-]*[\"']?{_NAME}[\"']?\s*:\s+[|>][\d+-]{{0,2}}\s*(?:#.*)?$", re.IGNORECASE
)
_DEFAULT: Final = re.compile(
    rf"(?:getenv|environ\.\w+|setenv)\(\s*[\"']{_NAME}[\"'],\s*"
    r"(?P<quote>[\"'])(?P<value>[^\"'\s]+)(?P=quote)",
    re.IGNORECASE,
)
_PLAIN: Final = re.compile(
    rf"{_NAME}[\"']?(?:=(?P<word>[^\s\"',;#}}\])]+)|"
    r"\s*[:=]\s+(?P<value>[^\s\"',;#}\])][^\"',;#}\])]*))",
    re.IGNORECASE,
)
_SHELL_DEFAULT: Final = re.compile(r"\$\{\w+:?-([^}]*)\}")
# In braces: a name, a call, a look-up or a choice; what holds a URL or a pair is looked into.
_PLACEHOLDER: Final = re.compile(
    r"\{[\w.\[\]()!:'\"]*\}|"
    r"\{\s*[A-Za-z_][\w.]*(?:[(\[]|\s+(?:or|and|if)\s)(?:(?!://|(?:password|pwd)=)[^{}])*\}|"
    r"%\(\w+\)s|%s|\$\{?\w+\}?|<\w+>",
    re.IGNORECASE,
)
# Without it, `{host}:{port}/users/@me` would leave a password behind a colon.
_PORT: Final = re.compile(rf":(?:{_PLACEHOLDER.pattern})(?=[/\"'?#]|$)", re.IGNORECASE)
_YAML: Final = re.compile(r"\.ya?ml$", re.IGNORECASE)
# Where a connection string stands in quotes, and a pair without them is an argument.
_PYTHON: Final = re.compile(r"\.pyi?$", re.IGNORECASE)
_TRIPLE_QUOTES: Final = re.compile(r"\"\"\"|'''")
_IN_QUOTES: Final = re.compile(r"\"(?:[^\"\\]|\\.)*\"?|'(?:[^'\\]|\\.)*'?")
# A variable, a path, a tag or an anchor of YAML, a list, a mask.
_NO_SECRET_BEGINS: Final = "<[{($%/!&*`|>~"
# Words with a digit among them, which neither end nor begin as what stands between two texts does.
_PHRASE: Final = re.compile(r"(?=\D*\d)\w.*[^\s,+(=:.?]")
_PROSE: Final = re.compile(
    rf"{SECRET_WORDS}|\b(?:the|an?|your|must|should|at|of|to|for|is|are|be|not?|and|or|with|in|on|by|"
    r"from|than|this|please|enter|step|required?|invalid|char(?:acter)?s?|letters?|digits?|bytes?|"
    r"minimum|maximum|min|max)\b|%[sd]|[{}]",
    re.IGNORECASE,
)
_NETRC: Final = re.compile(r"netrc$")
_NETRC_PASSWORD: Final = re.compile(r"\bpassword\s+(?P<value>\S+)")
_CALL: Final = re.compile(r"[A-Za-z_][\w.]*[(\[]")


def secrets_in(text: str, path: str = "source.py") -> Iterator[tuple[int, str]]:
    """Yield where secrets stand in a source or a file beside it: line, from 1, and what it is.

    Beside what `holds_secret` knows, that is what is given to a name such as `password`, and text
    of letters and digits that is given to one such as `api_key`. A line that says
    `pragma: allowlist secret`, as detect-secrets has it, is passed over.

    Args:
        text: of the file.
        path: of the file; the end of its name tells how text is written there.
    """
    is_text = False
    block: _Block | None = None
    for number, line in enumerate(text.splitlines(), 1):
        told = _secret_in(line, path, is_text=is_text)
        if told or (told := _secret_in_block(line, path, block)):
            yield number, told
        is_text ^= len(_TRIPLE_QUOTES.findall(line)) % 2 == 1
        block = _block_behind(line, path, block)


def secrets_in_diff(text: str) -> Iterator[tuple[int, str]]:
    """Yield where secrets stand in what `git diff` says, as `secrets_in` does."""
    path = ""
    block: _Block | None = None
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("diff --git "):
            path = line.rstrip('"')
        if line.startswith(("diff --git ", "@@")):
            block = None
        told = _secret_in(line, path)
        if told or (told := _secret_in_block(line[1:], path, block)):
            yield number, told
        block = _block_behind(line[1:], path, block)


@final
@dataclass(frozen=True)
class _Block:
    """Text of several lines that is given to the name of a secret.

    Attributes:
        name: it.
        column: where the name stands, in YAML: what is indented deeper belongs to it.
        end: the quotes that end the text in Python; nothing: it is YAML's.
    """

    name: str
    column: int
    end: str = ""


def _block_behind(line: str, path: str, block: _Block | None) -> _Block | None:
    """Return what the line behind a line belongs to, where the line belongs to `block`."""
    if block is not None and block.end:
        return None if block.end in line else block
    if block is not None and _is_deeper(line, block):
        return block
    found = None
    if _PYTHON.search(path) and ('"""' in line or "'''" in line):
        found = _OPENED.search(line)
    elif _YAML.search(path):
        found = _BLOCK.match(line)
    if found is None:
        return None
    return _Block(found["name"], found.start("name"), found.groupdict().get("end", ""))


def _is_deeper(line: str, block: _Block) -> bool:
    return not line.strip() or len(line) - len(line.lstrip()) > block.column


def _secret_in_block(line: str, path: str, block: _Block | None) -> str | None:
    """Return what secret stands in a line of a text of several, in words, or None."""
    if block is None or ALLOWED in line or not (block.end or _is_deeper(line, block)):
        return None
    value = (line.partition(block.end)[0] if block.end else line).strip()
    if not value or not _may_hold_spaces(block.name, value, path):
        return None
    is_secret = _is_secret(block.name, value, is_variable=block.name.isupper())
    return f"a secret given to {block.name}" if is_secret else None


def _secret_in(line: str, path: str, *, is_text: bool = False) -> str | None:
    """Return what secret stands in a line, in words, or None.

    Args:
        line: of a file.
        path: of the file.
        is_text: whether the line begins within the triple quotes of an earlier one.
    """
    if ALLOWED in line:
        return None
    if told := known_key_in(line) or _written_in(
        _without_placeholders(line), is_text=is_text or not _PYTHON.search(path)
    ):
        return told
    lowered = line.lower()
    if not any(stem in lowered for stem in _STEMS):  # a tenth of the time of the patterns
        return None
    name = (
        _quoted_in(line, path)
        or _netrc_in(line, path)
        or (None if _CODE.search(path) else _plain_in(line, path))
    )
    return f"a secret given to {name}" if name else None


def _without_placeholders(line: str) -> str:
    return _PLACEHOLDER.sub("", _PORT.sub(":1", line))


def _written_in(line: str, *, is_text: bool) -> str | None:
    """Return what URL or connection string with a secret stands in a line, in words, or None."""
    if not is_text and connection_passwords(line):
        texts = _IN_QUOTES.findall(line)
        return next((told for text in texts if (told := holds_secret(text))), None)
    return holds_secret(line)


def _quoted_in(line: str, path: str) -> str | None:
    """Return the name that a secret in quotes is given to."""
    opened = _OPENED.finditer(line) if _PYTHON.search(path) else ()
    for found in (*_QUOTED.finditer(line), *_DEFAULT.finditer(line), *opened):
        name, value = str(found["name"]), str(found["value"])
        is_variable = found.re is _DEFAULT or found.groupdict().get("environ") is not None
        if not value or not _may_hold_spaces(name, value, path):
            continue
        if _is_secret(name, value, is_variable=is_variable):
            return name
    return None


def _plain_in(line: str, path: str) -> str | None:
    """Return the name that a secret without quotes is given to."""
    for found in _PLAIN.finditer(_SHELL_DEFAULT.sub(r"\1", line)):
        name, value = found["name"], found["word"] or found["value"].rstrip()
        if " " in value and not (_SETTINGS.search(path) and names_password(name)):
            continue  # prose
        if not _CALL.match(value) and _is_secret(name, value, is_variable=name.isupper()):
            return name
    return None


def _netrc_in(line: str, path: str) -> str | None:
    """Return the name that a password in a `.netrc` follows: `machine h login u password p`."""
    found = _NETRC_PASSWORD.search(line) if _NETRC.search(path) else None
    is_secret = found and _is_secret("password", found["value"], is_variable=True)
    return "password" if is_secret else None


def _may_hold_spaces(name: str, value: str, path: str) -> bool:
    """Return whether a value without spaces came, or one that is a password with them.

    Words that speak of the password or ask for it are none, nor, in code, text between two others.
    """
    if not any(map(str.isspace, value)):
        return True
    if not names_password(name):
        return False
    if _PROSE.search(value) or value.endswith(("?", "!")):
        return False
    if _SETTINGS.search(path):
        return value == value.strip()
    return _PHRASE.fullmatch(value) is not None


def _is_secret(name: str, value: str, *, is_variable: bool) -> bool:
    """Return whether a value is a secret.

    Args:
        name: what it is given to.
        value: it, not empty.
        is_variable: whether the name is one of the environment, where no vocabulary is (`eos_token`
            in a model's settings).
    """
    if names_other_pass(name) or value[0] in _NO_SECRET_BEGINS or not any(map(str.isalnum, value)):
        return False
    if is_ordinary(value):
        return False
    if names_password(name):
        return True
    is_short = name.lower().endswith("token") and not is_variable
    least = LEAST_TOKEN_LENGTH if is_short else LEAST_SECRET_LENGTH
    is_mixed = any(map(str.isdigit, value)) and any(map(str.isalpha, value))
    return is_mixed and len(value) >= least
