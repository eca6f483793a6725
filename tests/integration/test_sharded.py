"""`train.strategy: fsdp` as a whole, on real Ray and MLflow."""

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.integration.test_resume import EPOCHS, RUN, STEPS_PER_EPOCH, Storage

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.usefixtures("ray_local")]

SHARDED = RUN.replace("num_workers: 1", "num_workers: 3\n  strategy: fsdp")


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(tmp_path)


def test_a_run_that_failed_on_three_workers_goes_on_on_two_to_the_numbers_of_a_whole_model(
    storage: Storage,
) -> None:
    whole = storage.result("train", "run.yaml")
    (storage.folder / "run.yaml").write_text(SHARDED)
    ended = storage.fail()
    result = storage.result("resume", "--last", "train.num_workers=2")
    assert ended.stderr.count("strategy: fsdp, so the same bits are not promised") == 1
    assert result["resumed_from_step"] >= 4
    assert result["step"] == EPOCHS * STEPS_PER_EPOCH
    assert result["num_workers"] == 2
    assert result["model"] is not None
    assert _but_speed(result["metrics"]) == pytest.approx(_but_speed(whole["metrics"]), rel=0.01)
    tag = "SELECT value FROM tags WHERE run_uuid = ? AND key = 'distrain.bits'"
    assert storage.query(tag, result["run_id"]) == [("not promised (strategy: fsdp)",)]
    ledger = pq.read_table(Path(result["run_dir"]) / "ledger").to_pydict()
    assert set(Counter(zip(ledger["epoch"], ledger["row"], strict=True)).values()) == {1}


def _but_speed(metrics: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in metrics.items() if name != "samples_per_second"}
