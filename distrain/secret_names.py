"""Names that speak of secrets, such as `password` and `api_key`, and the values given to them.

Standard library only: it runs in workers and in packaged models.
"""

import re
from typing import Any, Final

LEAST_SECRET_LENGTH: Final = 6
LEAST_TOKEN_LENGTH: Final = 16

# Keys by what they open: a `key` may as well be one of a dictionary or of a table.
_KEY: Final = (
    r"(?:api|access|private|auth|secret|account|storage|encryption|signing|master|subscription|"
    r"kaggle|wandb|openai|anthropic)[_-]?key"
)
OTHER_SECRET_WORDS: Final = rf"passw(?:or)?d|passphrase|pwd|secrets?|credentials?|{_KEY}"
SECRET_WORDS: Final = rf"{OTHER_SECRET_WORDS}|token"
_NAME: Final = re.compile(
    r"passw(or)?d|passphrase|secrets?($|[_-])|conn(ection)?[_-]?str(ing)?s?($|[_-])|"
    rf"(^|[_-])(dsn|pwd|pw|(auth|access|refresh)?token|credentials?|{_KEY})($|[_-])|"
    r"(^|[_-])(ssh)?pass[_-]?\d*$|(^|[_-])(redis(cli)?|registry|proxy|npm)_?auth$|"
    r"(^|[_-])(ext|gh|github|gitlab|azure|devops)_?pat$",
    re.IGNORECASE,
)
# Passes of a model over its data, or of a filter; and what goes around something.
_OTHER_PASS: Final = re.compile(
    r"(^|[_.-])(forward|backward|fwd|bwd|first|second|third|last|final|single|one|two|multi|num|n|"
    r"max|min|by|low|high|band|all|each)[_-]?pass[_-]?\d*$",
    re.IGNORECASE,
)
_SECRET_AT_END: Final = re.compile(
    r"(passw(or)?d|passphrase|secrets?|"
    rf"(^|[_-])(pwd|(auth|access|refresh)?token|credentials?|{_KEY}))[_-]?\d*$",
    re.IGNORECASE,
)
_PASSWORD_NAME: Final = re.compile(r"passw(or)?d|passphrase|(^|[_-])pwd($|[_-])", re.IGNORECASE)
_WORD: Final = re.compile(r"[A-Za-z_.-]+")
_ORDINARY: Final = re.compile(
    r"none|null|nil|undefined|true|false|yes|no|on|off|str|string|text|bytes|int|integer|number|"
    r"bool|boolean|any|object|required|optional|hidden|include|omit|same-origin",
    re.IGNORECASE,
)
_CAMEL_CASE: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def names_secret(name: str) -> bool:
    """Return whether a key or a variable is called like something that holds a secret."""
    return _secret_word(name) != ""


def names_other_pass(name: str) -> bool:
    """Return whether a name ends in `pass` and means no password: `forward_pass`, `bypass`."""
    return _OTHER_PASS.search(_CAMEL_CASE.sub("_", name)) is not None


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


def is_ordinary(value: str) -> bool:
    """Return whether a value is a word found in any form, or itself the name of a secret."""
    return _ORDINARY.fullmatch(value) is not None or (
        _WORD.fullmatch(value) is not None and names_secret(value)
    )


def _secret_word(name: str) -> str:
    """Return the word of a name that speaks of a secret, in lower case; nothing: none does."""
    found = None if names_other_pass(name) else _NAME.search(_CAMEL_CASE.sub("_", name))
    return found[0].strip("_-").lower() if found else ""
