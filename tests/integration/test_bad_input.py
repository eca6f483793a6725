"""Every bad input that a user may bring: what is told, with which code, and what is left behind.

The first tables are told before Ray is started; for the rest, all tests share one Ray.
"""

import gzip
import http.server
import io
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from distrain.ray_session import speaks_grpc
from tests.bad_cases import (
    HEADER,
    PEOPLE,
    REGRESSION,
    Case,
    assert_told,
    config_file,
    fill,
    holdout,
    net,
    run,
    source,
    word,
)
from tests.command_line import run_in_process
from tests.file_formats import png

CLOSED = "127.0.0.1:1"
PETS = ("cat/a", "cat/c", "cat/d", "dog/a", "dog/c")

NET = """
import torch

class Net(torch.nn.Module):
    def __init__(self, inputs=6, outputs=2):
        super().__init__()
        self.layer = torch.nn.Linear(inputs, outputs)

    def forward(self, x):
        return self.layer(x)
"""


def parquet(**columns: Any) -> bytes:
    sink = pa.BufferOutputStream()
    pyarrow.parquet.write_table(pa.table(columns), sink)
    return bytes(sink.getvalue())


def npy(array: "np.ndarray[Any, Any]") -> bytes:
    sink = io.BytesIO()
    np.save(sink, array, allow_pickle=True)
    return sink.getvalue()


def npz(**arrays: "np.ndarray[Any, Any]") -> bytes:
    sink = io.BytesIO()
    np.savez(sink, **arrays)
    return sink.getvalue()


CONFIGURATION = {
    "mistyped keys, told at once": config_file(
        "data:\n  source: people.csv\n  taget: income\ntrian: {epochs: 3}\nmodel: {hiden: [3]}\n",
        "run.yaml:1: data.target is missing",
        "run.yaml:3: data.taget: unknown key. Did you mean 'target'?",
        "run.yaml:4: trian: unknown key. Did you mean 'train'? Valid keys: cluster, data,",
        "run.yaml:5: model.hiden: unknown key for mlp. Did you mean 'hidden'?",
    ),
    "key given twice": config_file(
        "data:\n  source: people.csv\n  target: income\n  target: age\n",
        "run.yaml:4: data.target is given twice, first on line 3",
    ),
    "tab": config_file("data:\n\tsource: people.csv\n", "run.yaml:2", "Indent with spaces"),
    "empty file": config_file("", "run.yaml: is empty", "data: {source: FILE, target: COLUMN}"),
    "list": config_file("- data\n", "run.yaml: holds a list", "a mapping of sections"),
    "binary file": config_file(b"\0\1\xff\xfe", "is not UTF-8 text", "Save it as UTF-8"),
    "latin-1": config_file("name: Köln\n".encode("latin-1"), "byte 0xf6 at 7"),
    "folder": word("sub", "sub: is a folder", "There is no YAML file", files={"sub/a": ""}),
    "absent file": word("ran.yaml", "ran.yaml: no such file", "Did you mean 'run.yaml'?"),
    "unset variable": word(
        "data.source=${NO_SUCH}/a.csv", "uses ${NO_SUCH}", "give a default: ${NO_SUCH:-VALUE}"
    ),
    "unset variable in storage": word("storage=${NO_SUCH}/a", "storage uses ${NO_SUCH}"),
    "secret": word("track.uri=http://me:pw@host", "a URL with a password", "write ${VAR}"),
    "secret under a name that says so": word(
        "model={target: 'net:Net', args: {api_key: abc}}",
        "model.args.api_key holds what looks like a secret",
        "write ${API_KEY} in its place",
        files={"net.py": NET},
    ),
    "password for the workers": word(
        "cluster.env={DB_PASSWORD: abc}", "looks like a password", "${DB_PASSWORD}"
    ),
    "secret for the workers that is not there": word(
        "cluster.env={HF_TOKEN: '***'}", "is not kept with the run", "cluster.env.HF_TOKEN=${HF_"
    ),
    "secret in a query": word("data.source='s3://b/a.csv?secret_key=abc'", "a URL with a token in"),
    "secret in a default": word("track.uri='http://me:${NO_SUCH:-pw}@host'", "with a password"),
    "registered name with a slash": word(
        "track.register.model=a/b", "track.register.model is text 'a/b'", "letters, digits, '.'"
    ),
    "registered name with a colon": word("track.register.model=a:b", "letters, digits, '.'"),
    "registered name that is too long": word(
        f"track.register.model={'a' * 101}", "at most 100 letters"
    ),
    "experiment name that is too long": word(f"name={'a' * 101}", "at most 100 letters"),
    "experiment name in another script": word(
        "name=опыт", "name is text 'опыт'", "letters, digits"
    ),
    "metric name that is too long": word(
        f"evaluate.metrics=[{{target: 'net:{'m' * 230}'}}]",
        "is 230 characters long",
        "at most 200",
        "Give the function a shorter name",
    ),
    "alias latest": word("track.register.alias=latest", "reserved by MLflow", "champion"),
    "alias with a dot": word("track.register.alias=prod.eu", "track.register.alias", "'_' and '-'"),
    "name with slashes": word("name=a/b", "name is text 'a/b'", "letters, digits"),
    "name that leads out": word("name=..", "name is text '..'", "letters, digits"),
    "reserved name": word("name=prepared", "name = 'prepared' is reserved"),
    "mistyped override": word("train.epoch=3", "train.epoch", "Did you mean 'epochs'?"),
    "word for a number": word("train.epochs=ten", "'ten'", "a whole number of at least 1"),
    "rate that is no number": word("train.optimizer.lr=.nan", "is nan", "above 0"),
    "unknown option": word("--jsn", "No such option: --jsn", "--json", "--help"),
    "more workers than logical shards": word(
        "train.num_workers=5", "5 is more than logical_shards = 4", "at most 4 workers"
    ),
    "more workers than a local Ray takes": Case(
        ("train.num_workers=17", "train.logical_shards=32"),
        ("17 workers with 1 CPU each do not fit on a local Ray, which takes 16", "fewer workers"),
    ),
    "batch that cannot be cut": Case(
        ("train.global_batch_size=100", "train.logical_shards=8"),
        ("global_batch_size = 100 cannot be cut into logical_shards = 8", "e.g. 96 or 104"),
    ),
    "stopping on a test metric": word(
        "train.early_stopping.metric=test/accuracy", "steer training", "'validation/accuracy'"
    ),
    "goal on an unknown metric": word(
        "evaluate.goals={test/acuracy: '>= 0.5'}", "will not be measured", "'test/accuracy'"
    ),
    "storage at another store": word("storage=gs://bucket/runs", "a name only once", "a folder"),
    "shares of a model at an object store": Case(
        ("storage=s3://bucket/runs", "train.strategy=fsdp"),
        ("storage that is an object store", "use strategy: ddp"),
    ),
}

