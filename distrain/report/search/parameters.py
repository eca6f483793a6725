"""What matters: all trials over all parameters, importance, slices, and the two most important."""

from collections.abc import Sequence

from distrain.report.page.markup import Markup, joined, tag
from distrain.report.page.parts import Piece, bars, figures, legend, note
from distrain.report.page.shell import Section
from distrain.report.page.words import share_text
from distrain.report.search.contours import contours
from distrain.report.search.dimension import Dimension
from distrain.report.search.importance import Basis, Importance, basis_of, importance
from distrain.report.search.parallel import parallel
from distrain.report.search.plot import kinds_legend
from distrain.report.search.slices import MOST, slices
from distrain.report.search.view import SearchView


def parameters_section(search: SearchView, winner: int | None) -> Section:
    """Return what the trials tell of the parameters.

    Args:
        search: the search.
        winner: its number; None: there is none.
    """
    basis = basis_of(search)
    found = importance(basis, search.dimensions)
    order = [path for path, _ in found.shares]
    scored = search.scored
    parts: list[Markup | None] = []
    if scored and search.dimensions:
        parts.append(parallel(search, winner))
    parts += [tag("h3", "Importance"), _importance(basis, found)]
    if len(scored) > 1 and search.dimensions:
        has_winner = winner is not None
        parts += [
            tag("h3", "Each parameter by itself"),
            _changed(search),
            _left_out(search),
            figures(*slices(search, order, winner)),
            legend(kinds_legend([*scored, *search.of_kind("failed")], has_winner=has_winner)),
        ]
    axes = _two(search.dimensions, order)
    if axes is not None and basis.is_enough:
        heading = tag("h3", "The two most important together")
        parts += [heading, contours(search, basis, axes, winner)]
    return Section("parameters", "What matters", joined(parts))


def _importance(basis: Basis, found: Importance) -> Markup:
    if found.reason:
        return note(f"Importance is left out: {found.reason}.")
    pieces = [Piece(path, share, share_text(share), "s0") for path, share in found.shares]
    told = "Share of the score's variance that each explains by itself (fANOVA), from "
    told += f"{basis.text}."
    if found.num_trials < len(basis.trials):
        told += f" {found.num_trials:,} of them were taken, at equal distances."
    if found.left_out:
        told += f" Left out, as they do not vary in all of these: {', '.join(found.left_out)}."
    return joined([tag("p", told, class_="lead"), bars(pieces, "parameter", "share")])


def _changed(search: SearchView) -> Markup | None:
    count = sum(bool(trial.changes) for trial in search.trials)
    if not count:
        return None
    return note(
        f"{count:,} of the trials took over from others, and changed on the way: each stands at "
        "the values that it ended with."
    )


def _left_out(search: SearchView) -> Markup | None:
    more = len(search.dimensions) - MOST
    return note(f"{more} less important parameters are left out here.") if more > 0 else None


def _two(
    dimensions: Sequence[Dimension], order: Sequence[str]
) -> tuple[Dimension, Dimension] | None:
    """Return the two most important parameters, numbers across where there are any."""
    if len(order) < 2:
        return None
    by_path = {one.path: one for one in dimensions}
    first, second = by_path[order[0]], by_path[order[1]]
    return (second, first) if first.scale is None else (first, second)
