"""What Ray tells of an autoscaler, in each of its ways."""

import json
from types import SimpleNamespace
from typing import Any, final

import pytest
import ray
import ray._raylet
from ray._private.state import state
from ray.core.generated.autoscaler_pb2 import ClusterConfig, GetClusterResourceStateReply

from distrain.train.growth import FIXED, Growth, NodeType
from distrain.train.nodes import growth


@final
class Store:
    """Ray's control store, as far as it is asked."""

    report: dict[str, Any] | None = None
    names: tuple[str, ...] = ("",)

    def __init__(self, address: str) -> None:
        assert address == "head:1"

    def internal_kv_get(self, key: bytes, *_: Any, **__: Any) -> bytes | None:
        assert key == b"__autoscaling_status"
        return None if self.report is None else json.dumps(self.report).encode()

    def get_cluster_resource_state(self) -> bytes:
        reply = GetClusterResourceStateReply()
        for name in self.names:
            reply.cluster_resource_state.node_states.add(ray_node_type_name=name)
        return bytes(reply.SerializeToString())


@pytest.fixture(autouse=True)
def store(monkeypatch: pytest.MonkeyPatch) -> type[Store]:
    monkeypatch.setattr(state, "get_cluster_config", lambda: None)
    monkeypatch.setattr(ray, "get_runtime_context", lambda: SimpleNamespace(gcs_address="head:1"))
    monkeypatch.setattr(ray._raylet, "GcsClient", Store)
    monkeypatch.setattr(Store, "report", None)
    monkeypatch.setattr(Store, "names", ("",))
    return Store


def test_nodes_that_were_started_by_hand_have_no_type(store: type[Store]) -> None:
    assert growth() == FIXED


def test_a_cluster_that_is_only_looked_at_has_types_that_are_made_up(store: type[Store]) -> None:
    store.report = {"autoscaler_report": {"active_nodes": {"node_9254feaa": 1}, "idle_nodes": None}}

    assert growth() == FIXED


@pytest.mark.parametrize("kind", ["active_nodes", "idle_nodes"])
def test_the_first_autoscaler_is_known_by_its_types(kind: str, store: type[Store]) -> None:
    store.report = {"autoscaler_report": {"active_nodes": {}, kind: {"ray.head.default": 1}}}

    assert growth() == Growth(True, None)


def test_the_second_autoscaler_is_known_by_its_nodes(store: type[Store]) -> None:
    store.names = ("", "small-group")

    assert growth() == Growth(True, None)


def test_an_autoscaler_that_tells_what_it_brings_is_believed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = ClusterConfig()
    config.node_group_configs.add(resources={"CPU": 4}, max_count=2)
    config.node_group_configs.add(resources={"GPU": 1}, max_count=-1)
    monkeypatch.setattr(state, "get_cluster_config", lambda: config)

    assert growth() == Growth(True, (NodeType({"CPU": 4}, 2), NodeType({"GPU": 1}, None)))
