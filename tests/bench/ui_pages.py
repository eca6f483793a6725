"""How long MLflow's pages of a search take to be there, in a real browser.

    python -m tests.bench.ui_pages [--trials 1000] [--metrics 20] [--storage DIR] [--out FILE]

A journal with a search of so many trials, each with ten reports of so many metrics, is brought to
SQLite on the local disk by the shipper, as every search is. `mlflow server` with one worker serves
it, as `distrain ui` does; headless Chromium opens each page anew, three times, and what is told is
the median of the seconds from the address to the moment when what the page is for can be read on
it: a winner's name, a chart's title. It asks for no more than once in a tenth of a second.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Final

from distrain.run_folder import JOURNAL
from distrain.track.links import Pages
from distrain.track.shipper import Shipper
from distrain.track.tracking_server import TrackingServer, storage_server
from distrain.track.watermark import Watermark
from tests.bench.ui_search import WINNER, record_search
from tests.browser import Browser, open_browser
from tests.mlflow_server import MlflowServer
from tests.recorded_search import KEY, NAME, SWEEP

MAX_S: Final = 3.0
_TIMES: Final = 3
_DRAIN_S: Final = 1200.0


def ship(storage: Path, num_trials: int, num_metrics: int) -> Pages:
    """Bring a search to a storage's database; return its pages."""
    folder = storage / NAME / SWEEP / JOURNAL
    folder.mkdir(parents=True)
    record_search(folder, num_trials, num_metrics)
    server: TrackingServer = storage_server(storage)
    shipper = Shipper(folder, server)
    shipper.start()
    is_shipped = shipper.drain(_DRAIN_S)
    shipper.close()
    assert is_shipped, shipper.problem
    mark = Watermark.load(folder)
    assert mark.experiment_id is not None
    assert mark.run_id is not None
    return Pages(mark.experiment_id, mark.run_id, KEY, mark.child_ids)


def measure(browser: Browser, address: str, pages: Pages) -> dict[str, float]:
    """Return the seconds that each page takes."""
    winner = f"#/experiments/{pages.experiment_id}/runs/{pages.trials[WINNER]}"
    wanted = {
        "leaderboard": (pages.leaderboard, f"trial {WINNER:04d} of"),
        "all trials": (pages.all, f"trial {WINNER:04d} of"),
        "charts": (pages.charts, "The search at a glance"),
        "the search": (pages.run, "won: validation/accuracy"),
        "the winner": (winner, "search/score"),
        "experiment": (f"#/experiments/{pages.experiment_id}/runs", SWEEP),
    }
    return {
        name: statistics.median(_seconds(browser, f"{address}/{page}", text) for _ in range(_TIMES))
        for name, (page, text) in wanted.items()
    }


def _seconds(browser: Browser, url: str, text: str) -> float:
    started = time.perf_counter()
    browser.open(url)
    browser.wait_for(text)
    return time.perf_counter() - started


def main() -> None:
    """Measure, print lines, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--metrics", type=int, default=20)
    parser.add_argument("--storage", type=Path, default=None)
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        storage = options.storage or Path(name) / "runs"
        storage.mkdir(parents=True, exist_ok=True)
        started = time.perf_counter()
        pages = ship(storage, options.trials, options.metrics)
        print(f"{options.trials} trials shipped in {time.perf_counter() - started:.1f} s")
        server = MlflowServer(Path(name), database=storage_server(storage).uri)
        server.start()
        try:
            with open_browser(Path(name) / "profile") as browser:
                found = measure(browser, server.tracking.uri, pages)
        finally:
            server.stop()
    for page, seconds in found.items():
        print(f"{page}: {seconds:.2f} s{'' if seconds < MAX_S else f', over {MAX_S:g} s'}")
    if options.out is not None:
        options.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
