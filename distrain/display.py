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
