"""`explain` and pydantic have to agree on what is valid, whatever comes."""

from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from distrain.config.explain import explain
from distrain.config.settings import Settings
from tests.any_text import ANY_CHARACTER

VALID = {
    "name": "a",
    "seed": 0,
    "storage": "runs",
    "data": {
        "source": {"idx": {"images": "i", "labels": "l"}},
        "test_source": ["a", "b"],
        "target": "y",
        "positive": 1,
        "labels": {"a": "b"},
        "read": {"names": ["x"], "delimiter": ",", "na_values": ["?"]},
        "features": {"x": {"kind": "numeric", "missing": "median"}, "z": {"missing": 0.5}},
        "split": {"kind": "hash", "validation": 0.1, "column": "x"},
    },
    "model": {"name": "cnn", "channels": [8], "dropout": 0.0, "kernel_size": 3},
    "train": {
        "epochs": 1,
        "num_workers": "auto",
        "loss": {"name": "cross_entropy", "class_weights": "balanced"},
        "optimizer": {"name": "adam", "betas": [0.9, 0.99], "lr": 1e-3},
        "lr_schedule": {"name": "step", "gamma": 0.5},
        "resources_per_worker": {"cpu": 0.5, "gpu": 1},
    },
    "evaluate": {"metrics": ["f1", {"target": "a:b"}], "goals": {"test/f1": ">= 0"}},
    "track": {"register": {"alias": "champion"}},
    "cluster": {"env": {"A": "1"}},
}
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 20) | st.sampled_from([2**63 - 1, 2**63, 10**400]),
    st.floats(),
    st.text(ANY_CHARACTER, max_size=3),
    st.sampled_from(["auto", "balanced", "mlp", "sgd", "huber", "median", "a:B", "a:B\n", "< 1"]),
    st.lists(st.sampled_from([1, 0, 0.5, "a", "", None, True, {"target": "a:b"}]), max_size=3),
    st.sampled_from([{}, {"name": "sgd"}, {"name": "mse"}, {"target": "a:B"}, {"a": 1}]),
)


def paths_of(value, path=()):
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield (*path, key)
            yield from paths_of(inner, (*path, key))


def changed(value, path, change):
    if not path:
        return change
    copy = list(value) if isinstance(value, list) else dict(value)
    copy[path[0]] = changed(copy[path[0]], path[1:], change)
    return copy


def is_accepted(values):
    try:
        Settings.model_validate(values)
    except ValidationError:
        return False
    return True


def test_a_valid_tree_has_no_faults():
    assert is_accepted(VALID)
    assert explain(VALID) == []


@settings(max_examples=600, deadline=None)
@given(st.sampled_from(list(paths_of(VALID))), VALUES)
def test_a_value_is_a_fault_if_and_only_if_it_is_refused(path, value):
    values = changed(VALID, path, value)

    assert (explain(values) == []) == is_accepted(values)


@settings(deadline=None)
@given(st.sampled_from([path for path in paths_of(VALID) if isinstance(path[-1], str)]))
def test_every_fault_leads_to_its_key(path):
    faults = explain(changed(VALID, path, object))

    assert all(fault.keys[0][: len(path)] == path for fault in faults)
