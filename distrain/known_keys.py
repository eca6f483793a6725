"""Well-known forms of keys and tokens, which are secrets whatever they are given to.

Standard library only: it runs in workers and in packaged models.
"""

import re
from typing import Final

_KINDS: Final = {
    "an AWS access key": re.compile(r"(?<![A-Za-z0-9])(AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])"),
    "a GitHub token": re.compile(
        r"(?<![A-Za-z0-9])(gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,})"
    ),
    "a GitLab token": re.compile(r"(?<![A-Za-z0-9])glpat-[\w-]{20,}"),
    "a Hugging Face token": re.compile(r"(?<![A-Za-z0-9])hf_[A-Za-z0-9]{20,}"),
    # With a digit: scikit-learn's pages have classes such as sk-toggleable__label-arrow.
    "an API key": re.compile(r"(?<![A-Za-z0-9])sk-(?=[\w-]{0,64}\d)[A-Za-z0-9_-]{20,}"),
    "a Slack token": re.compile(r"(?<![A-Za-z0-9])xox[abprs]-[A-Za-z0-9-]{10,}"),
    "a Databricks token": re.compile(r"(?<![A-Za-z0-9])dapi[0-9a-f]{32}"),
    "a Stripe key": re.compile(
        r"(?<![A-Za-z0-9])[rs]k_(live|test)_(?=[A-Za-z]{0,64}\d)[A-Za-z0-9]{16,}"
    ),
    "a Google API key": re.compile(r"(?<![A-Za-z0-9])AIza[\w-]{35}(?![\w-])"),
    "a Google access token": re.compile(r"(?<![A-Za-z0-9])ya29\.[\w-]{20,}"),
    "a SendGrid key": re.compile(r"(?<![A-Za-z0-9])SG\.[\w-]{16,32}\.[\w-]{32,64}(?![\w-])"),
    "an npm token": re.compile(r"(?<![A-Za-z0-9])npm_[A-Za-z0-9]{36}(?![\w-])"),
    "a PyPI token": re.compile(r"(?<![A-Za-z0-9])pypi-Ag[\w-]{16,}"),
    # Header and payload both begin with `{"`, which is `eyJ`.
    "a JSON web token": re.compile(r"(?<![\w-])eyJ[\w-]{8,}+\.eyJ[\w-]{8,}+\.[\w-]{8,}"),
    # Not the address with X in the place of the secret, as Slack's own pages have it.
    "a Slack webhook": re.compile(
        r"(?<=hooks\.slack\.com/services/)T\w{4,16}/B\w{4,16}/(?!X+\b)\w{16,}"
    ),
    "a private key": re.compile(
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----(.*?-----END [A-Z ]*PRIVATE KEY-----|.*)", re.DOTALL
    ),
}
# What each of them begins with: to look for all at once is a tenth of the time.
_BEGINS: Final = re.compile(
    r"A(?:KI|SI|Iz)|gh[pousr]_|github_pat_|glpat-|hf_|[rs]k[_-]|xox[abprs]-|dapi|ya29\.|SG\.|npm_|"
    r"pypi-|eyJ|slack\.com/|-----BEGIN"
)


def known_key_in(text: str) -> str | None:
    """Return what well-known form of key stands in a text, in words, or None."""
    if not _BEGINS.search(text):
        return None
    return next((told for told, pattern in _KINDS.items() if pattern.search(text)), None)


def without_known_keys(text: str, mask: str) -> str:
    """Return a text in which a mask stands for each well-known form of key."""
    for pattern in _KINDS.values() if _BEGINS.search(text) else ():
        text = pattern.sub(mask, text)
    return text
