"""How fast a run is now, by what it told."""

import pytest

from distrain.train.speed import Speed


class Clock:
    """Seconds that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def record(
    window_s: float, rows: int, data_s: float = 0.0, reduce_s: float = 0.0
) -> dict[str, float]:
    return {
        "window_s": window_s,
        "rows_per_s": rows / window_s,
        "data_s": data_s,
        "reduce_s": reduce_s,
    }


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def speed(clock: Clock) -> Speed:
    return Speed(clock)


def test_before_the_first_step_there_is_nothing_to_tell(speed: Speed) -> None:
    assert speed.now() == {}


def test_it_is_the_mean_over_the_last_records(speed: Speed, clock: Clock) -> None:
    speed.take(record(0.5, 100, data_s=0.1, reduce_s=0.2))
    clock.now += 1.5
    speed.take(record(1.5, 500, data_s=0.9, reduce_s=0.0))

    assert speed.now() == pytest.approx(
        {"rows_per_second": 300.0, "data_wait_fraction": 0.5, "reduce_fraction": 0.1}
    )


def test_time_that_no_record_speaks_of_counts(speed: Speed, clock: Clock) -> None:
    speed.take(record(1.0, 100))
    clock.now += 4.0
    speed.take(record(1.0, 100))

    assert speed.now()["rows_per_second"] == pytest.approx(200 / 5)


def test_records_that_are_read_at_once_count_by_their_own_time(speed: Speed) -> None:
    speed.take(record(1.0, 100))
    speed.take(record(1.0, 100))

    assert speed.now()["rows_per_second"] == pytest.approx(100)


def test_where_no_step_comes_any_more_there_are_no_rows(speed: Speed, clock: Clock) -> None:
    speed.take(record(0.5, 100))
    clock.now += 10.1

    assert speed.now() == {"rows_per_second": 0.0}


def test_a_slow_step_is_waited_for(speed: Speed, clock: Clock) -> None:
    speed.take(record(60.0, 600))
    clock.now += 100.0

    assert speed.now()["rows_per_second"] == pytest.approx(10)


def test_what_is_old_does_not_count(speed: Speed, clock: Clock) -> None:
    speed.take(record(1.0, 1_000_000))
    clock.now += 20.0
    speed.take(record(1.0, 100))

    assert speed.now()["rows_per_second"] == pytest.approx(100)