DATA = {
    "missing file": word(
        "data.source=peple.csv", "no such file", "Did you mean 'people.csv'?", kind="data"
    ),
    "glob without a match": word(
        "data.source='part-*.csv'", "no file matches", "at least one file", kind="data"
    ),
    "empty file": source("", "the file is empty"),
    "header alone": source(HEADER, "columns but no rows", "bad.csv"),
    "blank lines": source("\n\n", "nothing but white space"),
    "empty folder": word(
        "data.source=sub", "it is empty", kind="data", prepare=lambda f: (f / "sub").mkdir()
    ),
    "no regular file": word(
        "data.source=pipe.csv",
        "neither a file nor a directory",
        kind="data",
        prepare=lambda folder: os.mkfifo(folder / "pipe.csv"),
    ),
    "absent target": word(
        "data.target=incom",
        "no column 'incom'",
        "Did you mean 'income'? Columns: age, city, hours, income",
        kind="data",
    ),
    "one class": source(HEADER + "1,A,2,low\n2,B,3,low\n", "one class: 'low'", "at least two"),
    "a class for each row": source(
        HEADER + "1,A,2,low\n2,B,3,mid\n3,C,3,high\n", "each of the 3 rows has a class of its own"
    ),
    "target all missing": source(HEADER + "1,A,2,\n2,B,3,NA\n", "no value in any row", "'income'"),
    "csv called parquet": source(PEOPLE, "is no parquet", "data.format", name="bad.parquet"),
    "parquet called csv": source(parquet(income=["a", "b"]), "is parquet", "data.format"),
    "binary called csv": source(bytes(range(256)) * 9, "the content is binary", "Expected text"),
    "torn gzip": source(
        gzip.compress(PEOPLE.encode())[:-40], "reading failed", "whole", name="bad.csv.gz"
    ),
    "no bytes called parquet": source("", "the file is empty", name="bad.parquet"),
    "torn parquet": source(
        parquet(income=["a", "b"])[:-9], "no whole Parquet file", name="bad.parquet"
    ),
    "parquet without rows": source(
        parquet(income=pa.array([], pa.string())), "columns but no rows", name="bad.parquet"
    ),
    "other encoding": source(
        (PEOPLE + "3,Köln,3,low\n").encode("latin-1"),
        "bad.csv:62: byte 0xf6 is not UTF-8",
        "data.read.encoding, likely to latin-1",
    ),
    "unknown encoding": word("data.read.encoding=utf-9", "no encoding", "Try utf-8"),
    "ragged record": source(PEOPLE + "1,Bern,3\n", "bad.csv:62", "3 fields", "4, as there are"),
    "open quote": source(PEOPLE + '1,"Bern,3,low\n2,Rome,3,high\n', "bad.csv:63", "2 fields"),
    "column named twice": source("age,age,income\n1,2,a\n2,3,b\n", "more than once: 'age'"),
    "other delimiter": source(PEOPLE.replace(",", ";"), "data.read.delimiter to ';'"),
    "JSON line cut in the middle": source(
        '{"age": 1, "income": "a"}\n{"age": 2, "inc', "bad.jsonl:2", "cut short", name="bad.jsonl"
    ),
    "JSON list of numbers": source("[1, 2]", "record 1", "is a number", name="bad.json"),
    "zero bytes": source(b"age,income\n1,a\n\0\0", "is binary", "byte 15 is zero"),
    "arrow that is none": source("age,income\n", "is no arrow", name="bad.arrow"),
    "torn arrow": source(b"ARROW1\0\0torn", "no whole Arrow file", name="bad.arrow"),
    "npy of objects": source(npy(np.array([{}])), "would be unpickled", name="bad.npy"),
    "npz without the array": source(
        npz(x_train=np.zeros((4, 2)), y_train=np.zeros(4)),
        "no array 'y_trian'",
        "Did you mean 'y_train'?",
        name="bad.npz",
        words=("data.read.arrays={income: y_trian}",),
    ),
    "npz of arrays that differ in length": source(
        npz(age=np.zeros(4), income=np.zeros(5)), "has 5 rows", "Expected 4", name="bad.npz"
    ),
    "image that is none": source("hello", "cannot be decoded", name="bad.png"),
    "images in one folder": Case(
        ("data.source=dogs", "data.target=label"),
        ("all 2 files lie in one folder", "a folder for each class"),
        {
            "dogs/a.png": png(np.zeros((2, 2), np.uint8)),
            "dogs/b.png": png(np.ones((2, 2), np.uint8)),
        },
        kind="data",
    ),
    "text files in one folder": Case(
        ("data.source=texts", "data.format=text", "data.target=label"),
        ("all 2 files lie in one folder", "data.read.example to line"),
        {"texts/neg.txt": "dull\nlong\n", "texts/pos.txt": "great\nshort\n"},
        kind="data",
    ),
    "packed parquet": source(gzip.compress(b"a"), "Unpack it first", name="bad.parquet.gz"),
    "unknown feature": word(
        "data.features={aeg: drop}", "no column 'aeg'", "Did you mean 'age'?", kind="data"
    ),
    "unknown weight": word("data.weight=hour", "Did you mean 'hours'?", kind="data"),
    "positive class that is not there": word(
        "data.positive=hihg", "'hihg' is no class", "Did you mean 'high'?", kind="data"
    ),
    "infinite regression target": source(
        HEADER + "1,A,2,low\n2,B,inf,low\n3,B,4,low\n", "infinite in 1 rows", words=REGRESSION
    ),
    "text in a regression target": source(
        HEADER + "1,A,2,low\n2,B,many,low\n",
        "the target is 'many' there",
        "column 'hours', row 2 of",
        words=REGRESSION,
    ),
    "regression target that never changes": source(
        HEADER + "1,A,2,low\n2,B,2,low\n", "the target is 2 in every row", words=REGRESSION
    ),
    "absent test file": word("data.test_source=test.csv", "no such file", kind="data"),
    "test file without a column": holdout(
        PEOPLE.replace("hours", "hour"), "lacks 'hours'", "Did you mean 'hour'?", "test.csv"
    ),
    "test file without rows": holdout(HEADER, "columns but no rows", "test.csv"),
    "test file with another class": holdout(
        PEOPLE.replace("high", "High"), "'High' is no class", "Did you mean 'high'?", "data.labels"
    ),
    "unknown built-in": word(
        "data.source=sklearn:digit", "Did you mean 'sklearn:digits'?", kind="data"
    ),
}

