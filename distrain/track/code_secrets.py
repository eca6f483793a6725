"""Secrets in the user's own code, which is saved with the model because it is loaded from there.

A model that is registered is read by more people than the sources are, and for longer. So code that
holds a key is refused before anything starts, where masking it would break the model.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from distrain.errors import ModelError
from distrain.track.source_files import source_files
from distrain.track.user_code import find_user_code
from distrain.track.written_secrets import ALLOWED, secrets_in

_SHOWN: Final = 5
# Notebooks with their plots, and vocabularies, are smaller: a second or two for each.
_MOST_BYTES: Final = 16 << 20


def check_no_secrets(targets: Iterable[str]) -> None:
    """Return where no module or package of the user's holds what looks like a secret.

    Args:
        targets: import paths `package.module:Name`.

    Raises:
        ModelError: some do; the first few are told by file and line.
    """
    sources = dict.fromkeys(source for target in targets for source in find_user_code(target))
    found = [place for source in sources for place in _places(source)]
    if not found:
        return
    more = len(found) - _SHOWN
    raise ModelError(
        f"the code holds what looks like {', '.join(found[:_SHOWN])}"
        + (f" and {more} more" if more > 0 else ""),
        where="model.target and what it imports",
        expected="no secrets in code that is saved with the model",
        mend="Read it from the environment, os.environ['NAME'], where it is used; a line that "
        f"holds none all the same says so: `# {ALLOWED}`",
    )


def _places(source: Path) -> Iterator[str]:
    """Yield what stands where in a module, or in the files of a package, as messages name it."""
    for _, path in source_files(source):
        if not _is_text(path):
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        for line, told in secrets_in(text, path.name):
            yield f"{told} ({path}:{line})"


def _is_text(path: Path) -> bool:
    """Return whether a file is one to look through: Python, or text that is not very large."""
    if path.suffix == ".py":
        return True
    with path.open("rb") as file:
        return path.stat().st_size <= _MOST_BYTES and b"\0" not in file.read(8192)
