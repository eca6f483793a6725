"""What a node of Ray serves to Prometheus, read as Prometheus reads it."""

import re
import urllib.request
from typing import Final

_SAMPLE: Final = re.compile(r"(\w+)(?:\{(.*)\})? (\S+)")
_LABEL: Final = re.compile(r'(\w+)="([^"]*)"')


def scrape(url: str) -> dict[str, list[tuple[dict[str, str], float]]]:
    """Return the metrics that are served now: each series' labels and value, by name."""
    with urllib.request.urlopen(url, timeout=10) as answer:
        text = answer.read().decode()
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for line in text.splitlines():
        sample = _SAMPLE.fullmatch(line)
        if sample is not None:
            name, labels, value = sample.groups()
            found.setdefault(name, []).append((dict(_LABEL.findall(labels or "")), float(value)))
    return found
