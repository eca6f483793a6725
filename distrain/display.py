"""What a command tells while it works, and to whom."""

from collections.abc import Mapping
from typing import Any, Protocol, final


class Display(Protocol):
    """What is told while a command works; `report.display` has the ones for a terminal."""

    def stage(self, text: str) -> None:
        """Say what is being done now."""

    def note(self, text: str) -> None:
        """Say something the user should know, once."""

    def waiting(self, text: str) -> None:
        """Say what is waited for, as it is now; called again and again."""

    def progress(self, record: Mapping[str, Any]) -> None:
        """Show where training is: a `progress` record of the journal."""

    def search(self, standing: Mapping[str, Any]) -> None:
        """Show where a search is: see `Search.standing`."""


@final
class NoDisplay:
    """Shows nothing: for callers from Python."""

    def stage(self, text: str) -> None:
        """Show nothing."""

    def note(self, text: str) -> None:
        """Show nothing."""

    def waiting(self, text: str) -> None:
        """Show nothing."""

    def progress(self, record: Mapping[str, Any]) -> None:
        """Show nothing."""

    def search(self, standing: Mapping[str, Any]) -> None:
        """Show nothing."""


def duration_text(seconds: float) -> str:
    """Return a duration in the two units that matter: 42 s, 3 min 5 s, 2 h 10 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
