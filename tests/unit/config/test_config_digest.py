import json

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from distrain.config.digest import (
    config_digest,
    dump_yaml,
    masked_dict,
    resolved_dict,
)
from distrain.config.load import load_settings, settings_from_dict
from tests.any_text import ANY_CHARACTER

LEAST = {"data": {"source": "/a.csv", "target": "y"}}
FULL = {
    "name": "all",
    "data": {
        "source": ["/a.csv", "s3://b/c"],
        "test_source": "/t.csv",
        "target": "y",
        "labels": {"1e3": "NO", "true": "~"},
        "positive": "NO",
        "features": {"id": "id", "2024-01-01": {"missing": 1e-8}},
        "read": {"na_values": ["?", -999], "delimiter": "\t"},
    },
    "model": {"target": "a.b:C", "args": {"width": 3, "act": None, "sizes": [[1], [2.5]]}},
    "train": {
        "early_stopping": None,
        "optimizer": {"name": "adam", "betas": [0.8, 0.9]},
        "loss": {"name": "cross_entropy", "class_weights": {"a": 2}},
    },
    "evaluate": {"goals": {"test/loss": "< 1"}, "metrics": ["f1", {"target": "m:g"}]},
    "track": {"register": {"alias": "champion"}, "uri": "http://${NOT_SET:-host}:5000"},
    "cluster": {"env": {"A": "1"}},
}


@pytest.fixture(params=[LEAST, FULL], ids=["least", "full"])
def settings(request):
    return settings_from_dict(request.param)


def test_a_dumped_configuration_loads_as_equal_settings(settings, tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(dump_yaml(settings), encoding="utf-8")

    again = load_settings([path])

    assert again == settings
    assert dump_yaml(again) == dump_yaml(settings)
    assert config_digest(again) == config_digest(settings)


@examples(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.text(ANY_CHARACTER, min_size=1),
        st.text(ANY_CHARACTER, min_size=1).filter(lambda t: "${" not in t),
    )
)
def test_any_text_survives_the_dump(tmp_path_factory, labels):
    values = {"data": {**LEAST["data"], "labels": labels, "target": "y"}}
    settings = settings_from_dict(values)
    path = tmp_path_factory.getbasetemp() / "config.yaml"
    path.write_text(dump_yaml(settings), encoding="utf-8", newline="")

    assert load_settings([path]) == settings


@examples(max_examples=30, deadline=None)
@given(st.floats(min_value=1e-300, max_value=1e300))
def test_any_number_survives_the_dump_to_the_last_bit(tmp_path_factory, lr):
    settings = settings_from_dict({**LEAST, "train": {"optimizer": {"lr": lr}}})
    path = tmp_path_factory.getbasetemp() / "config.yaml"
    path.write_text(dump_yaml(settings), encoding="utf-8")

    assert load_settings([path]).train.optimizer.lr == lr


def test_plain_values_have_the_keys_of_a_file(settings):
    values = resolved_dict(settings)

    assert json.loads(json.dumps(values)) == values
    keys = {"every_steps", "system_metrics_every_s", "uri", "drain_s", "register"}
    assert set(values["track"]) == keys


@pytest.mark.parametrize(
    "override",
    [
        "name=other",
        "storage=elsewhere",
        "data.source=/elsewhere/rows.csv",
        "data.cache.path=/cache",
        "train.num_workers=2",
        "train.resources_per_worker.cpu=2",
        "train.checkpoint.keep=9",
        "train.max_failures=0",
        "train.ledger=true",
        "track.every_steps=1",
        "track.register.alias=champion",
        "cluster.address=auto",
        "cluster.env.A=b",
        "evaluate.goals={test/loss: < 1}",
    ],
)
def test_what_leaves_the_result_alone_leaves_the_digest_alone(override):
    assert config_digest(settings_from_dict(LEAST, [override])) == config_digest(
        settings_from_dict(LEAST)
    )


@pytest.mark.parametrize(
    "override",
    [
        "seed=1",
        "data.target=z",
        "data.split.seed=1",
        "model.hidden=[256, 257]",
        "train.epochs=21",
        "train.threads_per_worker=2",
        "train.logical_shards=8",
        "train.optimizer.eps=1e-9",
        "evaluate.metrics=[accuracy]",
    ],
)
def test_what_can_change_the_result_changes_the_digest(override):
    assert config_digest(settings_from_dict(LEAST, [override])) != config_digest(
        settings_from_dict(LEAST)
    )


def test_a_checkout_elsewhere_has_the_same_digest(tmp_path):
    digests = set()
    for folder in (tmp_path / "one", tmp_path / "two"):
        folder.mkdir()
        path = folder / "run.yaml"
        path.write_text("data: {source: rows.csv, test_source: test.csv, target: y}\n")
        settings = load_settings([path])
        digests.add(config_digest(settings))
        assert str(folder) in dump_yaml(settings)

    assert len(digests) == 1


def test_a_default_written_out_gives_the_same_digest():
    written = {"split": {"validation": 0.1, "test": 0.1}, **LEAST["data"]}

    assert config_digest(settings_from_dict({"data": written})) == config_digest(
        settings_from_dict(LEAST)
    )


def test_the_digest_is_fixed():
    digest = config_digest(settings_from_dict(LEAST))

    assert digest == "1088ee17b58f40140c97941e88ccf1ef7a89d60bc7e3897b752c946b78cc971b"


def test_likely_secrets_are_masked_where_the_configuration_is_written():
    settings = settings_from_dict({**LEAST, "cluster": {"env": {"API_KEY": "planted", "A": "b"}}})

    assert masked_dict(settings)["cluster"]["env"] == {"API_KEY": "***", "A": "b"}
    assert 'API_KEY: "***"' in dump_yaml(settings)
    assert resolved_dict(settings)["cluster"]["env"]["API_KEY"] == "planted"
    assert config_digest(settings) == config_digest(settings_from_dict(LEAST))


def test_variables_are_written_as_variables(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_" + "abcDEF1234" * 3)
    values = {
        **LEAST,
        "model": {"target": "a:B", "args": {"api_key": "${HF_TOKEN}", "width": 3}},
        "cluster": {"env": {"HF_TOKEN": "${HF_TOKEN}", "A": "b"}},
    }

    text = dump_yaml(settings_from_dict(values))

    assert text.count('"${HF_TOKEN}"') == 2
    assert "abcDEF1234" not in text
