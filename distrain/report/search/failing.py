"""What failed, by cause, with the last lines that its workers wrote."""

from distrain.report.page.markup import Markup, joined, tag
from distrain.report.page.parts import facts, folded, note, to_paste, told
from distrain.report.page.shell import Section
from distrain.report.page.words import counted
from distrain.report.search.view import Cause, SearchView

_SHOWN_CAUSES = 12
_SHOWN_TRIALS = 12
_OPEN = 3
"""So many causes have their logs open; those of the others are folded."""


def failing_section(search: SearchView) -> Section:
    """Return the trials that failed, which are others than those that were stopped.

    Args:
        search: the search.
    """
    lost = sum(trial.num_lost for trial in (*search.trials, *search.told.later))
    remark = f"Processes were lost {lost:,} times; what could go on was taken up again."
    parts = [_cause(at, one) for at, one in enumerate(search.causes[:_SHOWN_CAUSES])]
    more = search.causes[_SHOWN_CAUSES:]
    if more:
        count = sum(len(cause.trials) for cause in more)
        parts.append(note(f"{len(more):,} further causes, of {count:,} trials, are left out here."))
    if lost:
        parts.append(note(remark))
    return Section("failures", "Failures", joined(parts), _lead(search))


def _lead(search: SearchView) -> str:
    failed = sum(len(cause.trials) for cause in search.causes)
    stopped = len(search.of_kind("stopped"))
    apart = f" The {stopped:,} that were stopped are none of them." if stopped else ""
    if not failed:
        return "No trial failed."
    return f"{counted(failed, 'trial')} failed, of {counted(len(search.causes), 'cause')}.{apart}"


def _cause(at: int, cause: Cause) -> Markup:
    error = cause.error
    count = len(cause.trials)
    trials = counted(count, "trial")
    numbers = ", ".join(map(str, cause.trials[:_SHOWN_TRIALS]))
    rest = f" and {count - _SHOWN_TRIALS:,} more" if count > _SHOWN_TRIALS else ""
    rows = [
        ("Trials", f"{numbers}{rest}"),
        ("Where", error.where),
        ("Expected", error.expected),
        ("To mend it", error.mend),
    ]
    logs = [
        folded(f"The end of {log.file}", to_paste("\n".join(log.lines)), is_open=at < _OPEN)
        for log in cause.logs
    ]
    if not logs:
        logs = [note("There is no log of it any more, or it wrote none.")]
    heading = tag("h3", told(f"{trials}: ", "bad"), error.message)
    return tag("div", heading, facts(rows), *logs, class_="cause")