PLACES = {
    "storage is a file": word(
        "storage=people.csv", "people.csv is not a folder", "storage = ", "storage=PATH"
    ),
    "storage lies in a file": word("storage=people.csv/runs", "people.csv is not a folder"),
    "storage is a link to nothing": word(
        "storage=link", "link is not a folder", prepare=lambda f: (f / "link").symlink_to("no/x")
    ),
    "a file where runs go": word("name=a", "runs/a is not a folder", files={"runs/a": ""}),
    "a file where prepared data goes": Case(
        (), ("data.cache.path = ", "prepared is not a folder"), {"runs/prepared": ""}
    ),
    "storage in a device": word("storage=/dev/null/runs", "/dev/null is not a folder"),
    "no database": Case(
        (),
        ("storage = ", "it is no SQLite database", "track.uri"),
        {"runs/mlflow.db": "nothing of the kind"},
        kind="tracking",
        code=4,
    ),
    "database that cannot be made": word(
        "track.uri=sqlite:///people.csv/mlflow.db",
        "people.csv is not a folder",
        kind="tracking",
        code=4,
    ),
    "silent tracking server": word(
        f"track.uri=http://{CLOSED}",
        f"track.uri = http://{CLOSED}: no tracking server answers",
        "Start it or mend the address",
        "With --offline the record stays here until `distrain sync`",
        kind="tracking",
        code=4,
    ),
    "silent tracking server of the environment": Case(
        (),
        (f"MLFLOW_TRACKING_URI = http://{CLOSED}", "no tracking server answers"),
        environment={"MLFLOW_TRACKING_URI": f"http://{CLOSED}"},
        kind="tracking",
        code=4,
    ),
    "no address of a tracking server": word("track.uri=host:5000", "http://host:5000 was meant"),
    "no address of a cluster": word("cluster.address=head", "'head'", "HOST:PORT", "6379"),
}

