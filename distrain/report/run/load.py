"""How busy the machines were while the run trained."""

import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, final

from distrain.report.page.frame import Axis
from distrain.report.page.lines import Lines, Point, Series, lines
from distrain.report.page.markup import Markup, joined
from distrain.report.page.parts import Column, Row, figures, note, table
from distrain.report.page.room import HALF
from distrain.report.page.shell import Section
from distrain.report.page.style import series_tone
from distrain.report.run.view import RunView

MAX_FIGURES: Final = 8
_NAME: Final = re.compile(r"system/node_(?P<node>\d+)/(?P<measure>.+)")
_GPU: Final = re.compile(r"gpu_(?P<gpu>\d+)_(?P<measure>.+)")
_CPU: Final = "cpu_utilization_percentage"
_MEMORY: Final = "system_memory_usage_percentage"
_GPU_USE: Final = "utilization_percentage"
_GPU_MEMORY: Final = "memory_usage_percentage"
_MINUTE_S: Final = 60.0


@final
@dataclass(frozen=True)
class NodeLoad:
    """How busy a node was.

    Attributes:
        number: the node's, as in `system/node_<k>/`.
        name: its host and GPUs, in words.
        measures: milliseconds since 1970 and value, in order, by the rest of the metric's name.
    """

    number: int
    name: str
    measures: Mapping[str, Sequence[tuple[int, float]]]

    def values(self, measure: str) -> list[float]:
        """Return a measure's values in order; none where it was not taken."""
        return [value for _, value in self.measures.get(measure, ())]

    def gpu_measures(self, measure: str) -> list[str]:
        """Return the names of a measure of each of its GPUs."""
        found = [(name, _GPU.fullmatch(name)) for name in self.measures]
        return sorted(name for name, match in found if match and match["measure"] == measure)


def node_loads(run: RunView) -> list[NodeLoad]:
    """Return how busy each node was, by number."""
    by_node: dict[int, dict[str, Sequence[tuple[int, float]]]] = {}
    for name, values in run.story.system.items():
        match = _NAME.fullmatch(name)
        if match:
            by_node.setdefault(int(match["node"]), {})[match["measure"]] = values
    tags = run.story.tags
    return [
        NodeLoad(number, tags.get(f"distrain.node.{number}", f"node {number}"), measures)
        for number, measures in sorted(by_node.items())
    ]


def load_section(run: RunView) -> Section | None:
    """Return how busy the nodes were; None where nobody looked."""
    loads = node_loads(run)
    if not loads:
        return None
    begin_ms = min(looks[0][0] for load in loads for looks in load.measures.values())
    drawn = [_curves(load, begin_ms) for load in loads[:MAX_FIGURES] if _has_curve(load)]
    rest = len(loads) - MAX_FIGURES
    told = [note(f"Of {rest:,} more nodes only the table tells.")] if rest > 0 else []
    content = joined([_table(loads), figures(*drawn), *told])
    lead = "The machines as a whole, whoever used them, looked at while the workers trained."
    return Section("load", "Machines", content, lead)


def _has_curve(load: NodeLoad) -> bool:
    return len(load.values(_CPU)) > 1


def _table(loads: list[NodeLoad]) -> Markup:
    has_gpus = any(load.gpu_measures(_GPU_USE) for load in loads)
    columns = [
        Column("node"),
        Column("machine"),
        Column("looks", is_number=True),
        Column("CPU, mean", is_number=True),
        Column("memory, most", is_number=True),
    ]
    if has_gpus:
        columns += [
            Column("GPUs, mean", is_number=True),
            Column("GPU memory, most", is_number=True),
        ]
    return table(columns, [Row(_cells(load, has_gpus=has_gpus)) for load in loads])


def _cells(load: NodeLoad, *, has_gpus: bool) -> list[str]:
    cpu, memory = load.values(_CPU), load.values(_MEMORY)
    cells = [
        str(load.number),
        load.name,
        f"{len(cpu):,}",
        f"{statistics.fmean(cpu):.0f} %" if cpu else "",
        f"{max(memory):.0f} %" if memory else "",
    ]
    if has_gpus:
        use = [value for name in load.gpu_measures(_GPU_USE) for value in load.values(name)]
        held = [value for name in load.gpu_measures(_GPU_MEMORY) for value in load.values(name)]
        cells.append(f"{statistics.fmean(use):.0f} %" if use else "")
        cells.append(f"{max(held):.0f} %" if held else "")
    return cells


def _curves(load: NodeLoad, begin_ms: int) -> Markup:
    names = {"CPU": _CPU, "memory": _MEMORY}
    for name in load.gpu_measures(_GPU_USE):
        match = _GPU.fullmatch(name)
        assert match is not None
        names[f"GPU {match['gpu']}"] = name
    last_ms = max(looks[-1][0] for looks in load.measures.values())
    is_long = last_ms - begin_ms > 5 * _MINUTE_S * 1000
    unit_ms = 1000 * _MINUTE_S if is_long else 1000.0
    series = [
        Series(label, _points(load, name, begin_ms, unit_ms), series_tone(place))
        for place, (label, name) in enumerate(names.items())
        if name in load.measures
    ]
    return lines(
        Lines(
            f"Node {load.number}",
            series,
            x=Axis("minutes" if is_long else "seconds"),
            y=Axis("%", range=(0.0, 100.0)),
            lead=load.name,
            size=HALF,
        )
    )


def _points(load: NodeLoad, name: str, begin_ms: int, unit_ms: float) -> list[Point]:
    return [((at - begin_ms) / unit_ms, value) for at, value in load.measures[name]]
