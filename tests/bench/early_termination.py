"""What early termination saves, and what it costs: epochs and the best score, on real data.

    python -m tests.bench.early_termination [--works adult fashion-mnist] [--folder FOLDER]
        [--schedulers none asha sha hyperband median seeds] [--out FILE]

Each search is a `distrain tune` of its own over the same 64 configurations (random search, the
same seed; that they are the same is checked), two trials at a time, each with the defaults of its
scheduler. An mlp trains for 16 epochs at most: on Adult, its training file whole; on Fashion-MNIST
on the first 10,000 of its training images, of which a fifth validates. Asked of asha: at most a
quarter of the epochs of `none`, and a best validation score within seed noise of `none`'s. That
noise is the standard deviation over three more seeds (`seeds`) of the configuration that `none`
found best; beside it stands their mean, since the best of 64 does not do as well again. Needs the
development data sets (DISTRAIN_DATA). In a folder that is kept, no search is run twice.
"""

import argparse
import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from distrain.run_folder import JOURNAL
from distrain.tune.events import read_events
from tests.development_data import development_data

REPOSITORY = Path(__file__).parents[2]
NUM_TRIALS = 64
NUM_EPOCHS = 16
NUM_IMAGES = (10_000, 2_000)
SEEDS = (101, 102, 103)
SCHEDULERS = ("none", "asha", "sha", "hyperband", "median")
NOISE = "seeds"
METRICS = {"adult": "validation/roc_auc", "fashion-mnist": "validation/accuracy"}
IDX_HEADS = {"images": 16, "labels": 8}

Config = dict[str, Any]
Found = Mapping[str, Any]


def adult(data: Path, _folder: Path) -> Config:
    """Return the search of `examples/adult`, with networks that two cores train in seconds."""
    columns = "age workclass fnlwgt education education-num marital-status occupation relationship"
    others = "race sex capital-gain capital-loss hours-per-week native-country income"
    return {
        "data": {
            "source": str(data / "adult" / "adult-train.csv"),
            "test_source": str(data / "adult" / "adult-test.csv"),
            "read": {
                "header": False,
                "names": [*columns.split(), *others.split()],
                "na_values": ["?"],
            },
            "target": "income",
            "labels": {">50K.": ">50K", "<=50K.": "<=50K"},
            "positive": ">50K",
            "features": {"fnlwgt": "drop"},
        },
        "model": {"name": "mlp", "hidden": [64], "dropout": 0.2},
        "train": {"global_batch_size": 1024, "lr_schedule": {"name": "cosine"}},
        "evaluate": {"metrics": ["accuracy", "roc_auc"]},
        "tune": {"space": _space([[32], [64], [64, 64]])},
    }


def fashion_mnist(data: Path, folder: Path) -> Config:
    """Return a search over networks for the first images of Fashion-MNIST."""
    names = {"source": ("train", NUM_IMAGES[0]), "test_source": ("t10k", NUM_IMAGES[1])}
    sources = {
        key: {"idx": _first_images(data / "fashion-mnist", folder, *which)}
        for key, which in names.items()
    }
    return {
        "data": {**sources, "target": "label", "split": {"validation": 0.2}},
        "model": {"name": "mlp", "hidden": [64], "dropout": 0.2},
        "train": {"global_batch_size": 256, "lr_schedule": {"name": "cosine"}},
        "evaluate": {"metrics": ["accuracy"]},
        "tune": {"space": _space([[32], [64], [64, 64]])},
    }


WORKS = {"adult": adult, "fashion-mnist": fashion_mnist}


def _space(hidden: Sequence[Sequence[int]]) -> dict[str, Any]:
    return {
        "train.optimizer.lr": {"loguniform": [1e-4, 1e-1]},
        "train.optimizer.weight_decay": {"loguniform": [1e-4, 1e-1]},
        "model.hidden": {"choice": hidden},
        "model.dropout": {"uniform": [0, 0.5]},
    }


def _first_images(data: Path, folder: Path, name: str, count: int) -> dict[str, str]:
    """Write the first images of an IDX pair, and their labels, as files of their own."""
    paths = {}
    for kind, size in (("images", 28 * 28), ("labels", 1)):
        dimensions = "idx3" if kind == "images" else "idx1"
        head = IDX_HEADS[kind]
        with gzip.open(data / f"{name}-{kind}-{dimensions}-ubyte.gz") as file:
            content = file.read(head + count * size)
        path = folder / f"{name}-{kind}-{dimensions}-ubyte"
        path.write_bytes(content[:4] + count.to_bytes(4, "big") + content[8:])
        paths[kind] = str(path)
    return paths


def configured(work: str, data: Path, folder: Path) -> Config:
    """Return a work's configuration, to which a scheduler is still to be added."""
    config = WORKS[work](data, folder)
    fields: Config = {"name": work, "seed": 7, "storage": str(folder / "runs")}
    config["train"] |= {"epochs": NUM_EPOCHS, "num_workers": 1, "logical_shards": 1}
    config["tune"] |= {"metric": METRICS[work], "num_trials": NUM_TRIALS, "max_concurrent": 2}
    return {**fields, **config}


