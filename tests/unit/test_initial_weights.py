"""What `model.init_from` names is found, checked and kept under its hash."""

from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from distrain.config.digest import config_digest, dump_yaml
from distrain.config.load import load_settings, settings_from_dict
from distrain.config.settings import Settings
from distrain.errors import ConfigError, ModelError
from distrain.initial_weights import with_initial_weights
from distrain.locations import initial_weights_of
from distrain.models.weights import weights_sha256

STATE = {"weight": torch.arange(6.0).reshape(2, 3), "bias": torch.ones(2)}


def asking_for(source: Any, storage: Path) -> Settings:
    return settings_from_dict(
        {
            "storage": str(storage),
            "data": {"source": "a.csv", "target": "y"},
            "model": {"name": "linear", "init_from": source},
        }
    )


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "pretrained.safetensors"
    safetensors.torch.save_file(STATE, path)
    return path


def test_weights_are_named_by_their_hash_and_kept(weights: Path, tmp_path: Path) -> None:
    settings = with_initial_weights(asking_for(str(weights), tmp_path / "runs"))

    wanted, kept = settings.model.init_from, initial_weights_of(settings)
    assert wanted is not None
    assert isinstance(kept, Path)
    assert (wanted.source, wanted.sha256) == (str(weights), weights_sha256(STATE))
    assert weights_sha256(safetensors.torch.load_file(kept)) == wanted.sha256


def test_what_is_kept_is_not_read_again(weights: Path, tmp_path: Path) -> None:
    settings = with_initial_weights(asking_for(str(weights), tmp_path / "runs"))
    weights.unlink()
    assert with_initial_weights(settings) == settings


def test_other_weights_than_were_meant_are_refused(weights: Path, tmp_path: Path) -> None:
    wanted = {"source": str(weights), "sha256": "0" * 64}
    with pytest.raises(ModelError, match=r"Expected 000000000000..., as model.init_from.sha256"):
        with_initial_weights(asking_for(wanted, tmp_path / "runs"))
    assert not (tmp_path / "runs").exists()


def test_where_weights_lie_is_no_part_of_the_digest_and_their_hash_is(
    weights: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "moved.safetensors"
    moved.write_bytes(weights.read_bytes())
    others = tmp_path / "others.safetensors"
    safetensors.torch.save_file({**STATE, "bias": torch.zeros(2)}, others)

    digests = [
        config_digest(with_initial_weights(asking_for(str(path), tmp_path / "runs")))
        for path in (weights, moved, others)
    ]

    assert digests[0] == digests[1]
    assert digests[0] != digests[2]


def test_a_kept_configuration_has_the_hash(weights: Path, tmp_path: Path) -> None:
    settings = with_initial_weights(asking_for(str(weights), tmp_path / "runs"))
    (tmp_path / "config.yaml").write_text(dump_yaml(settings), encoding="utf-8")
    assert load_settings([tmp_path / "config.yaml"]) == settings


def test_a_path_is_relative_to_the_file_that_names_it(weights: Path, tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(
        "data: {source: a.csv, target: y}\nmodel: {init_from: pretrained.safetensors}\n",
        encoding="utf-8",
    )
    wanted = load_settings([path]).model.init_from
    assert wanted is not None
    assert wanted.source == str(weights)


@pytest.mark.parametrize("name", ["models:/digits@champion", "digits/20261121T072929-bcf101"])
def test_a_name_stays_as_it_is(name: str, tmp_path: Path) -> None:
    wanted = asking_for(name, tmp_path).model.init_from
    assert wanted is not None
    assert wanted.source == name


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "resnet.pt",
            b"any",
            r"may run code of whoever wrote it.*Where you trust it, convert it once: "
            r"safetensors.torch.save_file\(torch.load\('resnet.pt', weights_only=True\), "
            r"'resnet.safetensors'\)",
        ),
        ("gone.safetensors", None, "there is no such file. Expected a safetensors file"),
        ("torn.safetensors", b"\xff" * 20, "it cannot be read"),
    ],
)
def test_a_file_that_is_no_safetensors_file_is_refused(
    name: str, content: bytes | None, message: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError, match=message):
        with_initial_weights(asking_for(str(path), tmp_path / "runs"))
    assert not (tmp_path / "runs").exists()


def test_a_run_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no run 'digits/1'"):
        with_initial_weights(asking_for("digits/1", tmp_path / "runs"))


def test_weights_do_not_vary_between_trials(tmp_path: Path) -> None:
    values = {
        "data": {"source": "a.csv", "target": "y"},
        "tune": {
            "metric": "validation/loss",
            "space": {
                "model.init_from": {"choice": ["models:/a/1", "models:/a/2"]},
                "model": {"choice": [{"name": "mlp", "init_from": "models:/a/1"}]},
            },
        },
    }
    with pytest.raises(ConfigError) as caught:
        settings_from_dict(values)
    assert str(caught.value).count("all trials begin with the same weights") == 2


def test_rates_by_name_and_sharding_exclude_each_other() -> None:
    train = {"lr_by_name": {"head.*": 0.1}, "strategy": "fsdp"}
    with pytest.raises(ConfigError, match="update shares of whole blocks at one rate"):
        settings_from_dict({"data": {"source": "a.csv", "target": "y"}, "train": train})
