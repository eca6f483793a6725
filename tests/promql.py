"""What a Prometheus query of ours, or of Ray's dashboard, asks for; no general parser."""

import re

_SELECTOR = re.compile(r"\b(ray_\w+)(?:\{([^}]*)\})?")
_LABEL = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")
_KEPT = re.compile(r"\bby\s*\(([^)]*)\)")


def asked_for(query: str, *, only_kept: bool = False) -> list[tuple[str, set[str]]]:
    """Return the metrics of a query, each with the labels that are asked of it.

    Args:
        query: with selectors `name{label="value"}`, and `by (label)`, which counts for all of them.
        only_kept: whether only labels count that the result has: those of `by`.
    """
    kept = {name.strip() for names in _KEPT.findall(query) for name in names.split(",")}
    return [
        (metric, kept if only_kept else {*kept, *_LABEL.findall(selected)})
        for metric, selected in _SELECTOR.findall(query)
    ]