CODE = {
    "module that is not there": word(
        "model.target=nett:Net", "importing nett failed", "Check the spelling", kind="model"
    ),
    "module that does not import": net("import no_such_library\n", "No module named 'no_such_lib"),
    "module that is no Python": net("class Net(:\n", "SyntaxError", "net.py, line 1"),
    "module that leaves": net("raise SystemExit(0)\n", "importing net failed (SystemExit: 0)"),
    "class that is not there": net(
        NET, "has no 'Nett'. Did you mean 'Net'?", words=("model.target=net:Nett",)
    ),
    "class that is no module": net("class Net: pass\n", "gives a Net", "torch.nn.Module"),
    "state that is no tensor": net(
        f"{NET}\n    def get_extra_state(self):\n        return lambda: 3\n",
        "holds a function, '_extra_state'",
        "tensors only",
    ),
    "constructor that raises": net(
        NET.replace("super", "1 / 0; super"), "net:Net() failed: ZeroDivisionError", "model.args"
    ),
    "weights that are unpickled": Case(
        ("model.init_from=net.pt",),
        ("model.init_from = ", "net.pt", "may run code", "convert it once", "weights_only=True"),
        {"net.pt": b"any"},
        kind="model",
    ),
    "weights that are not there": word(
        "model.init_from=net.safetensors", "there is no such file", kind="model"
    ),
    "weights of a model that is not there": word(
        "model.init_from=models:/nothing@champion", "no model registered", "Name the storage"
    ),
    "argument that is not there": net(
        NET, "argument 'outs'", words=("model={target: 'net:Net', args: {outs: 3}}",)
    ),
    "loss that is not there": net(
        NET, "train.loss.target", "net has no 'los'", words=("train.loss={target: 'net:los'}",)
    ),
    "key in the code": net(
        f"KEY = '{'AKIA' + 'IOSFODNN7EXAMPLE'}'\n{NET}",
        "the code holds what looks like an AWS access key (",
        "net.py:1)",
        "Read it from the environment",
        "pragma: allowlist secret",
    ),
    "password in the code": net(
        f"{NET}\nPASSWORD = 'pass4word'\n", "a secret given to PASSWORD", "net.py:12)"
    ),
    "metric that cannot be called": net(
        "A = 3\n", "evaluate.metrics", "a int", words=("evaluate.metrics=[{target: 'net:A'}]",)
    ),
}


