"""Folders of runs and searches as distrain leaves them, without the training, to be compared."""

import contextlib
import hashlib
import json
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

import torch

from distrain.config.digest import dump_yaml
from distrain.config.load import settings_from_dict
from distrain.data.prepared import PreparedDataset
from distrain.finish import MODEL_FOLDER, PACKAGED
from distrain.models.build import build_model
from distrain.object_store.bucket import Bucket
from distrain.object_store.place import Place
from distrain.run_folder import CONFIG, JOURNAL, PREPARED, write_result
from distrain.stored_run import Started
from distrain.track import lineage
from distrain.track.journal import JournalWriter
from distrain.track.lineage_folder import FOLDER, write_lineage
from distrain.track.origin import LINEAGE_TAG
from distrain.track.packaged import save_packaged
from tests.prepared_examples import write_classified

MACHINE = {**lineage.machine("cpu", []), "cpu": "a processor"}
ROWS = {"train": 60, "validation": 20, "test": 80}
MODEL = {"name": "linear"}


@final
@dataclass
class MadeRuns:
    """Makes runs below `<folder>/runs`.

    Args:
        folder: takes the sources, the user's code and the storage.
        source: text of the source file.
        code: text of `net.py`.
        machine: what runs are made on.
        rows: of the splits of prepared data.
    """

    folder: Path
    source: str = "x,y\n1,0\n2,1\n"
    code: str = "WIDTH = 3\n"
    machine: dict[str, Any] = field(default_factory=lambda: dict(MACHINE))
    rows: dict[str, int] = field(default_factory=lambda: dict(ROWS))

    @property
    def storage(self) -> Path:
        """Return the folder that the runs are kept in."""
        return self.folder / "runs"

    def run(
        self,
        name: str,
        metrics: dict[str, float] | None = None,
        won: list[Any] | None = None,
        **train: Any,
    ) -> Path:
        """Make a run that has finished, and return its folder.

        Args:
            name: the run's.
            metrics: its final metrics.
            won: the search that it has won, and the trial.
            train: keys of the section `train`.
        """
        run_dir = self._folder(name, {"train": {"epochs": 5, **train}}, won=won)
        write_result(
            run_dir,
            {
                "status": "finished", "run_id": None, "run_dir": str(run_dir), "epoch": 5,
                "step": 20, "metrics": metrics or {}, "weights_sha256": name * 8,
                "samples_per_second": 1000.0, "num_workers": 1, "dataset_digest": "d" * 64,
                "model": None, "goals": {}, "resumed_from_step": None, "tracking": "complete",
                "error": None,
            },
        )  # fmt: skip
        return run_dir

    def search(self, name: str, best: dict[str, Any], **tune: Any) -> Path:
        """Make a search that has finished, and return its folder.

        Args:
            name: the search's.
            best: its best trial.
            tune: keys of the section `tune`.
        """
        space = {"train.optimizer.lr": {"loguniform": [1e-4, 1e-1]}}
        run_dir = self._folder(
            name, {"tune": {"space": space, "metric": "validation/loss", **tune}}, is_sweep=True
        )
        write_result(
            run_dir,
            {
                "status": "finished", "run_id": None, "run_dir": str(run_dir), "num_trials": 8,
                "num_stopped_early": 5, "num_failed": 0, "best": best, "epochs_spent": 40,
                "wall_s": 12.0, "weights_sha256": None, "model": None, "goals": {},
                "confirm": None, "audit": None, "tracking": "complete", "error": None,
            },
        )  # fmt: skip
        return run_dir

    def prepare(self) -> PreparedDataset:
        """Prepare the data that the next run was trained on, and return it."""
        digest = hashlib.sha256((self.source + str(self.rows)).encode()).hexdigest()
        path = self.storage / PREPARED / digest
        if not path.exists():
            manifest = write_classified(path, self.rows) / "manifest.json"
            known = json.loads(manifest.read_text())
            source = self.folder / "a.csv"
            source.write_text(self.source)
            sha = hashlib.sha256(source.read_bytes()).hexdigest()
            sources = [{"uri": str(source), "sha256": sha}]
            manifest.write_text(json.dumps({**known, "digest": digest, "sources": sources}))
        return PreparedDataset.open(path)

    def package(self, run_dir: Path, seed: int) -> None:
        """Leave a model in a run's folder."""
        transform = self.prepare().transform
        module = build_model(
            MODEL, input_shape=transform.input_shape, num_outputs=transform.num_outputs, seed=seed
        )
        with torch.no_grad():
            for parameter in module.parameters():
                parameter += torch.randn(
                    parameter.shape, generator=torch.Generator().manual_seed(seed)
                )
        save_packaged(
            run_dir / MODEL_FOLDER / PACKAGED,
            module_state=module.state_dict(),
            model_spec=MODEL,
            transform=transform,
            threads=1,
        )

    def put(self, storage: Place) -> None:
        """Put all that is here to a place at a store, as runs and prepared data lie there."""
        for path in (path for path in self.storage.rglob("*") if path.is_file()):
            parts = path.relative_to(self.storage).parts
            if parts[0] == PREPARED:
                Bucket(storage).put("/".join(parts), path.read_bytes())
                continue
            content, name = path.read_bytes(), "/".join(parts[2:])
            if path.suffix == ".jsonl":
                piece = f"{0:012d}-{len(content)}-{zlib.crc32(content):08x}"
                to = f"{JOURNAL}/000001-000/{path.name}/{piece}"
            else:
                to = f"files/000001-000/{name}"
            Bucket(storage.below("/".join(parts[:2]))).put(to, content)

    def _folder(self, name: str, sections: dict[str, Any], **started: Any) -> Path:
        dataset = self.prepare()
        code = self.folder / "net.py"
        code.write_text(self.code)
        run_dir = self.storage / "a" / name
        data = {"source": str(self.folder / "a.csv"), "target": "y", "task": "classification"}
        settings = settings_from_dict({"name": "a", "data": data, **sections})
        with contextlib.chdir(self.folder):  # which is in no repository
            sha = write_lineage(
                run_dir / FOLDER,
                config=dump_yaml(settings),
                manifest=dataset.manifest,
                user_code=[code],
                machine=self.machine,
            )
        (run_dir / CONFIG).write_text(dump_yaml(settings))
        Started([], dataset.digest, dataset.manifest["sources"], {}, {}, **started).save(run_dir)
        with JournalWriter(run_dir / JOURNAL, "driver") as journal:
            tags = {LINEAGE_TAG: sha}
            journal.run({"experiment": "a", "key": f"a/{name}", "name": name, "tags": tags})
            journal.store("storage")
            journal.status("FINISHED")
        return run_dir
