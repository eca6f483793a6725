"""What a search's events tell of each of its trials: its values, curve, time and end. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, final

from distrain.config.course import CHANGES, changes_of, current_values
from distrain.errors import DistrainError
from distrain.report.search.trial import TrialView
from distrain.track.trials import kind_of
from distrain.tune.explain import state_of
from distrain.tune.trials import Outcome, error_of


@final
@dataclass(frozen=True)
class Told:
    """All that the events tell.

    Attributes:
        trials: those of the search, by number.
        later: audits and other seeds, in the order in which they began.
        wall_s: seconds of the search itself, over all of its drivers.
        shown_s: those of what came after it, too.
        resumed_s: when further drivers took the search up, in seconds since it began.
        gpus: of each trial; None: the log does not say.
        inherited: the earlier search that this one goes on from; empty: none.
        is_budget_spent: whether the last driver ended because of it.
        began_ms: when the first driver began, in milliseconds since 1970 (UTC); 0: none did.
    """

    trials: tuple[TrialView, ...]
    later: tuple[TrialView, ...]
    wall_s: float
    shown_s: float
    resumed_s: tuple[float, ...]
    gpus: float | None
    inherited: str
    is_budget_spent: bool
    began_ms: int = 0


def tell(events: Iterable[Mapping[str, Any]], metric: str, *, is_driven: bool) -> Told:
    """Return what events tell.

    Args:
        events: the oldest first, as `tune.events.read_events` gives them.
        metric: the one that decides.
        is_driven: whether the search has a driver at this moment.
    """
    account = _Account()
    for event in events:
        account.take(event)
    account.close()
    trials = [account.trial(number, metric, is_driven=is_driven) for number in account.traces]
    own = sorted((one for one in trials if _is_own(one.number)), key=lambda one: one.number)
    return Told(
        trials=tuple(own),
        later=tuple(one for one in trials if not _is_own(one.number)),
        wall_s=account.searched_s,
        shown_s=account.now_s,
        resumed_s=tuple(account.began_s[1:]),
        gpus=account.gpus,
        inherited=account.inherited,
        is_budget_spent=account.is_budget_spent,
        began_ms=account.began_ms,
    )


def _is_own(number: int) -> bool:
    return kind_of(number)[0] == "trial"


def _verdict(event: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what was decided, its numbers as numbers: the log has `inf` and `nan` as words."""
    numbers = {
        name: None if event[name] is None else float(event[name]) for name in ("value", "cut")
    }
    return {**event, **numbers}


@final
@dataclass
class _Trace:
    """A trial's account, while events are gone through; see `TrialView`."""

    values: Mapping[str, Any] = field(default_factory=dict)
    outcome: Outcome | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)
    reports: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    epochs: int = 0
    train_s: float = 0.0
    before_s: float = 0.0
    spans: list[tuple[float, float]] = field(default_factory=list)
    open_s: float | None = None
    ended_s: float | None = None
    verdicts: list[Mapping[str, Any]] = field(default_factory=list)
    error: DistrainError | None = None
    num_lost: int = 0

    def take(self, event: Mapping[str, Any], at_s: float) -> None:
        """Take in an event of the trial's own."""
        match event["event"]:
            case "suggested":
                self.values = event["assignment"]
            case "started":
                self.open_s, self.before_s = at_s, self.train_s
            case "reported":
                self._report(event)
            case "decided":
                self.verdicts.append(_verdict(event))
                self.values = event.get("assignment") or self.values
            case "paused":
                self.train_s = self.before_s + event["train_s"]
                self.close(at_s)
            case "lost":
                self.num_lost += 1
                self.close(at_s)
            case "ended":
                self._end(event, at_s)

    def _report(self, event: Mapping[str, Any]) -> None:
        # What is computed again behind a checkpoint is told once: the first value stands.
        self.reports.setdefault(event["time"], event["values"])
        self.epochs = max(self.epochs, event["epoch"])
        self.train_s = max(self.train_s, self.before_s + event.get("train_s", 0.0))

    def _end(self, event: Mapping[str, Any], at_s: float) -> None:
        self.outcome, self.metrics, self.ended_s = event["outcome"], event["metrics"], at_s
        self.epochs = max(self.epochs, event.get("epoch", 0))
        self.train_s = event.get("train_s", self.train_s)
        self.values = event.get("assignment") or self.values
        self.error = error_of(event.get("error"))
        self.close(at_s)

    def close(self, at_s: float) -> None:
        """Take in that it runs no more, or that nothing is known of it behind that time."""
        if self.open_s is not None:
            self.spans.append((self.open_s, max(at_s, self.open_s)))
        self.open_s = None


@final
class _Account:
    """The account of a whole search; `take` its events in their order, then `close`."""

    def __init__(self) -> None:
        self.traces: dict[int, _Trace] = {}
        self.began_s: list[float] = []
        self.now_s = self.searched_s = 0.0
        self.gpus: float | None = None
        self.inherited = ""
        self.is_budget_spent = False
        self._own: defaultdict[int, list[Mapping[str, Any]]] = defaultdict(list)
        self.began_ms = self._last_ms = 0

    def take(self, event: Mapping[str, Any]) -> None:
        """Take in an event, with the `time_ms` when it was added."""
        match event["event"]:
            case "began":
                self._begin(event)
            case "inherited":
                self.inherited = str(event["search"])
            case "spent":
                self.is_budget_spent = True
            case "won" | "used_up":  # the first is told long after the search, once it is known
                pass
            case _:
                self._pass_on(event)

    def close(self) -> None:
        """Take in that there are no more events."""
        for trace in self.traces.values():
            trace.close(self.now_s)

    def trial(self, number: int, metric: str, *, is_driven: bool) -> TrialView:
        """Return a trial, as all events leave it."""
        trace = self.traces[number]
        curve = tuple(
            (time, float(values[metric]))
            for time, values in sorted(trace.reports.items())
            if metric in values
        )
        final = trace.metrics.get(metric)
        return TrialView(
            number=number,
            values=current_values(trace.values),
            first_values={key: trace.values[key] for key in trace.values if key != CHANGES},
            changes=changes_of(trace.values),
            state=state_of(number, self._own[number], is_driven=is_driven),
            outcome=trace.outcome,
            curve=curve,
            score=float(final) if final is not None else (curve[-1][1] if curve else None),
            epochs=trace.epochs,
            train_s=trace.train_s,
            spans=tuple(trace.spans),
            ended_s=trace.ended_s,
            verdicts=tuple(trace.verdicts),
            error=trace.error,
            num_lost=trace.num_lost,
        )

    def _begin(self, event: Mapping[str, Any]) -> None:
        """Take in that a driver begins: the time since the last one's last event is not counted."""
        self.close()
        self.is_budget_spent = False
        self.gpus = event.get("gpus", self.gpus)
        self.began_s.append(self.now_s)
        self._last_ms = event.get("time_ms", 0)
        self.began_ms = self.began_ms or self._last_ms
        for own in self._own.values():
            own.append(event)

    def _pass_on(self, event: Mapping[str, Any]) -> None:
        number = event["trial"]
        time_ms = max(event.get("time_ms", 0), self._last_ms)  # a clock may be set back
        self.now_s += (time_ms - self._last_ms) / 1000
        self._last_ms = time_ms
        if _is_own(number):
            self.searched_s = self.now_s
        self._own[number].append(event)
        self.traces.setdefault(number, _Trace()).take(event, self.now_s)