# Told where all rows are read, or where a model meets the data: on Ray.
ROWS = {
    "ragged record far into the file": source(
        PEOPLE + "".join(f"{i % 90},Bern,{i % 70},low\n" for i in range(350_000)) + "1,2,3\n",
        "bad.csv:350062",
        "3 fields",
    ),
    "text where numbers were, in the test file": holdout(
        HEADER + "old,Bern,40,low\n", "'old' is not a number", "column 'age', row 1 of", "test.csv"
    ),
    "text in a numeric column": source(
        HEADER + "1,A,2,low\n2,B,3,high\nold,C,4,low\n4,D,5,high\n",
        "'old' is not a number",
        "column 'age', row 3 of",
        "bad.csv",
        words=("data.features={age: numeric}",),
    ),
    "image of another size": Case(
        ("data.source=pets", "data.target=label"),
        ("the image has height 3 and width 2", "pets/dog/b.png", "size: [height, width]"),
        {
            **{f"pets/{at}.png": png(np.zeros((2, 2), np.uint8)) for at in PETS},
            "pets/dog/b.png": png(np.zeros((3, 2), np.uint8)),
        },
        kind="data",
    ),
    "image that ends early": Case(
        ("data.source=pets", "data.target=label"),
        ("the image cannot be decoded", "pets/dog/b.png", "Fetch the file again"),
        {
            **{f"pets/{at}.png": png(np.zeros((2, 2), np.uint8)) for at in PETS},
            "pets/dog/b.png": png(np.zeros((2, 2), np.uint8))[:44],
        },
        kind="data",
    ),
    "negative weight": source(
        PEOPLE + "1,Bern,-2,low\n", "negative (down to -2)", "'hours'", words=("data.weight=hours",)
    ),
    "weight that is text": word("data.weight=city", "the weight is text", "'city'", kind="data"),
    "no feature": word(
        "data.features={age: drop, city: id, hours: drop}", "no feature is left", kind="data"
    ),
    "more workers than the cluster has": Case(
        ("train.num_workers=5", "train.logical_shards=8"),
        ("5 workers with 1 CPU each do not fit on the cluster", "take 4", "fewer workers"),
    ),
}

MISFITS = {
    "outputs of another width": net(
        NET,
        "given x of shape (2, 6)",
        "returned shape (2, 3)",
        "Expected a tensor of shape (2, 2)",
        words=("model={target: 'net:Net', args: {outputs: 3}}",),
    ),
    "inputs of another width": net(
        NET,
        "x of shape (2, 6)",
        "(2x6 and 7x2)",
        "take rows of shape (6,)",
        words=("model={target: 'net:Net', args: {inputs: 7}}",),
    ),
    "forward that raises": net(
        NET.replace("return ", "raise KeyError('mask')\n        return "),
        "forward failed on x of shape (2, 6) and type float32: KeyError: 'mask'",
        "outputs of shape (2, 2)",
    ),
    "forward that asks for another column": net(
        NET.replace("forward(self, x", "forward(self, agee, city"),
        "model Net: forward asks for 'agee'",
        "Did you mean 'age'? There are: age, city, hours.",
    ),
    "no parameters": net(
        "from torch import nn\n"
        "class Net(nn.Module):\n    def forward(self, x):\n        return x[:, :2]\n",
        "model Net: the model has no parameter to train",
        "Give it a layer",
    ),
    "all frozen": word("train.freeze=['*']", "has no parameter to train", kind="model"),
    "frozen by a name that is not there": word(
        "train.freeze=['encoder.*']",
        "train.freeze: 'encoder.*' matches no parameter of the model",
        "There are: 1.*, 1.0.*, 2.*",
        kind="model",
    ),
    "no outputs": net(NET.replace("return ", ""), "returned a NoneType"),
    "loss that is neither by row nor a number": net(
        "def loss(outputs, targets):\n    return outputs, targets\n",
        "outputs of shape (2, 2) and targets of shape (2,), and returned a tuple of 2",
        "a tensor of shape (2,); or (sum, weight)",
        words=("train.loss={target: 'net:loss'}",),
    ),
    "weight of a class that is not there": word(
        "train.loss={name: cross_entropy, class_weights: {hihg: 2}}",
        "'hihg' is not a class. Did you mean 'high'?",
        kind="model",
    ),
    "model that no memory holds": word(
        "model.hidden=[100000000000]",
        "mlp cannot be built",
        "Make its layers smaller",
        kind="model",
    ),
}


