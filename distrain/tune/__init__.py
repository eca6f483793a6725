"""A search: settings with a search space enter, its trials and the best of them leave.

What runs next, and what stops, is decided by pure code from the search's own events, so that a
search can be taken up where it was, replayed, and simulated; Ray Tune only places the work.

    space.py       what may vary                      samplers.py     what proposes
    schedulers.py  what ends early, by name           verdicts.py     decisions, ranks, sentences
    halving.py     at rungs: sha, asha, hyperband     median.py       behind the others
    plateau.py     no change any more                 explain.py      why a trial was stopped
    population.py  the worst copy the best: pbt       exploring.py    what they go on with
    plan.py        what is searched, and by what      search.py       what is done next
    events.py      the event log                      state.py        what each event changes
    replay.py      the state from earlier events      roster.py       who waits, runs, has ended
    budget.py      what may be spent, and was         failures.py     those of one cause
    trials.py      a trial, as values                 measured.py     the metric that decides
    trial.py       a trial in an actor                on_ray.py       actors on Ray Tune
    slots.py       which trial runs in which actor    sweep.py        the driver
    hangs.py       a trial that stands still          deciding.py     a metric that will be there
    review.py      trials, decisions as tables        extent.py       epochs at most, at least
    earlier.py     what an earlier search gives       counterfactual.py  another scheduler
    course.py      a search and what comes after      confirm.py      the winner's other seeds
    audit.py       how often a stop was wrong         seeds.py        several for each setting
    setting.py     what they come to together         part.py         of what comes after
    actor_environment.py  what actors start with      own_constraint.py  the user's own functions
    cleaner.py    what may be removed                 host.py         where a process works
    places.py     a search at an object store
"""

from distrain.door import make_callable

# `distrain.tune(...)` searches: see `distrain.door`.
make_callable(__name__)
