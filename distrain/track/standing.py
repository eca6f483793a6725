"""Where the user stands: whose command it is, the commit, and what is not committed there.

That is the driver's working directory, unless the command came to a cluster as a job: then it is
where it was submitted, carried over as plain values.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, final

from distrain.process import user_name
from distrain.track.git import GitFacts, Uncommitted, git_facts, uncommitted


@final
@dataclass(frozen=True)
class Standing:
    """A user, and the state of the working tree that the user is in.

    Attributes:
        user: the user's name.
        git: the state; None: there is no working tree.
        changes: what is not committed, secrets masked; None: nothing, or it cannot be told.
        job_id: of the submission that brought the command here; None: the user stands here.
    """

    user: str
    git: GitFacts | None
    changes: Uncommitted | None
    job_id: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain values for `from_json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "Standing":
        """Return what `to_json` gave."""
        git, changes = fields["git"], fields["changes"]
        return cls(
            user=fields["user"],
            git=GitFacts(**git) if git else None,
            changes=Uncommitted(**changes) if changes else None,
            job_id=fields["job_id"],
        )


_carried: Final[list[Standing]] = []  # none, or the one that this process was given


def carry_over(standing: Standing) -> None:
    """Have what is asked for in this process be answered by where a job was submitted."""
    _carried[:] = [standing]


def standing_here() -> Standing:
    """Return where this process's user stands."""
    git = git_here()
    return Standing(user_here(), git, changes_here(git))


def job_here() -> str | None:
    """Return the submission that brought the command here; None: the user stands here."""
    return _carried[0].job_id if _carried else None


def user_here() -> str:
    """Return the name of the user whose command this is."""
    return _carried[0].user if _carried else user_name()


def git_here() -> GitFacts | None:
    """Return the state of the working tree; None: there is none."""
    return _carried[0].git if _carried else git_facts(Path.cwd())


def changes_here(git: GitFacts | None) -> Uncommitted | None:
    """Return what tracked files have that the commit does not; None: nothing, or not known.

    Args:
        git: what `git_here` gave.
    """
    if _carried:
        return _carried[0].changes
    return uncommitted(Path.cwd()) if git and git.is_dirty else None
