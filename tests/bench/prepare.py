"""Preparing CSV on Ray Data beside pandas and pyarrow in one process, same machine, alternating.

    python -m tests.bench.prepare [--rounds 3] [--json FILE]

Two tables: 400,000 rows of 54 numbers and a class; 1,000,000 rows of 14 fractions, 3 whole
numbers, 2 categories and a class. Three ways, medians over the rounds, Ray started beforehand:

    distrain       `prepare`: read, profile, hash, split, fit, transform, write, verify by hash
    pandas         the same outcome by hand: read, split, fit, one-hot and scale, write Arrow files
    pandas, bare   only `read_csv` and one Arrow file of what was read

"first" is distrain's first preparation in a new Ray, whose workers have yet to import.
"""

import argparse
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv

from distrain.config.data import DataSettings
from distrain.data.prepare import prepare
from distrain.data.shards import write_shard
from distrain.ray_session import ray_session

NUM_CPUS = 2


def write_wide(path: Path) -> None:
    """Write 400,000 rows of 54 numbers."""
    draw = np.random.default_rng(0)
    numbers = {f"f{i}": np.round(draw.standard_normal(400_000), 6) for i in range(54)}
    pyarrow.csv.write_csv(pa.table({**numbers, "target": draw.integers(0, 7, 400_000)}), path)


def write_mixed(path: Path) -> None:
    """Write 1,000,000 rows of numbers and categories."""
    draw, count = np.random.default_rng(1), 1_000_000
    columns: dict[str, Any] = {f"f{i}": np.round(draw.standard_normal(count), 6) for i in range(14)}
    columns |= {f"i{i}": draw.integers(0, 1_000, count) for i in range(3)}
    columns["c1"] = draw.choice(["red", "green", "blue"], count)
    columns["c2"] = draw.choice([f"kind {i}" for i in range(50)], count)
    columns["target"] = draw.integers(0, 2, count)
    pyarrow.csv.write_csv(pa.table(columns), path)


def with_distrain(source: Path, folder: Path) -> None:
    """Prepare the source below a folder."""
    prepare(DataSettings(source=str(source), target="target"), cache=folder)


def with_pandas(source: Path, folder: Path) -> None:
    """Reach the same outcome by hand, as one does."""
    frame = pd.read_csv(source)
    y = frame.pop("target").to_numpy()
    order = np.random.default_rng(0).permutation(len(frame))
    bounds = [0, len(frame) // 10, len(frame) // 5, len(frame)]
    parts = {
        name: np.sort(order[bounds[place] : bounds[place + 1]])
        for place, name in enumerate(("validation", "test", "train"))
    }
    train = frame.iloc[parts["train"]]
    numeric = list(frame.select_dtypes("number").columns)
    scaled = (frame[numeric].fillna(train[numeric].median()) - train[numeric].mean()) / train[
        numeric
    ].std()
    others = [name for name in frame.columns if name not in numeric]
    hot = [pd.get_dummies(frame[name], dtype="float32") for name in others]
    x = pd.concat([scaled.astype("float32"), *hot], axis=1).to_numpy(dtype=np.float32)
    for name, rows in parts.items():
        write_shard(folder, f"{name}.arrow", {"x": x[rows], "y": y[rows]})


def with_pandas_bare(source: Path, folder: Path) -> None:
    """Read the source and write it as it is."""
    folder.mkdir(parents=True)
    table = pa.Table.from_pandas(pd.read_csv(source))
    with pa.ipc.new_file(str(folder / "table.arrow"), table.schema) as writer:
        writer.write_table(table)


WAYS: dict[str, Callable[[Path, Path], None]] = {
    "distrain": with_distrain,
    "pandas": with_pandas,
    "pandas, bare": with_pandas_bare,
}
TABLES = {"400,000 x 54": write_wide, "1,000,000 x 20": write_mixed}


def seconds(way: Callable[[Path, Path], None], source: Path, folder: Path) -> float:
    """Return how long a way takes; what it writes is removed."""
    started = time.perf_counter()
    way(source, folder)
    took = time.perf_counter() - started
    shutil.rmtree(folder)
    return took


def measure(rounds: int) -> dict[str, dict[str, float]]:
    """Return the median seconds of each way, by table."""
    results: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        sources = {}
        for name, write in TABLES.items():
            sources[name] = Path(temporary) / f"{write.__name__}.csv"
            write(sources[name])
        for name, source in sources.items():
            folder = Path(temporary) / "out"
            with ray_session("local", num_cpus=NUM_CPUS):
                first = seconds(with_distrain, source, folder)
                taken = [
                    {way: seconds(run, source, folder) for way, run in WAYS.items()}
                    for _ in range(rounds)
                ]
            results[name] = {
                "first": first,
                **{way: statistics.median(one[way] for one in taken) for way in WAYS},
            }
    return results


def main() -> None:
    """Measure, print a table, and write it as JSON where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    results = measure(arguments.rounds)
    print(f"{'seconds':16}" + "".join(f"{way:>14}" for way in ("first", *WAYS)))
    for name, taken in results.items():
        print(f"{name:16}" + "".join(f"{taken[way]:14.2f}" for way in ("first", *WAYS)))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
