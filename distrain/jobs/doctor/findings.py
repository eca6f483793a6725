"""What an examination ends in: findings, and the exit code that they come to."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, final

from distrain.errors import ClusterError, ConfigError, DistrainError

Level = Literal["ok", "warning", "fault"]

NAMED: Final = 3
"""So many nodes are named one by one; of more, the number."""


@final
@dataclass(frozen=True)
class Finding:
    """One line of a diagnosis.

    Attributes:
        check: what was looked at, in one word or two.
        level: `ok`, `warning` (work goes on, perhaps not well) or `fault` (work will fail).
        text: what was found, in one sentence.
        mend: what the user can do about it; empty where all is well.
        where: the node, path or address; empty: the check says it all.
        exit_code: what a fault of this kind ends the command with.
    """

    check: str
    level: Level
    text: str
    mend: str = ""
    where: str = ""
    exit_code: int = ConfigError.exit_code

    def to_json(self) -> dict[str, str]:
        """Return the finding's entry in the object of `--json`."""
        return {
            "check": self.check,
            "level": self.level,
            "where": self.where,
            "message": self.text,
            "mend": self.mend,
        }


@final
@dataclass(frozen=True)
class Diagnosis:
    """All findings of an examination, in the order of the checks."""

    findings: tuple[Finding, ...]

    @property
    def exit_code(self) -> int:
        """Return 0 without a fault, 4 where a cluster or server is out of reach, else 2."""
        return max((found.exit_code for found in self.faults), default=0)

    @property
    def faults(self) -> list[Finding]:
        """Return the findings that are faults."""
        return [found for found in self.findings if found.level == "fault"]

    @property
    def counts(self) -> dict[Level, int]:
        """Return how many findings there are of each level."""
        found = Counter(finding.level for finding in self.findings)
        levels: tuple[Level, ...] = ("ok", "warning", "fault")
        return {level: found[level] for level in levels}

    def to_json(self) -> dict[str, Any]:
        """Return the object of `--json`."""
        return {
            "status": "unfit" if self.faults else "fit",
            "exit_code": self.exit_code,
            "counts": dict(self.counts),
            "checks": [finding.to_json() for finding in self.findings],
        }


def finding_of(check: str, error: DistrainError) -> Finding:
    """Return the fault that an error tells of."""
    return Finding(
        check,
        "fault",
        error.message,
        mend=error.mend or f"Expected {error.expected}",
        where=error.where,
        exit_code=ClusterError.exit_code if error.exit_code == 4 else ConfigError.exit_code,
    )


def ok_unless(found: Sequence[Finding], check: str, text: str) -> list[Finding]:
    """Return what was found, or that all is well where nothing was."""
    return list(found) or [Finding(check, "ok", text)]


def names(hosts: Iterable[str]) -> str:
    """Return hosts in words: `a, b, c and 12 more`."""
    told = sorted(set(hosts))
    more = f" and {len(told) - NAMED} more" if len(told) > NAMED else ""
    return ", ".join(told[:NAMED]) + more


def counted(number: int, what: str) -> str:
    """Return a number of things: `1 node`, `3 nodes`."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"
