"""A search's report, asked for by `distrain report`."""

from pathlib import Path

from distrain.report import asked
from tests.search_folder import RUN, make_search


def test_the_report_of_a_search_is_asked_for_like_that_of_a_run(tmp_path: Path) -> None:
    run_dir, _ = make_search(tmp_path, num_trials=4, epochs=2)

    result = asked.write_report(RUN, tmp_path, None)

    assert result.to_json() == {
        "run": f"made-up/{RUN}",
        "status": "finished",
        "out": str(run_dir / "report.html"),
    }
    assert "made-up" in result.out.read_text(encoding="utf-8")
