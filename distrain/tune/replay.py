"""A search as earlier drivers left it: its events, in their order -> the same state again.

Each event is one operation of `SearchState`, which is called with what the event holds. Verdicts
are made anew from the reports; those that a killed driver made and did not come to log are logged
by `Search.begin`. How a trial has ended is as the log has it, also where an earlier version of
distrain judged otherwise than this one.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from distrain.errors import DistrainError
from distrain.tune.events import Replayed
from distrain.tune.search import Search
from distrain.tune.state import SearchState
from distrain.tune.trials import Outcome, Report, error_of


def replay(search: Search, events: Iterable[Mapping[str, Any]]) -> None:
    """Take in what earlier drivers of a search have logged; before anything else happens in it.

    Args:
        search: as it was before anything happened; `begin` follows.
        events: the oldest first, as `events.read_events` gives them.

    Raises:
        CheckpointError: a trial is missing among the events.
    """
    replayed, told = Replayed(), list(events)
    with search.replaying(replayed) as state:
        state.known_ends = _first_ends(told)
        for event in told:
            replayed.expect(event)
            _take_in(state, event)


def _first_ends(events: Iterable[Mapping[str, Any]]) -> dict[int, Outcome]:
    ends: dict[int, Outcome] = {}
    for event in events:
        if event["event"] == "ended":
            ends.setdefault(event["trial"], event["outcome"])
    return ends


def _take_in(state: SearchState, event: Mapping[str, Any]) -> None:
    """Let an event take effect again; `decided` follows from others, `won` is for the driver."""
    number = event.get("trial", -1)
    match event["event"]:
        case "began":
            state.began()
        case "spent":
            state.budget_spent()
        case "suggested":
            first, count = event["batch"]
            state.suggested(number, event["assignment"], (first, count))
        case "used_up":
            state.used_up(number, event["count"])
        case "started":
            state.started(number, event["attempt"], event["until"])
        case _:
            _take_in_told(state, number, event)


def _take_in_told(state: SearchState, number: int, event: Mapping[str, Any]) -> None:
    """Let what a trial told take effect again."""
    match event["event"]:
        case "reported":
            state.reported(number, Report.of_event(event))
        case "paused":
            state.paused(number, event["step"], event["train_s"])
        case "lost":
            error = _error(event)
            assert error is not None
            state.lost(number, event["step"], error, gives_up=event["gives_up"])
        case "ended":
            state.ended(
                number,
                event["outcome"],
                step=event["step"],
                epoch=event["epoch"],
                metrics={name: float(value) for name, value in event["metrics"].items()},
                weights_sha256=event["weights_sha256"],
                train_s=event["train_s"] - state.roster.trials[number].before_s,
                error=_error(event),
            )


def _error(event: Mapping[str, Any]) -> DistrainError | None:
    return error_of(event["error"])
