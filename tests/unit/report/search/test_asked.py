"""A search's report, asked for by `distrain report`."""

from pathlib import Path

import pytest

from distrain.errors import ConfigError
from distrain.report import asked
from tests.search_folder import RUN, make_search, write_events


def test_the_report_of_a_search_is_asked_for_like_that_of_a_run(tmp_path: Path) -> None:
    run_dir, _ = make_search(tmp_path, num_trials=4, epochs=2)

    result = asked.write_report(RUN, tmp_path, None)

    assert result.to_json() == {
        "run": f"made-up/{RUN}",
        "status": "finished",
        "out": str(run_dir / "report.html"),
    }
    assert "made-up" in result.out.read_text(encoding="utf-8")


def test_an_event_with_other_fields_is_told_in_words(tmp_path: Path) -> None:
    run_dir, log = make_search(tmp_path, num_trials=8, epochs=2)
    del next(event for event in log.events if event["event"] == "reported")["values"]
    write_events(run_dir, log.events)

    with pytest.raises(ConfigError, match=r"recorded has other fields .KeyError"):
        asked.write_report(str(run_dir), tmp_path, None)
