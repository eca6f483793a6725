"""What a trial tells of its end."""

import pytest

from distrain.train.job import TrainOutcome
from distrain.tune import trial


@pytest.mark.parametrize(("step", "epoch"), [(50, 1), (100, 1), (250, 3)])
def test_the_epoch_that_a_trial_ends_in_is_spent(step: int, epoch: int) -> None:
    outcome = TrainOutcome(
        status="finished", epoch=epoch, step=step, total_steps=step, steps_per_epoch=100,
        metrics={}, weights_sha256="", weights_file="", num_parameters=1, num_workers=1,
        samples_per_second=None, best_step=None, resumed_from_step=None, waits={}, plan_digest="",
    )  # fmt: skip

    kind, fields = trial._end_of(outcome)

    assert (kind, fields["step"], fields["epoch"]) == ("ended", step, epoch)
