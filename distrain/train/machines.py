"""Which machine `system/node_<k>/...` is about: the same one in all attempts at a run.

A machine keeps its number for good, one that comes later gets the next. It is known again by Ray's
id of its node, or by its host's name where that id is gone, as after a restart of Ray.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, final

_GPU_TYPE: Final = "accelerator_type:"


@final
@dataclass(frozen=True)
class Machine:
    """A node of the cluster.

    Attributes:
        node: Ray's id of it.
        host: name of its host; empty: unknown.
        gpus: how many GPUs of which kind it has, in words; empty: none.
    """

    node: str
    host: str
    gpus: str = ""

    @property
    def text(self) -> str:
        """Return what a person is told of it."""
        return ", ".join(filter(None, (self.host or "unknown", self.gpus)))


def machine_of(node: str, found: Sequence[Mapping[str, Any]]) -> Machine:
    """Return a node as a machine.

    Args:
        node: Ray's id of it.
        found: what `ray.nodes()` says.
    """
    said = next((one for one in found if one["NodeID"] == node), None)
    if said is None:
        return Machine(node, "")
    count = int(said["Resources"].get("GPU", 0))
    kinds = [
        name.removeprefix(_GPU_TYPE) for name in said["Resources"] if name.startswith(_GPU_TYPE)
    ]
    gpus = f"{count} x {' or '.join(sorted(kinds)) or 'GPU'}" if count else ""
    return Machine(node, said["NodeManagerHostname"], gpus)


def number_machines(
    machines: Sequence[Machine], known: Sequence[Machine]
) -> tuple[list[int], list[Machine]]:
    """Return the number of each machine, and all machines by number.

    Args:
        machines: those of an attempt.
        known: those of earlier attempts, by number.
    """
    present = {machine.node for machine in machines}
    everyone, numbers = list(known), []
    for machine in machines:
        number = _number_of(machine, everyone, present)
        everyone[number : number + 1] = [machine]
        numbers.append(number)
    return numbers, everyone


def _number_of(machine: Machine, everyone: Sequence[Machine], present: set[str]) -> int:
    for number, other in enumerate(everyone):
        if other.node == machine.node:
            return number
    for number, other in enumerate(everyone):
        if other.host == machine.host != "" and other.node not in present:
            return number
    return len(everyone)
