"""A packaged model loaded where nothing of this process helps it, as its users will load it.

A process of its own imports what it needs while the model is still being written (3 s of CPU on the
machine that this was written on), then forks for each model that it is told of, so that of many
models only the first pays for the imports. It sees no GPU, as many who use the model will not. The
fork loads the model by plain `mlflow.pyfunc` and predicts the same raw rows in several forms. What
comes back is compared with what the run's own model predicts: so a module that is not packaged, a
model that is left in training mode, that takes a fixed number of rows, that needs another device,
or that does not take whole numbers as float64, is found before a version is made of it. The process
ends with this one, whose pipe it reads.
"""

import atexit
import contextlib
import functools
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, final

import numpy as np
import pyarrow as pa

from distrain.data.plan import EVALUATION_ROW_MULTIPLE
from distrain.errors import ModelError
from distrain.track.packaged import Predictor

TIMEOUT_S: Final = 300.0
# A kernel may round a row otherwise in a batch of another size, and a model that sends rows to one
# of several experts makes such batches itself.
_CLOSE: Final = {"rtol": 1e-4, "atol": 1e-6}
_FAULT_OF_FORM: Final[Mapping[str, str]] = {
    "as they are": "predicts something else than the trained one",
    "once more": "predicts something else when it is asked again",
    "one alone": "predicts a single row otherwise than among others",
    "among many": "predicts rows otherwise among many others",
    "as float64": "takes whole numbers as float64 for something else",
}
_NO_DEVICES: Final[Mapping[str, str]] = {"CUDA_VISIBLE_DEVICES": "", "HIP_VISIBLE_DEVICES": ""}
_SCRIPT: Final = """
import json, os, signal, sys, traceback
answers = os.fdopen(os.dup(1), "w")
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
import mlflow.pyfunc, numpy, pandas, pyarrow, torch

def arrays(task):
    held = numpy.load(task["rows"], allow_pickle=False)
    rows = {name: held[name] for name in held.files}
    def form(change):
        changed = {name: change(values) for name, values in rows.items()}
        return changed["x"] if task["is_one"] else changed
    whole = form(lambda values: values)
    many = form(lambda values: numpy.concatenate([values] * task["times"]))
    return [whole, whole, form(lambda values: values[:1]), many, whole]

def tables(task):
    rows = pyarrow.ipc.open_file(task["rows"]).read_all().to_pandas()
    whole = rows.select_dtypes("integer").columns
    many = pandas.concat([rows] * task["times"], ignore_index=True)
    return [rows, rows, rows.iloc[:1], many, rows.astype({name: "float64" for name in whole})]

def predict(task):
    model = mlflow.pyfunc.load_model(task["model"])
    open(task["loaded"], "x").close()
    forms = arrays(task) if task["rows"].endswith(".npz") else tables(task)
    for form, out in zip(forms, task["out"]):
        found = pyarrow.Table.from_pandas(model.predict(form), preserve_index=False)
        with pyarrow.ipc.new_file(out, found.schema) as writer:
            writer.write_table(found)

for line in sys.stdin:
    task = json.loads(line)
    child = os.fork()
    if child == 0:
        signal.alarm(task["limit_s"])  # where nobody is left to end it
        os.environ.clear()
        os.environ.update(task["environment"])
        os.dup2(os.open(task["errors"], os.O_WRONLY | os.O_CREAT, 0o600), 2)
        try:
            predict(task)
        except BaseException:  # told by what this file holds; the child must not go on in the loop
            traceback.print_exc()
        sys.stderr.flush()
        os._exit(0)
    os.waitpid(child, 0)
    print("done", file=answers, flush=True)
"""


