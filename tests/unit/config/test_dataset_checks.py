"""A configuration that names a Dataset of the user's own, or a step, and something beside it."""

from typing import Any

import pytest

from distrain.config.digest import config_digest
from distrain.config.load import settings_from_dict
from distrain.errors import ConfigError

DATASET = {"target": "mydata:Photos"}


def refusal(**sections: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        settings_from_dict({"data": {"dataset": DATASET}, **sections})
    return str(caught.value)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ({"source": "a.csv"}, "data.source stands beside data.dataset"),
        ({"clean": {"deduplicate": True}}, "data.clean stands beside data.dataset"),
        ({"split": {"kind": "stratified"}}, "data.split.kind = stratified needs columns"),
        ({"target": ["a", "b"]}, "data.target lists columns"),
        ({"num_classes": 3, "task": "regression"}, "data.num_classes speaks of classes"),
        (
            {"test_dataset": DATASET, "split": {"test": 0.2}},
            "data.split.test = 0.2 stands beside data.test_dataset",
        ),
    ],
)
def test_what_stands_beside_a_dataset_is_told(data: dict[str, Any], told: str) -> None:
    assert told in refusal(data={"dataset": DATASET, **data})


@pytest.mark.parametrize("key", ["collate", "num_classes", "loader_workers", "test_dataset"])
def test_what_is_for_a_dataset_is_refused_without_one(key: str) -> None:
    given: Any = {"collate": "a:b", "test_dataset": DATASET}.get(key, 2)

    assert f"data.{key} has no effect without data.dataset" in refusal(
        data={"source": "a.csv", "target": "y", key: given}
    )


@pytest.mark.parametrize(
    ("sections", "told"),
    [
        ({"train": {"step": "m:f", "loss": "mse"}}, "train.loss stands beside train.step"),
        ({"train": {"step": "m:f", "strategy": "fsdp"}}, "train.strategy = fsdp stands beside"),
        (
            {"train": {"step": "m:f"}, "evaluate": {"metrics": ["accuracy"]}},
            "evaluate.metrics stands beside train.step",
        ),
        (
            {"train": {"step": "m:f"}, "data": {"source": "a.csv", "target": "y"}},
            "train.step needs data.dataset",
        ),
        ({"track": {"register": {"alias": "best"}}}, "track.register.alias stands beside"),
    ],
)
def test_what_stands_beside_a_step_is_told(sections: dict[str, Any], told: str) -> None:
    assert told in refusal(**sections)


def test_numbers_of_a_step_can_steer_and_be_goals() -> None:
    settings = settings_from_dict(
        {
            "data": {"dataset": DATASET},
            "train": {
                "step": "m:f",
                "early_stopping": {"metric": "validation/found", "mode": "max"},
            },
            "evaluate": {"goals": {"test/found": ">= 0.5"}},
        }
    )

    assert settings.data.split.validation == 0.1


def test_splits_of_their_own_take_no_rows_from_the_dataset() -> None:
    settings = settings_from_dict(
        {"data": {"dataset": DATASET, "validation_dataset": DATASET, "test_dataset": DATASET}}
    )

    assert (settings.data.split.validation, settings.data.split.test) == (0.0, 0.0)


def test_who_reads_the_rows_is_no_part_of_the_digest() -> None:
    digests = {
        config_digest(settings_from_dict({"data": {"dataset": DATASET, "loader_workers": count}}))
        for count in (0, 2)
    }

    assert len(digests) == 1
