"""What the facts of the tracking store, of earlier runs and of measured GPUs mean. Pure."""

from collections.abc import Sequence
from statistics import median
from typing import Final

from distrain.jobs.doctor.facts import Speed
from distrain.jobs.doctor.findings import Finding, counted, finding_of, names, ok_unless
from distrain.jobs.doctor.look import LeftRun
from distrain.track.examination import TrackingFacts

SLOW_FRACTION: Final = 0.85
"""Below so much of the others' median, a card or its links count as slow."""


def judge_tracking(facts: TrackingFacts) -> list[Finding]:
    """Return whether runs can be recorded, and models registered, at the tracking store."""
    if facts.error is not None:
        return [finding_of("MLflow", facts.error)]
    where = f"{facts.origin} = {facts.shown}"
    if not facts.is_made:
        return [Finding("MLflow", "ok", f"{facts.shown}: the first run makes it")]
    found = []
    if facts.version is not None and _minor(facts.version) != _minor(facts.own_version):
        found.append(
            Finding(
                "MLflow",
                "warning",
                f"the server has MLflow {facts.version}, this machine {facts.own_version}",
                mend=f"pip install mlflow=={facts.version} here, or upgrade the server",
                where=where,
            )
        )
    if facts.registry_error is not None:
        found.append(finding_of("registry", facts.registry_error))
    told = f"{facts.shown}{f', MLflow {facts.version}' if facts.version else ''}"
    return ok_unless(found, "MLflow", f"{told}: records, and registered a model version on trial")


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def judge_runs(runs: Sequence[LeftRun], storage: str) -> list[Finding]:
    """Return which runs were left by their driver, and which journals hold what MLflow lacks."""
    found = []
    left = [run.name for run in runs if run.is_unfinished]
    if left:
        text = f"{counted(len(left), 'run')} without an end, and without a driver: {names(left)}"
        mend = f"distrain resume {left[0]}, or remove its folder"
        found.append(Finding("runs", "warning", text, mend, storage))
    waiting = [run.name for run in runs if run.is_pending]
    if waiting:
        text = f"{counted(len(waiting), 'journal')} with what MLflow lacks: {names(waiting)}"
        mend = f"distrain sync --storage {storage}"
        found.append(Finding("runs", "warning", text, mend, storage))
    return ok_unless(found, "runs", f"none was left below {storage}")


def judge_speeds(speeds: Sequence[Speed]) -> list[Finding]:
    """Return which GPUs, and which nodes' links, are slower than the others.

    Args:
        speeds: what was measured, a value a node.
    """
    cards = {
        f"GPU {number} on {speed.host}": value
        for speed in speeds
        for number, value in enumerate(speed.tflops)
    }
    links = {speed.host: speed.link for speed in speeds if speed.link is not None}
    found = []
    for speed in speeds:
        if speed.why is not None:
            mend = "Free the node's GPUs and try again; `nvidia-smi` there tells who has them"
            found.append(Finding("GPU speed", "warning", speed.why, mend, speed.host))
    found += _slow(
        cards,
        "TFLOP/s in a matrix product",
        "`nvidia-smi -q -d PERFORMANCE,CLOCK` "
        "there: heat, a power limit, or another process on the card",
    )
    found += _slow(
        links,
        "GB/s in an all-reduce",
        "`nvidia-smi topo -m` there: a link that fell back to PCIe, or a card in a narrow slot",
    )
    told = []
    if cards:
        told.append(f"{counted(len(cards), 'GPU')}, {median(cards.values()):,.0f} TFLOP/s each")
    if links:
        told.append(f"all-reduce {median(links.values()):,.0f} GB/s")
    elif cards:
        told.append("no all-reduce: no node has two GPUs")
    return ok_unless(found, "GPU speed", ", ".join(told)) if told or found else []


def _slow(values: dict[str, float], unit: str, look: str) -> list[Finding]:
    """Return findings about what is far below the median of all."""
    if len(values) < 2:
        return []
    usual = median(values.values())
    return [
        Finding(
            "GPU speed",
            "warning",
            f"{value:,.0f} {unit}, where the median is {usual:,.0f}",
            mend=f"Look by {look}",
            where=where,
        )
        for where, value in values.items()
        if value < SLOW_FRACTION * usual
    ]
