"""What an autoscaler may still bring."""

from collections.abc import Mapping

from distrain.train.bounds import ANY_NUMBER
from distrain.train.growth import FIXED, Growth, NodeType


def one_per_cpu(resources: Mapping[str, float]) -> int:
    return int(resources.get("CPU", 0))


def test_without_an_autoscaler_nothing_comes() -> None:
    assert FIXED.room(one_per_cpu) == 0


def test_an_autoscaler_that_does_not_tell_may_bring_anything() -> None:
    assert Growth(True, None).room(one_per_cpu) == ANY_NUMBER


def test_an_autoscaler_brings_its_types_of_nodes_and_no_more() -> None:
    types = (NodeType({"CPU": 4.0}, 2), NodeType({"CPU": 1.0}, 3), NodeType({"GPU": 8.0}, None))

    assert Growth(True, types).room(one_per_cpu) == 11


def test_nodes_without_a_limit_have_room_for_any_number() -> None:
    assert Growth(True, (NodeType({"CPU": 4.0}, None),)).room(one_per_cpu) == ANY_NUMBER
