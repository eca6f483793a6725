"""What trials measured, by the metric that decides: its value, a repeat. Pure.

In: trials and their reports. Out: a value, what a user is told. Which one is better: `setting.py`.
"""

from collections.abc import Mapping

from distrain.errors import TrainError
from distrain.tune.trials import Report, Trial


def value_of(values: Mapping[str, float], metric: str, name: str) -> float:
    """Return the value of the metric that decides.

    Args:
        values: metric to value, as a trial measured them.
        metric: the one that decides.
        name: what the trial is called, for the error.

    Raises:
        TrainError: the metric is not among what was measured.
    """
    if metric not in values:
        raise TrainError(
            f"{metric} is not among what was measured: {', '.join(sorted(values))}",
            where=name,
            expected="the metric that decides in every evaluation",
            mend="Name another in tune.metric, or add it to evaluate.metrics",
        )
    return float(values[metric])


def difference(trial: Trial, again: Report, metric: str, name: str) -> str | None:
    """Return in words what a trial that went on measured otherwise than before; None: nothing.

    Args:
        trial: with all that it reported before.
        again: what it reports a second time.
        metric: what is compared, bit by bit.
        name: what the trial is called.
    """
    known = dict(trial.reports).get(again.time)
    value = again.values.get(metric)
    if known is None or value is None or repr(known) == repr(float(value)):
        return None
    return (
        f"{name} measured {metric} = {value!r} at {again.time}, and "
        f"{known!r} before it went on: its bits are broken"
    )