def table(*tables: Mapping[str, Case]) -> list[Any]:
    return [pytest.param(case, id=name) for one in tables for name, case in one.items()]


@pytest.fixture
def no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a command that starts Ray, or connects to one, fail in a way that nothing expects."""

    def start(*_args: object, **_kwargs: object) -> None:
        raise AssertionError("Ray was started")

    monkeypatch.setattr("distrain.workplace.ray_session", start)
    monkeypatch.setattr("distrain.workplace.is_connected", lambda: False)


@pytest.fixture
def not_connected(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a command find no Ray in this process, though other tests may share one."""
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setattr("distrain.ray_session.CONNECT_TIMEOUT_S", 0.3)


@pytest.fixture(scope="module")
def web_server() -> Iterator[str]:
    """HOST:PORT of a server that is neither MLflow's nor Ray's."""
    handler = http.server.BaseHTTPRequestHandler
    with http.server.HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.usefixtures("no_ray")
@pytest.mark.parametrize("case", table(CONFIGURATION, DATA, PLACES, CODE))
def test_a_fault_is_told_before_ray_starts_and_leaves_nothing(case: Case, tmp_path: Path) -> None:
    ended = run(tmp_path, case)

    assert_told(ended, case)
    assert ended.left == []


@pytest.mark.usefixtures("no_ray")
@pytest.mark.parametrize("words", [["prepare", "run.yaml"], ["train", "run.yaml", "--dry-run"]])
def test_prepare_and_a_dry_run_tell_the_same_faults(words: list[str], tmp_path: Path) -> None:
    fill(tmp_path, DATA["absent target"])

    ended = run_in_process([*words, "data.target=incom", "--json"], tmp_path)

    assert_told(ended, DATA["absent target"])
    assert ended.left == []


@pytest.mark.usefixtures("no_ray")
def test_a_dry_run_of_what_is_right_leaves_nothing(tmp_path: Path) -> None:
    fill(tmp_path, Case((), ()))

    ended = run_in_process(["train", "run.yaml", "--dry-run"], tmp_path)

    assert ended.code == 0, ended.stderr
    assert ended.left == []


@pytest.mark.usefixtures("no_ray")
def test_what_nobody_foresaw_is_told_with_its_traceback(tmp_path: Path) -> None:
    case = Case((), ("AssertionError: Ray was started", "report it"), kind="error", code=1)

    ended = run(tmp_path, case)

    assert_told(ended, case)
    assert "Traceback (most recent call last)" in ended.stderr
    assert ended.left == []


@pytest.mark.usefixtures("no_ray")
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc")
def test_storage_that_even_root_cannot_write_is_told(tmp_path: Path) -> None:
    case = word("storage=/proc/runs", "storage = /proc/runs: /proc ", "this user can write")

    assert_told(run(tmp_path, case), case)


@pytest.mark.usefixtures("no_ray")
def test_a_server_that_is_not_mlflow_is_told(web_server: str, tmp_path: Path) -> None:
    told = ("it is no MLflow server", "Check the port")
    case = Case((f"track.uri=http://{web_server}",), told, kind="tracking", code=4)

    ended = run(tmp_path, case)

    assert_told(ended, case)
    assert ended.left == []


