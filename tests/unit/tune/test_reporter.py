"""What a trial's actor tells the driver of each evaluation."""

from collections.abc import Mapping
from typing import Any, cast

import pytest

from distrain.train.speed import Speed
from distrain.tune.reporter import Reporter


class Channel:
    """Keeps what is told, and lets the trial go on."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Mapping[str, Any]]] = []

    def tell(self, kind: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        self.told.append((kind, fields))
        return {"reply": "go_on"}


@pytest.mark.parametrize("is_end", [False, True])
def test_a_report_says_whether_it_is_the_last(is_end: bool) -> None:
    channel: Any = Channel()
    reporter = Reporter({"by_epoch": True}, {"until": None}, channel, 0.0, Speed())
    reporter.metrics(10, {"validation/loss": 0.5})

    assert reporter.ask(10, 1, is_end) == "go_on"

    ((kind, fields),) = channel.told
    told = {name: fields[name] for name in ("time", "epoch", "step", "values", "is_end")}
    values = {"validation/loss": 0.5}
    assert kind == "report"
    assert told == {"time": 1, "epoch": 1, "step": 10, "values": values, "is_end": is_end}


def test_how_fast_a_trial_is_is_told_to_the_actor_s_speed() -> None:
    channel, speed = Channel(), Speed()
    reporter = Reporter({"by_epoch": True}, {"until": None}, cast(Any, channel), 0.0, speed)

    reporter.progress({"window_s": 2.0, "rows_per_s": 50.0, "data_s": 0.5, "reduce_s": 0.0})

    assert speed.now()["rows_per_second"] == pytest.approx(50.0)
    assert channel.told == []
