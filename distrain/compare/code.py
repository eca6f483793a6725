"""What differs in the code that two runs were made by: distrain's own, the user's, the repository.

Uncommitted changes are told by file, and only those that nothing else tells: a changed module, data
file or configuration is a change of the working tree too.
"""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, final

import distrain.differences as differing
from distrain.compare.kept import Kept
from distrain.differences import Difference
from distrain.foreign import is_inner_name
from distrain.redaction import redacted
from distrain.track import lineage_folder

_GIT_KEYS: Final = ("commit", "branch", "remote")
_OF_FILE: Final = re.compile(r"^diff --git a/.* b/(?P<path>.*)$", re.MULTILINE)
_CONFIG_SUFFIXES: Final = (".yaml", ".yml")
_MAX_NAMED: Final = 8
_CONTEXT_LINES: Final = 2


@final
@dataclass(frozen=True)
class CodeChange:
    """How a file of the user's own differs, line by line.

    Attributes:
        letter: of the run whose file is another than the first one's.
        file: its name.
        lines: as a unified diff has them, without its head.
    """

    letter: str
    file: str
    lines: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {**asdict(self), "lines": list(self.lines)}


def code_differences(was: Kept, now: Kept, found: Sequence[Difference]) -> list[Difference]:
    """Return what differs in the code of two runs.

    Args:
        was: what the first one was made from.
        now: likewise the other.
        found: what else differs between them.
    """
    files = differing.of_files("your own code", was.user_files, now.user_files, is_decisive=True)
    return [
        *differing.between("code", _own(was), _own(now)),
        *files,
        *differing.between("code", _git(was), _git(now)),
        *_uncommitted(_sections(was), _sections(now), [*found, *files]),
    ]


def own_files_note(letters: str, was: Kept, now: Kept) -> str | None:
    """Return in words which of distrain's own files differ; None: none.

    Args:
        letters: of the two runs, such as `A and B`.
        was: what the first one was made from.
        now: likewise the other.
    """
    found = differing.between("code", was.own_files, now.own_files)
    if not found:
        return None
    names = ", ".join(difference.what for difference in found[:_MAX_NAMED])
    more = f" and {len(found) - _MAX_NAMED:,} more" if len(found) > _MAX_NAMED else ""
    return f"distrain's own code differs between {letters} in {names}{more}"


def code_changes(letter: str, was: Kept, now: Kept) -> Iterator[CodeChange]:
    """Give how each file of the user's own differs whose copies were kept.

    Args:
        letter: of the other run.
        was: what the first one was made from.
        now: likewise the other.
    """
    for difference in differing.between("code", was.user_files, now.user_files):
        name = difference.what
        if not is_inner_name(name):
            continue
        old, new = (_lines(side, name) for side in (was, now))
        diff = difflib.unified_diff(old, new, lineterm="", n=_CONTEXT_LINES)
        yield CodeChange(letter, name, tuple(map(redacted, [*diff][2:])))


def _lines(kept: Kept, name: str) -> list[str]:
    path = kept.folder / lineage_folder.USER_CODE / name
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # the run had no such file, or its copy is gone
        return []


def _own(kept: Kept) -> dict[str, str]:
    return {"distrain": f"{kept.version} ({kept.own_sha256[:12]})"}


def _git(kept: Kept) -> dict[str, str]:
    return {f"git {key}": str(kept.git[key]) for key in _GIT_KEYS if kept.git.get(key)}


def _sections(kept: Kept) -> dict[str, str]:
    """Return what tracked files had beside the commit, by file."""
    if kept.diff is None:
        return {"files that are not known": "changed"} if kept.git.get("is_dirty") else {}
    heads = [*_OF_FILE.finditer(kept.diff)]
    ends = [head.start() for head in heads[1:]] + [len(kept.diff)]
    return {
        head["path"]: kept.diff[head.end() : end] for head, end in zip(heads, ends, strict=False)
    }


def _uncommitted(
    was: Mapping[str, str], now: Mapping[str, str], known: Iterable[Difference]
) -> Iterator[Difference]:
    known = [*known]
    names = [difference.what for difference in known if difference.part in ("data", "code")]
    has_other_config = any(difference.part == "configuration" for difference in known)
    for path in {**was, **now}:
        if was.get(path) == now.get(path):
            continue
        is_config = has_other_config and path.endswith(_CONFIG_SUFFIXES)
        if is_config or any(_is_same_file(path, name) for name in names):
            continue
        before, after = (_size(side.get(path)) for side in (was, now))
        yield Difference("code", f"uncommitted changes of {path}", before, after)


def _is_same_file(path: str, name: str) -> bool:
    """Return whether a path in a repository may be a file that is named from elsewhere."""
    return f"/{path}".endswith(f"/{name}") or f"/{name}".endswith(f"/{path}")


def _size(section: str | None) -> str | None:
    """Return how much a file was changed, such as `+3 -1 lines (5f2a09)`."""
    if section is None:
        return None
    lines = section.splitlines()
    added = sum(line.startswith("+") and not line.startswith("+++") for line in lines)
    gone = sum(line.startswith("-") and not line.startswith("---") for line in lines)
    return f"+{added:,} -{gone:,} lines ({lineage_folder.sha256(section.encode())[:6]})"
