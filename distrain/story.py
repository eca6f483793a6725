"""What the descriptions of runs and searches have in common: data, changes, code, cost, makers.

In: what is recorded of a run. Out: texts of one line each, in Markdown, none of them made up: what
is not known is said not to be.
"""

import urllib.parse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from distrain.config.course import changes_of, current_values
from distrain.differences import change_text
from distrain.past.story import Story
from distrain.redaction import without_credentials
from distrain.results import RunStatus, findings_in_brief
from distrain.run_folder import REPORT, REPORT_ARTIFACTS
from distrain.since import Since, compare_line, since_last_run
from distrain.track import describe
from distrain.track.lineage_folder import DIFF, FOLDER
from distrain.track.markdown import code, plain
from distrain.track.model_versions import RegisteredVersion
from distrain.track.origin import JOB_TAG
from distrain.track.record import RunFacts

REPORT_LINK: Final = f"[Report](distrain:artifacts/{REPORT_ARTIFACTS}/{REPORT})"
"""Of a run, or a search: its page without a network, which the UI draws among the artifacts."""
_SPLITS: Final = ("train", "validation", "test")
_MAX_SOURCES: Final = 3
_MAX_FINDINGS: Final = 5
_MAX_CHANGES: Final = 10
_MAX_VALUE: Final = 80
_DIGEST: Final = 12
_CUT_SHORT: Final[Mapping[RunStatus, str]] = {
    "failed": "it failed before its end",
    "interrupted": "it was interrupted, and can be gone on with",
}


def interrupted_text(past: Story, status: RunStatus) -> str:
    """Return in one line what happened to a run between its first record and its last.

    Args:
        past: what its journal tells of commands and attempts.
        status: how it stands now, in the words of its result.
    """
    notes = [plain(note.text) for note in past.notes if note.is_of_attempts]
    workers = ", ".join(str(attempt.num_workers) for attempt in past.attempts)
    if len(past.sessions) <= 1 and len(past.attempts) <= 1 and not notes:
        return interruptions_text([], status)
    often = len(past.sessions) - 1
    parts = [f"gone on with {_times(often)}"] if often > 0 else []
    parts += [f"workers by attempt: {workers}"] if workers else []
    return interruptions_text([*parts, *notes[-_MAX_FINDINGS:]], status)


def interruptions_text(told: Sequence[str], status: RunStatus) -> str:
    """Return what interrupted a run or search, or that nothing did.

    Args:
        told: what did before.
        status: how it stands now, in the words of its result.
    """
    return "; ".join([*told, *filter(None, [_CUT_SHORT.get(status)])]) or "no, from start to end"


def assignment_text(assignment: Mapping[str, Any]) -> str:
    """Return the values of a trial in one line; those at its end, where they changed."""
    values = current_values(assignment)
    told = ", ".join(f"{code(key)} = {plain(value, _MAX_VALUE)}" for key, value in values.items())
    changes = changes_of(assignment)
    if not changes:
        return told or "as written"
    first, last = changes[0]["step"], changes[-1]["step"]
    when = f"at step {first:,}" if first == last else f"between step {first:,} and {last:,}"
    return f"{told}; changed {_times(len(changes))}, {when}"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"


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
    found = list(map(plain, findings_in_brief(manifest.get("findings", []))))
    more = [f"and {len(found) - _MAX_FINDINGS} more"] if len(found) > _MAX_FINDINGS else []
    return "; ".join([*found[:_MAX_FINDINGS], *more]) or "none"


def changes_text(run_dir: Path) -> str:
    """Return what has changed since the last run of the experiment."""
    since = since_last_run(run_dir)
    if since is None:
        return "there is no earlier run here to compare with"
    return f"since {since.run}: {_differences_text(since)}"


def other_run_text(run_dir: Path) -> str:
    """Return the command that tells what differs from any other run."""
    return code(compare_line(run_dir))


def _differences_text(since: Since) -> str:
    rows = since.differences.causes
    found = [plain(change_text(row.part, row.what, *row.values)) for row in rows]
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


def machine_text(tags: Mapping[str, str]) -> str:
    """Return what a run's driver ran on."""
    names = ("distrain.host", "distrain.system", "distrain.cpu")
    return plain(", ".join(tags[name] for name in names if name in tags))


def maker_text(tags: Mapping[str, str]) -> str:
    """Return who made a run, and by which command."""
    user = tags.get("mlflow.user", "nobody known")
    job = f", as job {tags[JOB_TAG]}" if JOB_TAG in tags else ""
    command = tags.get("mlflow.source.name")
    return plain(f"{user}{job}") + (f", by {code(command)}" if command else "")


def limits_text(facts: RunFacts, metrics: Mapping[str, float]) -> str:
    """Return on how many rows a model was measured, and what speaks against trusting that.

    Args:
        facts: what was recorded of the run.
        metrics: everything that was measured.
    """
    splits: Mapping[str, Any] = facts.manifest.get("splits", {})
    measured = _measured(splits.get("test", {}).get("num_rows", 0), metrics)
    bits = facts.tags.get("distrain.bits")
    left = f"left in the data: {findings_text(facts.manifest)}"
    return "; ".join(filter(None, [measured, f"bits {plain(bits)}" if bits else "", left]))


def _measured(num_test: int, metrics: Mapping[str, float]) -> str:
    if any(name.startswith("test/") for name in metrics):
        return f"measured on {num_test:,} test rows, by which training chose nothing"
    if num_test:
        return f"nothing was measured on the {num_test:,} test rows"
    return "measured on no test rows: the validation split steered training, and flatters"


def model_text(version: RegisteredVersion | None, waiting: str | None, judged: str) -> str:
    """Return what was registered, and whether it goes into production.

    Args:
        version: what was; None: nothing.
        waiting: the name under which the model is still to be registered; None: it is not.
        judged: what the gate decided.
    """
    if version is None:
        told = "not registered"
        if waiting is not None:
            told += " when this was written: `distrain sync`, or the next command that trains, "
            told += f"registers it as {plain(waiting)}"
        return f"{told}. {judged}".strip()
    alias = f", which has the alias {plain(version.alias)}" if version.alias else ""
    place = f"distrain:model/{urllib.parse.quote(version.name)}/{version.version}"
    return f"[{plain(version.name)} version {version.version}]({place}){alias}. {judged}".strip()


def load_text(version: RegisteredVersion | None, waiting: str | None) -> list[str]:
    """Return Markdown lines by which the model is loaded; none: it is not registered.

    Args:
        version: what was registered; it is named for good, whatever its aliases do.
        waiting: as in `model_text`; without a number it is the newest of its name.
    """
    if version is not None:
        return ["", *describe.load_lines(f"models:/{version.name}/{version.version}")]
    if waiting is None:
        return []
    first = "Once it is registered, and while no version of its name is newer:"
    return ["", first, "", *describe.load_lines(f"models:/{waiting}/{describe.NEWEST}")]


def row(cells: Sequence[object]) -> str:
    """Return the row of a Markdown table."""
    return f"| {' | '.join(map(str, cells))} |"
