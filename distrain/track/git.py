"""The state of a git working tree: commit, branch, and what was changed since, without secrets."""

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from distrain.redaction import MASK, redacted, without_credentials
from distrain.track.written_secrets import secrets_in_diff

GIT_TIMEOUT_S: Final = 3.0
MAX_DIFF_BYTES: Final = 1 << 18


@final
@dataclass(frozen=True)
class GitFacts:
    """The state of a git working tree.

    Attributes:
        commit: 40 hex digits.
        branch: its name; None: detached.
        is_dirty: whether tracked files differ from the commit.
        remote: the origin's URL without credentials; None: no origin.
    """

    commit: str
    branch: str | None
    is_dirty: bool
    remote: str | None


@final
@dataclass(frozen=True)
class Uncommitted:
    """What tracked files have that the commit does not.

    Attributes:
        text: `git diff` against the commit; lines that look like secrets are masked.
        num_bytes: how long it was before it was cut.
        num_masked: lines that were masked.
    """

    text: str
    num_bytes: int
    num_masked: int

    @property
    def is_cut(self) -> bool:
        """Return whether only its beginning was kept."""
        return self.num_bytes > MAX_DIFF_BYTES


def git_facts(folder: Path) -> GitFacts | None:
    """Return the state of the working tree that a folder is in, or None where there is none.

    Args:
        folder: any folder; without git, a repository or a first commit the answer is None.
    """
    status = _git(folder, "status", "--porcelain=v2", "--branch", "--untracked-files=no")
    if status is None:
        return None
    lines = status.decode(errors="replace").splitlines()
    heads = dict(line[2:].split(" ", 1) for line in lines if line.startswith("# branch."))
    commit, branch = heads.get("branch.oid", ""), heads.get("branch.head")
    if not re.fullmatch(r"[0-9a-f]{40,64}", commit):
        return None
    remote = _git(folder, "config", "--get", "remote.origin.url")
    return GitFacts(
        commit=commit,
        branch=None if branch == "(detached)" else branch,
        is_dirty=any(not line.startswith("#") for line in lines),
        remote=_plain_remote(remote.decode(errors="replace").strip()) if remote else None,
    )


def uncommitted(folder: Path) -> Uncommitted | None:
    """Return what was changed in tracked files since the commit, None where that cannot be told.

    Args:
        folder: any folder of the working tree; changes in all of the tree count.
    """
    options = ("--no-color", "--no-ext-diff", "--no-textconv", "--src-prefix=a/", "--dst-prefix=b/")
    diff = _git(folder, "diff", "HEAD", *options)
    if diff is None:
        return None
    text, num_masked = without_secrets(diff[:MAX_DIFF_BYTES].decode(errors="replace"))
    if len(diff) > MAX_DIFF_BYTES:
        text += f"\n[cut here: {len(diff):,} bytes in all]\n"
    return Uncommitted(text, len(diff), num_masked)


def without_secrets(text: str) -> tuple[str, int]:
    """Return a difference whose lines that look like secrets are masked, and how many these are."""
    num_suspect = sum(1 for _ in secrets_in_diff(text))
    # First what goes over lines: a key's first line tells of those that follow.
    plain = redacted(text)
    suspect = {number for number, _ in secrets_in_diff(plain)}
    shown = [
        f"{line[:1]}{MASK}" if number in suspect else line
        for number, line in enumerate(plain.splitlines(), 1)
    ]
    return "\n".join(shown) + ("\n" if shown else ""), num_suspect


def _plain_remote(url: str) -> str:
    return without_credentials(url).replace(f"{MASK}@", "")


def _git(folder: Path, *arguments: str) -> bytes | None:
    command = ["git", "-C", str(folder), *arguments]
    environment = os.environ | {"GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            command, capture_output=True, timeout=GIT_TIMEOUT_S, env=environment, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
