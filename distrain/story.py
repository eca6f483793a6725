"""What the descriptions of runs and searches have in common: data, changes, code, cost, makers.

In: what is recorded of a run. Out: texts of one line each, in Markdown, none of them made up: what
is not known is said not to be.
"""

import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

from distrain.config.settings import Settings
from distrain.display import duration_text
from distrain.redaction import redacted, without_credentials
from distrain.results import finding_text
from distrain.run_folder import JOURNAL
from distrain.since import Since, since_last_run
from distrain.track.journal_reading import DRIVER, written_by
from distrain.track.lineage_folder import DIFF, FOLDER
from distrain.track.model_versions import RegisteredVersion
from distrain.track.origin import JOB_TAG
from distrain.track.record import RunFacts
from distrain.track.sending import GOES_ON

_SPLITS: Final = ("train", "validation", "test")
_MAX_SOURCES: Final = 3
_MAX_FINDINGS: Final = 5
_MAX_CHANGES: Final = 10
_MAX_VALUE: Final = 80
_DIGEST: Final = 12
_ATTEMPTS: Final = "attempts"
_HOUR_S: Final = 3600


@final
@dataclass(frozen=True)
class Past:
    """What happened to a run between its first record and its last.

    Attributes:
        began_ms: when its last driver began, in milliseconds since 1970.
        num_drivers: how often it was begun, or gone on with.
        workers: number of workers of each of the last driver's attempts.
        told: what was told of workers that were lost, and of others that came.
    """

    began_ms: int
    num_drivers: int
    workers: str
    told: tuple[str, ...]

    @classmethod
    def of(cls, run_dir: Path) -> "Past":
        """Return what a run's journal tells."""
        folder = run_dir / JOURNAL
        began_ms, num_drivers = 0, 1
        for record in written_by(DRIVER, folder):
            goes_on = record.kind == "status" and record.payload["status"] == GOES_ON
            num_drivers += goes_on
            began_ms = record.time_ms if goes_on or not began_ms else began_ms
        workers, told = "", []
        for record in written_by(_ATTEMPTS, folder):
            if record.kind == "note":
                told.append(str(record.payload["text"]))
            elif record.kind == "tags":
                workers = record.payload.get("distrain.workers_by_attempt", workers)
        return cls(began_ms, num_drivers, workers, tuple(told))

    @property
    def text(self) -> str:
        """Return it in one line."""
        if self.num_drivers == 1 and "," not in self.workers and not self.told:
            return "no, from start to end"
        times = "once" if self.num_drivers == 2 else f"{self.num_drivers - 1} times"
        parts = [f"gone on with {times}"] if self.num_drivers > 1 else []
        parts += [f"workers by attempt: {self.workers}"] if self.workers else []
        return "; ".join([*parts, *map(plain, self.told[-_MAX_FINDINGS:])])


def plain(text: object) -> str:
    """Return a text in one line that breaks no table, without secrets."""
    return redacted(" ".join(str(text).split())).replace("|", "\\|")


def assignment_text(assignment: Mapping[str, Any]) -> str:
    """Return the values of a trial in one line."""
    values = (f"`{key}` = {plain(value)[:_MAX_VALUE]}" for key, value in assignment.items())
    return ", ".join(values) or "as written"


def data_text(manifest: Mapping[str, Any], digest: str) -> str:
    """Return what a run was trained on, and where that is said in full."""
    sources = manifest.get("sources", [])
    uris = [plain(without_credentials(str(source["uri"]))) for source in sources]
    more = f" and {len(uris) - _MAX_SOURCES:,} more" if len(uris) > _MAX_SOURCES else ""
    splits = manifest.get("splits", {})
    rows = ", ".join(
        f"{name} {splits[name]['num_rows']:,}"
        for name in sorted(splits, key=lambda name: (*_SPLITS, name).index(name))
    )
    source = ", ".join(uris[:_MAX_SOURCES]) + more
    return f"{source}; rows: {rows}; [digest {digest[:_DIGEST]}](distrain:artifacts/{FOLDER})"


