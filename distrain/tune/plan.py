"""What a search is given: what it searches, by what, and within which limits."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import final

from distrain.config.names import Mode
from distrain.tune.budget import Budget
from distrain.tune.exploring import Explorer
from distrain.tune.samplers import Sampler
from distrain.tune.schedulers import Scheduler
from distrain.tune.trials import Report


@final
@dataclass(frozen=True)
class Begun:
    """What a trial has come to before the search that it is in.

    Attributes:
        reports: (time, value of the metric), in order; what it reports of these again is compared.
        epoch: its whole epochs, which are not spent again.
        step: committed steps.
        attempt: how often it was given away.
        untold: what it measured behind these reports and nobody was told: its next ones.
    """

    reports: tuple[tuple[int, float], ...]
    epoch: int
    step: int
    attempt: int
    untold: tuple[Report, ...] = ()


@final
@dataclass(frozen=True)
class SearchPlan:
    """What is searched, and by what.

    Attributes:
        num_trials: how many there are at most.
        metric: what decides, such as `validation/loss`.
        mode: whether less or more is better.
        sampler: proposes.
        scheduler: ends trials early; fresh, it is told all that happened.
        budget: what may be spent.
        gpus_per_trial: of which a budget of GPU-hours counts.
        max_losses: how often a trial may lose its process.
        begun: trial to what it has come to already; the others begin.
        num_seeds: trials of a setting, which differ in their seed alone: see `seeds.py`.
        explorer: what gives trials that take over from others their settings; None: none does.
        names: trial to what it is called, where that is not `trial` and its number.
    """

    num_trials: int
    metric: str
    mode: Mode
    sampler: Sampler
    scheduler: Scheduler
    budget: Budget = field(default_factory=Budget)
    gpus_per_trial: float = 0.0
    max_losses: int = 3
    begun: Mapping[int, Begun] = field(default_factory=dict)
    num_seeds: int = 1
    explorer: Explorer | None = None
    names: Mapping[int, str] = field(default_factory=dict)

    def name_of(self, number: int) -> str:
        """Return what a trial is called where a user is told of it."""
        return self.names.get(number, f"trial {number}")
