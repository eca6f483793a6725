"""A part of what comes after a search: a search without a scheduler over trials that are known.

Its events stand in the search's log, under numbers of their own there; within it, its trials are
numbered by their places, as in any search.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, final

from distrain.track.trials import label
from distrain.tune.budget import Budget
from distrain.tune.events import EventLog
from distrain.tune.plan import Begun, SearchPlan
from distrain.tune.replay import replay
from distrain.tune.schedulers import OneByOne
from distrain.tune.search import Search
from distrain.tune.told import Told
from distrain.tune.trials import Work


def part_of(
    plan: SearchPlan,
    log: EventLog,
    name: str,
    trials: Mapping[int, Mapping[str, Any]],
    begun: Mapping[int, Begun] | None = None,
) -> "Part":
    """Return a part over known trials, all of which run to their end, whatever they cost.

    Args:
        plan: the search's.
        log: the search's.
        name: what the part does, in one word.
        trials: number in the log to assignment, in order.
        begun: place to what a trial has come to already; the others begin.
    """
    numbers = list(trials)
    own = replace(
        plan,
        num_trials=len(numbers),
        sampler=_Fixed(list(trials.values())),
        scheduler=OneByOne(len(numbers)),
        budget=Budget(),
        begun=begun or {},
        num_seeds=1,
        explorer=None,
        names={place: f"trial {label(number)}" for place, number in enumerate(numbers)},
    )
    return Part(name, numbers, Search(own, _Renumbered(log, numbers)))


@final
class Part:
    """What comes after a search: a search over known trials, with their numbers in the log.

    Args:
        name: what it does, in one word.
        numbers: of its trials in the log.
        search: over them; its own numbers are their places.
    """

    def __init__(self, name: str, numbers: Sequence[int], search: Search) -> None:
        self.name = name
        self.numbers = numbers
        self.places = {number: place for place, number in enumerate(numbers)}
        self.search = search

    @property
    def told(self) -> str:
        """How far it is, in words."""
        return f"{self.name} {self.search.num_ended}/{len(self.numbers)}"

    @property
    def notes(self) -> list[str]:
        """What a user should know; of many failures of one cause, which end the part, that too."""
        cause = self.search.cause
        given_up = [] if cause is None else [f"{self.name} was given up: {cause.message}"]
        return [*self.search.notes, *given_up]

    def begin(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Begin, or go on from what earlier drivers have logged."""
        own = [event for event in events if event["trial"] in self.places]
        replay(self.search, ({**event, "trial": self.places[event["trial"]]} for event in own))
        self.search.begin()

    def next_work(self) -> Work | None:
        """Return a trial to run now, by its number in the log; what it has not told is told."""
        work = self.search.next_work()
        if work is None:
            return None
        begun = self.search.plan.begun.get(work.trial)
        for report in begun.untold if begun is not None else ():
            # Its seconds were those of another attempt.
            self.search.reported(work.trial, replace(report, train_s=0.0))
        return replace(work, trial=self.numbers[work.trial])


@final
class _Renumbered:
    """The log of a part.

    Args:
        log: all events'.
        numbers: of the part's trials in it.
    """

    def __init__(self, log: EventLog, numbers: Sequence[int]) -> None:
        self._log = log
        self._numbers = numbers

    def add(self, event: str, /, **fields: Any) -> None:
        """Take in an event of the part; those that speak of no trial are the search's own."""
        if "trial" in fields:
            self._log.add(event, **{**fields, "trial": self._numbers[fields["trial"]]})

    def commit(self) -> None:
        """Make durable what was added."""
        self._log.commit()


@final
class _Fixed:
    """A sampler of trials that are known.

    Args:
        assignments: theirs.
    """

    def __init__(self, assignments: Sequence[Mapping[str, Any]]) -> None:
        self._assignments = assignments

    def ask(self, number: int, count: int, history: Sequence[Told]) -> list[dict[str, Any]]:
        """Return the assignments of these trials."""
        del history
        return [dict(one) for one in self._assignments[number : number + count]]