def findings_text(manifest: Mapping[str, Any]) -> str:
    """Return what was found in the data, which the model has to live with."""
    found = [plain(finding_text(finding)) for finding in manifest.get("findings", [])]
    more = [f"and {len(found) - _MAX_FINDINGS} more"] if len(found) > _MAX_FINDINGS else []
    return "; ".join([*found[:_MAX_FINDINGS], *more]) or "none"


def changes_text(run_dir: Path) -> str:
    """Return what has changed since the last run of the experiment."""
    since = since_last_run(run_dir)
    if since is None:
        return "there is no earlier run here to compare with"
    return f"since {since.run}: {_differences_text(since)}"


def _differences_text(since: Since) -> str:
    found = [plain(difference.text) for difference in since.differences]
    more = [f"and {len(found) - _MAX_CHANGES} more"] if len(found) > _MAX_CHANGES else []
    return "; ".join([*found[:_MAX_CHANGES], *more]) or "nothing"


def code_text(tags: Mapping[str, str]) -> str:
    """Return by which code a run was made."""
    version = f"distrain {tags.get('distrain.version', 'unknown')}"
    commit = tags.get("distrain.code.commit")
    if commit is None:
        return f"{version}; outside of git, [kept with the run](distrain:artifacts/{FOLDER})"
    is_dirty = tags.get("distrain.code.dirty") == "true"
    changes = f" with [uncommitted changes](distrain:artifacts/{FOLDER}/{DIFF})" if is_dirty else ""
    return f"{version}; commit {commit[:_DIGEST]}{changes}"


def cost_text(wall_s: float, gpu_hours: float, settings: Settings) -> str:
    """Return what a run took: time, GPU-hours, and money where a price is stated."""
    if not gpu_hours:
        return f"{duration_text(wall_s)}; no GPU"
    price = settings.cluster.price_per_gpu_hour
    money = f"; {gpu_hours * price:.2f} at {price:g} for a GPU-hour" if price else ""
    return f"{duration_text(wall_s)}; {gpu_hours:.3g} GPU-hours{money}"


def gpu_hours(seconds: float, gpus: float) -> float:
    """Return the hours of some GPUs that were held for so long."""
    return seconds * gpus / _HOUR_S


def machine_text(tags: Mapping[str, str]) -> str:
    """Return what a run's driver ran on."""
    names = ("distrain.host", "distrain.system", "distrain.cpu")
    return plain(", ".join(tags[name] for name in names if name in tags))


def maker_text(tags: Mapping[str, str]) -> str:
    """Return who made a run, and by which command."""
    job = f", as job {tags[JOB_TAG]}" if JOB_TAG in tags else ""
    return plain(f"{tags.get('mlflow.user')}{job}, by `{tags.get('mlflow.source.name')}`")


def limits_text(facts: RunFacts) -> str:
    """Return on how many rows a model was measured, and what speaks against trusting that."""
    splits: Mapping[str, Any] = facts.manifest.get("splits", {})
    num_test = splits.get("test", {}).get("num_rows", 0)
    measured = (
        f"measured on {num_test:,} test rows, by which nothing was chosen"
        if num_test
        else "measured on no test rows: the validation split steered training, and flatters"
    )
    bits = facts.tags.get("distrain.bits")
    told = [measured, f"bits {bits}" if bits else "", f"left in the data: {_left(facts)}"]
    return "; ".join(filter(None, told))


def _left(facts: RunFacts) -> str:
    return findings_text(facts.manifest)


def model_text(version: RegisteredVersion | None, judged: str) -> str:
    """Return what was registered, and whether it goes into production."""
    if version is None:
        return f"not registered yet. {judged}".strip()
    alias = f", which has the alias {version.alias}" if version.alias else ""
    place = f"distrain:model/{urllib.parse.quote(version.name)}/{version.version}"
    return f"[{version.name} version {version.version}]({place}){alias}. {judged}".strip()


def version_uri(version: RegisteredVersion) -> str:
    """Return the URI that names a version for good, whatever its aliases do."""
    return f"models:/{version.name}/{version.version}"


def row(cells: Sequence[object]) -> str:
    """Return the row of a Markdown table."""
    return f"| {' | '.join(map(str, cells))} |"
