"""What a run or a search would do, as a table: what `--dry-run` ends with."""

from typing import TYPE_CHECKING

from distrain.cost import estimate_text
from distrain.durations import duration_text
from distrain.report.tables import Facts

if TYPE_CHECKING:
    from distrain.estimates import Estimate, NamedCode, SearchEstimate


def estimate_table(estimate: "Estimate | SearchEstimate") -> Facts:
    """Return what a run or a search would do, for `--dry-run`."""
    from distrain.estimates import SearchEstimate  # whoever has an estimate has loaded it

    facts = Facts()
    run = estimate.trial if isinstance(estimate, SearchEstimate) else estimate
    facts.add("data", run.data)
    facts.add("rows", ", ".join(f"{name} {rows:,}" for name, rows in run.rows.items()))
    if isinstance(estimate, SearchEstimate):
        _add_trials(facts, estimate)
    else:
        _add_steps(facts, estimate)
    facts.add("tracking", run.tracking)
    facts.add("code", "; ".join(map(_code_text, estimate.code)))
    return facts


def _code_text(code: "NamedCode") -> str:
    """Return what is run of the user's own, and where it lies."""
    return f"{code.target} ({code.key}), from {code.file or 'Python itself'}"


def _add_steps(facts: Facts, estimate: "Estimate") -> None:
    """Add what a run would take."""
    facts.add("steps", f"{estimate.steps:,} ({estimate.steps_per_epoch:,} per epoch)")
    if estimate.num_parameters is not None:
        facts.add("model", f"{estimate.num_parameters:,} parameters")
    facts.add("placement", estimate.placement)
    if estimate.worker_bytes is not None:
        memory = f"about {estimate.worker_bytes / 2**20:,.1f} MiB of state per worker"
        facts.add("memory", f"{memory}, beside torch itself and a batch's activations")
    if estimate.num_parameters is None:
        facts.add("time", "unknown until the data is prepared: distrain prepare")
    elif estimate.train_s is None:
        facts.add("time", "unknown: training rows are streamed, and reading them is not timed")
    else:
        assert estimate.train_s_low is not None
        assert estimate.train_s_high is not None
        between = _between(estimate.train_s_low, estimate.train_s_high)
        told = f"about {duration_text(estimate.train_s)} of training steps"
        facts.add("time", told if between is None else f"{told}: {between}")
        facts.add("cost", estimate_text(estimate.cost_low, estimate.cost_high))
        facts.add("timed", estimate.how)


def _add_trials(facts: Facts, estimate: "SearchEstimate") -> None:
    """Add what a search would take."""
    count = estimate.num_concurrent
    at_a_time = f"{count:,} at a time" if count else "as many at a time as fit on the cluster"
    size = estimate.workers_per_trial
    each = f", each of {size} workers" if size > 1 else ""
    facts.add("trials", f"{estimate.num_trials:,}, {at_a_time}{each}")
    least, most = estimate.epochs_at_least, estimate.epochs_at_most
    facts.add("epochs", f"{least:,}" if least == most else f"{least:,} to {most:,}")
    after = estimate.epochs_afterwards
    told = f"about {after:,} epochs more, for tune.confirm and tune.audit_fraction"
    facts.add("afterwards", told if after else "")
    if estimate.trial.num_parameters is not None:
        facts.add("model", f"{estimate.trial.num_parameters:,} parameters, as written")
    if estimate.at_least_s is None or estimate.at_most_s is None:
        why = ": training rows are streamed, and reading them is not timed"
        facts.add("time", f"unknown{'' if estimate.probes else why}")
    else:
        between = _between(estimate.at_least_s, estimate.at_most_s)
        told = between or duration_text(estimate.at_most_s)
        facts.add("time", f"about {told} of training steps")
    facts.add("cost", estimate_text(estimate.cost_at_least, estimate.cost_at_most))
    facts.add("timed", estimate.how)


def _between(low_s: float, high_s: float) -> str | None:
    """Return the ends of an interval in words; None where they read the same."""
    low, high = duration_text(low_s), duration_text(high_s)
    return None if low == high else f"{low} to {high}"