@pytest.mark.usefixtures("not_connected")
@pytest.mark.parametrize(
    ("words", "environment", "origin"),
    [
        ((f"cluster.address={CLOSED}",), {}, f"cluster.address = {CLOSED}"),
        (("--address", CLOSED), {}, f"cluster.address = {CLOSED}"),
        (("--address", "[::1]:1"), {}, "cluster.address = [::1]:1"),
        ((), {"RAY_ADDRESS": CLOSED}, f"RAY_ADDRESS = {CLOSED}"),
    ],
)
def test_a_cluster_that_does_not_answer_is_told(
    words: tuple[str, ...], environment: dict[str, str], origin: str, tmp_path: Path
) -> None:
    parts = (f"{origin}: nothing answers", "to use a new local Ray")
    case = Case(words, parts, environment=environment, kind="cluster", code=4)

    ended = run(tmp_path, case)

    assert_told(ended, case)
    assert ended.left == []


@pytest.mark.usefixtures("not_connected")
def test_a_server_that_is_not_ray_is_told(web_server: str, tmp_path: Path) -> None:
    address = f"cluster.address={web_server}"
    case = word(address, "it is no Ray cluster", "usually 6379", kind="cluster", code=4)

    ended = run(tmp_path, case)

    assert_told(ended, case)
    assert ended.left == []


@pytest.mark.usefixtures("not_connected")
def test_a_server_that_says_nothing_is_no_cluster(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"cluster.address=127.0.0.1:{server.getsockname()[1]}"
        case = word(address, "nothing answers there (timed out)", kind="cluster", code=4)

        ended = run(tmp_path, case)

    assert_told(ended, case)
    assert ended.left == []


@pytest.mark.slow
def test_a_ray_is_known_by_its_answer(ray_local: str) -> None:
    host, _, port = ray_local.rpartition(":")

    assert speaks_grpc(host, int(port))


@pytest.mark.slow
@pytest.mark.usefixtures("ray_local")
@pytest.mark.parametrize("case", table(ROWS))
def test_a_fault_that_ray_finds_leaves_nothing(case: Case, tmp_path: Path) -> None:
    ended = run(tmp_path, case)

    assert_told(ended, case)
    assert ended.left == []


@pytest.mark.slow
@pytest.mark.usefixtures("ray_local")
@pytest.mark.parametrize("case", table(MISFITS))
def test_a_misfit_is_told_before_launch_and_leaves_only_whole_prepared_data(
    case: Case, tmp_path: Path
) -> None:
    ended = run(tmp_path, case)

    assert_told(ended, case)
    (manifest,) = tmp_path.glob("runs/prepared/*/manifest.json")
    (index,) = tmp_path.glob("runs/prepared/index/*.json")
    shards = manifest.parent / "shards"
    whole = {*shards.iterdir(), shards, manifest, manifest.parent, index, index.parent}
    whole |= {tmp_path / "runs", tmp_path / "runs" / "prepared"}
    assert {tmp_path / path for path in ended.left} == whole


@pytest.mark.usefixtures("ray_local")
def test_what_is_odd_but_no_fault_is_told_with_its_column(tmp_path: Path) -> None:
    rows = PEOPLE + "30,Bern,3,\n30,Bern,4,NaN\n"
    fill(tmp_path, Case((), (), {"people.csv": rows}))

    ended = run_in_process(["prepare", "run.yaml", "data.labels={hihg: High}"], tmp_path)

    assert ended.code == 0, ended.stderr
    assert "column 'income': 2 rows of data.source have no target" in ended.stdout
    assert "column 'income': data.labels renames 'hihg', which no row has" in ended.stdout


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["train.epoch=3"], 2, "error: command line: train.epoch: unknown key. Did you mean"),
        pytest.param(
            *(["data.target=incom"], 2, "there is no column 'incom'."), marks=pytest.mark.slow
        ),
        pytest.param(
            *([f"track.uri=http://{CLOSED}"], 4, "no tracking server answers there"),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_person_is_told_on_stderr(words: list[str], code: int, told: str, tmp_path: Path) -> None:
    fill(tmp_path, Case((), ()))
    command = [str(Path(sys.executable).with_name("distrain")), "train", "run.yaml", *words]

    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)

    assert (ended.returncode, ended.stdout) == (code, "")
    assert told in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} == {"people.csv", "run.yaml"}
