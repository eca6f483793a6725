"""What `track.register` says of the gate."""

import json
from typing import Any

import pytest

from distrain.config.load import settings_from_dict
from distrain.config.schema import json_schema
from distrain.errors import ConfigError


def settings(register: dict[str, Any], **evaluate: Any) -> Any:
    values: dict[str, Any] = {
        "data": {"source": "sklearn:iris", "target": "target"},
        "track": {"register": {"alias": "champion", **register}},
    }
    return settings_from_dict(values | ({"evaluate": evaluate} if evaluate else {}))


def test_the_gate_has_defaults() -> None:
    asked = settings({}).track.register_
    assert (asked.metric, asked.mode, asked.level, asked.or_equal) == (None, None, 0.05, None)


@pytest.mark.parametrize(
    ("register", "metrics", "told"),
    [
        ({"metric": "loss"}, None, "metric = 'loss' is not told by predictions.*log_loss or mse"),
        ({"metric": "acuracy"}, None, "'acuracy' will not be computed.*Did you mean 'accuracy'"),
        ({"metric": "test/f1"}, None, "'test/f1' will not be computed.*Did you mean 'f1'"),
        ({"mode": "min"}, None, "mode = min turns accuracy round, of which max is better"),
        ({}, [{"target": "mine:gain"}], "'gain' is your own, so its direction is not known"),
        ({"level": 0.7}, None, "at most 0.5"),
        ({"or_equal": {"within": 0.01}}, None, "but"),
        ({"or_equal": {"within": 0, "but": "smaller"}}, None, "within"),
    ],
)
def test_nonsense_is_refused(register: dict[str, Any], metrics: Any, told: str) -> None:
    evaluate = {} if metrics is None else {"metrics": metrics}
    with pytest.raises(ConfigError, match=told):
        settings(register, **evaluate)


def test_a_metric_of_the_users_own_may_decide_where_its_direction_is_given() -> None:
    asked = settings({"mode": "max"}, metrics=[{"target": "mine:gain"}]).track.register_
    assert asked.mode == "max"


def test_the_schema_tells_of_it() -> None:
    text = json.dumps(json_schema())
    assert '"or_equal"' in text
    assert "measured on the same test rows" in text