@final
class _Process:
    """The process that loads models, started when it is made."""

    def __init__(self) -> None:
        # Isolated: neither the working folder nor PYTHONPATH is where it looks for modules; and it
        # leaves no bytecode beside those of the model.
        self._process = subprocess.Popen(
            [sys.executable, "-IB", "-c", _SCRIPT],
            cwd=tempfile.gettempdir(),
            env={**os.environ, **_NO_DEVICES},
            start_new_session=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        atexit.register(self.end)

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, task: Mapping[str, object]) -> bool:
        """Return whether a model was loaded, or failed to, in time."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(task).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return False
        ready, _, _ = select.select([self._process.stdout], [], [], TIMEOUT_S)
        if not ready:
            self.end()
            return False
        return self._process.stdout.readline() == b"done\n"

    def end(self) -> None:
        """End it, and the fork of it that loads a model."""
        atexit.unregister(self.end)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()


@functools.cache
def _started(parent: int) -> list[_Process]:
    """Return the process of this one, in a list that takes the next if it dies."""
    del parent
    return [_Process()]


def warm_up() -> None:
    """Start the process, so that it imports what it needs meanwhile."""
    _living()


def check_in_clean_process(model: Path, predictor: Predictor, rows: Any) -> None:
    """Load a model in a process of its own, and compare what it predicts there.

    Args:
        model: the MLflow model's folder.
        predictor: what it should predict like.
        rows: some raw rows, at least one: a table, or arrays by name.

    Raises:
        ModelError: it does not load there, or predicts something else.
    """
    with tempfile.TemporaryDirectory(prefix="distrain-clean-") as temporary:
        folder = Path(temporary)
        inputs = predictor.transform.inputs
        place, num_rows = _kept(rows, folder)
        out = {form: folder / f"{number}.arrow" for number, form in enumerate(_FAULT_OF_FORM)}
        task = {
            "model": str(model.absolute()),
            "rows": str(place),
            "is_one": inputs is not None and inputs["form"] == "tensor",
            "out": [str(path) for path in out.values()],
            "loaded": str(folder / "loaded"),
            "times": EVALUATION_ROW_MULTIPLE // num_rows + 1,
            "errors": str(folder / "errors.txt"),
            "limit_s": round(2 * TIMEOUT_S),
            # As it is now: variables that a model's arguments name may have come since.
            "environment": {**os.environ, **_NO_DEVICES},
        }
        has_ended = _living().ask(task)
        for form, path in out.items():
            if not path.exists():
                raise _refused(model, _why_silent(form, folder, has_ended))
        whole = predictor.predict(rows)
        for form, path in out.items():
            found = pa.ipc.open_file(path.read_bytes()).read_all()
            if form == "as float64":  # ids are handed through as they are given
                ids = [
                    name for name in predictor.transform.id_columns if name in found.column_names
                ]
                _compare(model, form, found.drop_columns(ids), whole.drop_columns(ids))
            else:
                _compare(model, form, found, whole)


def _kept(rows: Any, folder: Path) -> tuple[Path, int]:
    """Write rows for the other process; return where, and how many there are."""
    if isinstance(rows, pa.Table):
        with pa.ipc.new_file(folder / "rows.arrow", rows.schema) as writer:
            writer.write_table(rows)
        return folder / "rows.arrow", rows.num_rows
    np.savez(folder / "rows.npz", **rows)
    return folder / "rows.npz", len(next(iter(rows.values())))


def _living() -> _Process:
    kept = _started(os.getpid())
    if not kept[0].is_alive:
        kept[0] = _Process()
    return kept[0]


def _compare(model: Path, form: str, found: pa.Table, whole: pa.Table) -> None:
    if form == "among many":
        found = found.slice(0, whole.num_rows)
    expected = whole.slice(0, 1) if form == "one alone" else whole
    is_other_batch = form in ("one alone", "among many")
    is_same: Callable[[pa.Table, pa.Table], bool] = _is_close if is_other_batch else _is_equal
    if not is_same(found, expected):
        told = f"{expected.to_pylist()[:3]}, came {found.to_pylist()[:3]}"
        raise _refused(model, _FAULT_OF_FORM[form], told)


def _is_equal(found: pa.Table, expected: pa.Table) -> bool:
    return bool(found.to_pandas().equals(expected.to_pandas()))


def _is_close(found: pa.Table, expected: pa.Table) -> bool:
    numbers = [field.name for field in expected.schema if pa.types.is_floating(field.type)]
    return found.column_names == expected.column_names and all(
        np.allclose(found[name].to_numpy(), expected[name].to_numpy(), equal_nan=True, **_CLOSE)
        for name in numbers
    )


def _why_silent(form: str, folder: Path, has_ended: bool) -> str:
    """Return what became of a model that did not predict rows of some form."""
    errors = folder / "errors.txt"
    told = errors.read_text(errors="replace").strip().splitlines() if errors.exists() else []
    late = f"no answer within {TIMEOUT_S:g} s" if not has_ended else "its process died"
    is_loaded = (folder / "loaded").exists()
    what = f"does not predict rows given {form}" if is_loaded else "does not load"
    return f"{what} in a process of its own without a GPU ({told[-1] if told else late})"


def _refused(model: Path, what: str, expected: str = "the predictions of the run") -> ModelError:
    return ModelError(
        f"the model that was written {what}",
        where=str(model),
        expected=expected,
        mend="Does its code keep state outside of its state dict, import modules that are not "
        "packaged with it, or depend on its mode or on the number of rows?",
    )
