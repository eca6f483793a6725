"""Why a trial was stopped, or was not, in words: the text of `distrain why`. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal, final

State = Literal["waiting", "running", "paused", "cut_off", "finished", "stopped", "failed"]

_ENDS: Final[Mapping[State, str]] = {
    "finished": "It was never stopped, and has finished.",
    "failed": "It was never stopped by the scheduler: it failed.",
    "stopped": "It was stopped with the search, not by the scheduler.",
    "running": "It runs, and has not been stopped so far.",
    "waiting": "It waits until there is room for it, and has not been stopped so far.",
    "paused": "It is paused, with a checkpoint, until the others of its rung are there.",
    "cut_off": "It ran when the search's driver ended, and was cut off.",
}
_OUTCOMES: Final[Mapping[str, State]] = {"stopped_early": "finished"}
_GOES_ON: Final = "Nobody drives the search now: `distrain resume` goes on with it."


def state_of(trial: int, events: Iterable[Mapping[str, Any]], *, is_driven: bool) -> State:
    """Return what a trial is now, by all events of its search in their order.

    Args:
        trial: its number.
        events: as the event log holds them.
        is_driven: whether the search has a driver at this moment.
    """
    trace = _Trace()
    for event in events:
        if event["event"] == "began":
            trace.begin()
        elif event.get("trial") == trial:
            trace.take(event)
    is_cut_off = trace.state == "running" and not is_driven
    return "cut_off" if is_cut_off else trace.state


@final
class _Trace:
    """A trial's state, one event after the other, as `state.py` and `roster.py` have it."""

    def __init__(self) -> None:
        self.state: State = "waiting"
        self._until: int | None = None
        self._time = 0
        self._is_kept = False

    def begin(self) -> None:
        """Take in that a driver begins: what ran under the last one waits for its turn."""
        if self.state == "running":
            self.state = "waiting"

    def take(self, event: Mapping[str, Any]) -> None:
        """Take in an event of the trial's own."""
        match event["event"]:
            case "started":
                self.state, self._until, self._is_kept = "running", event["until"], False
            case "reported":
                self._time = max(self._time, event["time"])
            case "decided" if event["action"] in ("go_on", "copy"):
                self._is_kept = True
                self.state = "waiting" if self.state == "paused" else self.state
            case "paused":
                is_at_rung = self._until is not None and self._time >= self._until
                self.state = "paused" if is_at_rung and not self._is_kept else "waiting"
            case "lost":
                self.state = "waiting"
            case "ended":
                self.state = _OUTCOMES.get(event["outcome"], event["outcome"])


def explain_trial(
    trial: int,
    verdicts: Sequence[Mapping[str, Any]],
    state: State = "running",
    *,
    is_driven: bool = True,
) -> str:
    """Return what the scheduler decided about a trial and by which numbers, a few lines.

    Args:
        trial: its number.
        verdicts: those on it in their order, as the event log holds them: fields of `Verdict`.
        state: what it is now.
        is_driven: whether the search has a driver at this moment.
    """
    told = _explained(trial, verdicts, state)
    has_ended = state in ("finished", "stopped", "failed")
    return told if is_driven or has_ended else f"{told}\n{_GOES_ON}"


def _explained(trial: int, verdicts: Sequence[Mapping[str, Any]], state: State) -> str:
    if not verdicts:
        return f"trial {trial}: the scheduler decided nothing about it.\n{_ENDS[state]}"
    lines = [f"trial {trial}: {_summary(verdicts)}"]
    lines += [f"  {_label(verdict)}{verdict['text']}" for verdict in verdicts]
    return "\n".join([*lines, _end(verdicts[-1], state)])


def _summary(verdicts: Sequence[Mapping[str, Any]]) -> str:
    num_passed = sum(verdict["action"] == "go_on" for verdict in verdicts)
    if all(verdict["rung"] is None for verdict in verdicts):
        return "one decision of the scheduler."
    num_taken = sum(verdict["action"] == "copy" for verdict in verdicts)
    taken = f", and took over from another at {num_taken}" if num_taken else ""
    return f"it went on at {num_passed} of the {len(verdicts)} rungs it was judged at{taken}."


def _label(verdict: Mapping[str, Any]) -> str:
    return "" if verdict["rung"] is None else f"rung {verdict['rung']}: "


def _end(last: Mapping[str, Any], state: State) -> str:
    if last["action"] == "stop":
        return f"It was stopped there{_margin(last)}."
    if last["action"] == "finish":
        return "It ended early, and counts as finished."
    return _ENDS[state]


def _margin(last: Mapping[str, Any]) -> str:
    if last["rank"] is None or last["num_kept"] is None:
        return ""
    num_places = last["rank"] - last["num_kept"]
    return f", {num_places} {'place' if num_places == 1 else 'places'} behind the last that went on"