def search(config: Config, folder: Path) -> Found:
    """Run `distrain tune` on a configuration, and return what came of it."""
    file = folder / "search.yaml"
    file.write_text(json.dumps(config), encoding="utf-8")
    started = time.perf_counter()
    ended = subprocess.run(
        [Path(sys.executable).with_name("distrain"), "tune", str(file), "--json"],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    took = time.perf_counter() - started
    result = json.loads(ended.stdout.splitlines()[-1])
    events = list(read_events(Path(result["run_dir"]) / JOURNAL))
    metric = config["tune"]["metric"]
    ends = [event for event in events if event["event"] == "ended"]
    return {
        "trials": result["num_trials"],
        "stopped": result["num_stopped_early"],
        "failed": result["num_failed"],
        "epochs": result["epochs_spent"],
        "wall_s": round(took, 1),
        "best": result["best"]["trial"],
        "score": next(e["metrics"][metric] for e in ends if e["trial"] == result["best"]["trial"]),
        "assignments": [e["assignment"] for e in events if e["event"] == "suggested"],
        "finals": {e["trial"]: e["metrics"][metric] for e in ends if metric in e["metrics"]},
    }


def again(config: Config, found: Found) -> Config:
    """Return the search that trains the best configuration of another with other seeds."""
    tune = {
        "metric": config["tune"]["metric"],
        "space": {"seed": {"grid": list(SEEDS)}},
        "search_alg": "grid",
        "max_concurrent": 2,
    }
    anew: Config = json.loads(json.dumps({**config, "tune": tune}))
    for path, value in found["assignments"][found["best"]].items():
        *sections, key = path.split(".")
        place = anew
        for section in sections:
            place = place.setdefault(section, {})
        place[key] = value
    return anew


def measured(work: str, schedulers: Sequence[str], data: Path, folder: Path) -> dict[str, Found]:
    """Return what came of a work's searches by scheduler, and of its best with other seeds."""
    own = folder / work
    own.mkdir(exist_ok=True)
    config = configured(work, data, own)
    for name in schedulers:
        kept = own / f"{name}.json"
        if kept.exists():
            continue
        if name == NOISE:
            found = search(again(config, json.loads((own / "none.json").read_text())), own)
        else:
            found = search({**config, "tune": {**config["tune"], "scheduler": name}}, own)
        kept.write_text(json.dumps(found), encoding="utf-8")
        print(f"{work} {name}: {found['epochs']} epochs, {found['wall_s']} s", file=sys.stderr)
    paths = {name: own / f"{name}.json" for name in (*SCHEDULERS, NOISE)}
    return {name: json.loads(path.read_text()) for name, path in paths.items() if path.exists()}


def judged(found: Mapping[str, Found]) -> dict[str, Any]:
    """Return the figures of a work: each scheduler's, beside those of `none`."""
    everything = found["none"]
    again_scores = list(found[NOISE]["finals"].values()) if NOISE in found else []
    noise = stdev(again_scores) if again_scores else None
    figures: dict[str, Any] = {
        "noise": noise,
        "best_again": fmean(again_scores) if again_scores else None,
        "again": again_scores,
    }
    finals = sorted(everything["finals"].values(), reverse=True)
    for name in SCHEDULERS:
        if name not in found:
            continue
        one = found[name]
        assert one["assignments"] == everything["assignments"], f"{name} had other configurations"
        gap = everything["score"] - one["score"]
        at_end = everything["finals"].get(str(one["best"]))
        figures[name] = {
            key: one[key] for key in ("epochs", "stopped", "failed", "best", "score", "wall_s")
        } | {
            "share": one["epochs"] / everything["epochs"],
            "gap": gap,
            "gap_in_noise": gap / noise if noise else None,
            "rank": None if at_end is None else finals.index(at_end) + 1,
        }
    return figures


def table(work: str, figures: Mapping[str, Any]) -> str:
    """Return the figures of a work as a table."""
    noise, mean = figures["noise"], figures["best_again"]
    told = "not measured" if noise is None else f"{noise:.5f}; mean of the three {mean:.5f}"
    lines = [
        f"{work}: {METRICS[work]}, {NUM_TRIALS} configurations, at most {NUM_EPOCHS} epochs each",
        f"{'scheduler':10} {'epochs':>7} {'share':>6} {'best':>8} {'gap':>9} {'rank':>5} {'s':>6}",
    ]
    for name in SCHEDULERS:
        if name in figures:
            one = figures[name]
            lines.append(
                f"{name:10} {one['epochs']:7} {one['share']:6.3f} {one['score']:8.5f} "
                f"{one['gap']:9.5f} {one['rank'] or '-':>5} {one['wall_s']:6.0f}"
            )
    return "\n".join([*lines, f"seed noise (standard deviation of three): {told}"])


def main() -> None:
    """Measure, and print a table for each work."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--works", nargs="+", choices=WORKS, default=list(WORKS))
    parser.add_argument(
        "--schedulers", nargs="+", choices=[*SCHEDULERS, NOISE], default=[*SCHEDULERS, NOISE]
    )
    parser.add_argument("--folder", type=Path, default=None, help="kept: what is there stays")
    parser.add_argument("--out", type=Path, default=None)
    asked = parser.parse_args()
    data = development_data()
    if not data.is_dir():
        print(f"not measured: no development data at {data} (set DISTRAIN_DATA)", file=sys.stderr)
        return
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="early-") as fresh:
        folder = (asked.folder or Path(fresh)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        for work in asked.works:
            found = measured(work, asked.schedulers, data.absolute(), folder)
            if "none" in found:
                figures[work] = judged(found)
                print(table(work, figures[work]), file=sys.stderr, flush=True)
    if asked.out is not None:
        asked.out.write_text(json.dumps(figures) + "\n", encoding="utf-8")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
