"""How many epochs a search takes, at most and at least, told by its scheduler on made-up curves.

At most: every trial is better than all before it, so that nothing that judges trials as they come
stops any. At least: every trial is worse than all before it. What compares whole rungs stops as
many either way.
"""

from collections import deque

from distrain.config.settings import Settings
from distrain.tune.schedulers import build_scheduler


def epochs_between(settings: Settings, steps_per_epoch: int) -> tuple[int, int]:
    """Return the least and the greatest number of epochs that all trials take together.

    A trial's own early stopping is left out, and so is what differs between trials in length.

    Args:
        settings: resolved, with a `tune` section.
        steps_per_epoch: of the configuration as it is written.
    """
    least, most = epochs_of_settings(settings, steps_per_epoch)
    return round(sum(least)), round(sum(most))


def epochs_of_settings(
    settings: Settings, steps_per_epoch: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the epochs of each setting, where all of them take the least together, and the most.

    What a budget of epochs cuts off is taken from all of them alike.

    Args:
        settings: as `epochs_between` takes them.
        steps_per_epoch: likewise.
    """
    least, most = (_epochs(settings, steps_per_epoch, is_worse=worse) for worse in (True, False))
    most = max(least, most, key=sum)
    budget = settings.tune.budget.epochs if settings.tune else None
    return _within(budget, least), _within(budget, most)


def _within(budget: int | None, epochs: tuple[float, ...]) -> tuple[float, ...]:
    share = _share(budget, sum(epochs))
    return tuple(one * share for one in epochs)


def _share(budget: int | None, epochs: float) -> float:
    return 1.0 if budget is None else min(1.0, budget / epochs)


def epochs_afterwards(settings: Settings, steps_per_epoch: int) -> int:
    """Return about how many epochs come after a search: the winner's other seeds, and the audit.

    The audit is of what the scheduler stops, where it stops as many as it can, and not of what a
    budget of epochs cuts off: by that there are fewer stops in the same measure.

    Args:
        settings: resolved, with a `tune` section.
        steps_per_epoch: of the configuration as it is written.
    """
    tune = settings.tune
    assert tune is not None
    assert tune.num_trials is not None
    epochs = _epochs_of_trial(settings, steps_per_epoch)
    least = sum(_epochs(settings, steps_per_epoch, is_worse=True))
    saved = _share(tune.budget.epochs, least) * max(0.0, tune.num_trials * epochs - least)
    return (tune.confirm or 0) * epochs + round((tune.audit_fraction or 0.0) * saved)


def _epochs_of_trial(settings: Settings, steps_per_epoch: int) -> int:
    return settings.train.epochs or -(-(settings.train.steps or 1) // steps_per_epoch)


def _every(settings: Settings, *, is_by_step: bool) -> int:
    """Return the time between two reports of a trial, in the scheduler's unit."""
    evaluate = settings.evaluate
    return (evaluate.every_steps if is_by_step else evaluate.every_epochs) or 1


def _epochs(settings: Settings, steps_per_epoch: int, *, is_worse: bool) -> tuple[float, ...]:
    tune = settings.tune
    assert tune is not None
    assert tune.num_trials is not None
    scheduler = build_scheduler(settings, tune.num_trials // tune.num_seeds)
    is_by_step = getattr(tune.scheduler, "time_attr", "epoch") == "step"
    epochs = _epochs_of_trial(settings, steps_per_epoch)
    last = settings.train.steps if is_by_step and settings.train.steps else epochs
    every = _every(settings, is_by_step=is_by_step)
    sign = 1.0 if is_worse == (tune.mode == "min") else -1.0
    times: list[int] = []
    ready: deque[int] = deque()
    while True:
        if not ready and (wanted := scheduler.num_wanted(len(times))):
            ready.extend(range(len(times), len(times) + wanted))
            times += [0] * wanted
        if not ready:
            break
        trial = ready.popleft()
        verdicts = []
        is_going = True
        while is_going and times[trial] < last:
            times[trial] = min(times[trial] + every, last)
            is_measured = times[trial] % every == 0  # at its end a trial reports no more than that
            verdicts = scheduler.report(trial, times[trial], sign * trial) if is_measured else []
            own = [verdict for verdict in verdicts if verdict.trial == trial]
            is_going = scheduler.pause_at(trial) != times[trial] and not any(
                verdict.action != "go_on" for verdict in own
            )
            others = [v.trial for v in verdicts if v.action == "go_on" and v.trial != trial]
            ready.extend(other for other in others if times[other] < last)
            if own and own[0].action == "go_on":
                is_going = True
        if times[trial] == last:
            scheduler.leave(trial)
        elif scheduler.pause_at(trial) == times[trial]:
            ready.extend(verdict.trial for verdict in scheduler.saved(trial))
    return tuple(tune.num_seeds * time * epochs / last for time in times)
