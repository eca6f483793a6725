"""Secrets planted in the words of a command line and in its environment appear nowhere."""

import secrets
from pathlib import Path

import pytest

from tests.bad_cases import CONFIG, PEOPLE
from tests.command_line import run_in_process

NET = """
import torch

class Net(torch.nn.Module):
    def __init__(self, api_key):
        raise ValueError(f"{api_key} is refused")
"""
NOWHERE = "http://127.0.0.1:1"
TRAIN = ("train", "run.yaml", "--dry-run", "--offline", "--json")
# SECRET stands for what is planted, ${PLANTED} for a variable that holds it.
WORDS = {
    "a tracking server's password": (*TRAIN, "track.uri=http://me:SECRET@h/"),
    "a source's password": (*TRAIN, "data.source=s3://me:SECRET@bucket/x.csv"),
    "a source's password in a variable": (
        *TRAIN,
        "data.source=nosuch://me:${PLANTED}@h/x.csv?token=${PLANTED}",
    ),
    "a model's argument": (*TRAIN, "model={target: 'net:Net', args: {api_key: SECRET}}"),
    "a model's argument in a variable": (
        *TRAIN,
        "model={target: 'net:Net', args: {api_key: '${PLANTED}'}}",
    ),
    "a worker's variable beside a fault": (
        *TRAIN,
        "cluster.env={HF_TOKEN: SECRET}",
        "train.epohcs=3",
    ),
    "a cluster's password": (*TRAIN, "cluster.address=ray://me:SECRET@h:1"),
    "an unknown key": (*TRAIN, "train.password=SECRET"),
    "an unknown option": (*TRAIN, "--token=SECRET"),
    "a word that is no override": (*TRAIN, "api_key = SECRET"),
    "a configuration's URI": ("train", "https://me:SECRET@h/run.yaml"),
    "a run's URI": ("resume", "https://me:SECRET@h/x"),
    "a search's URI": ("why", "https://me:SECRET@h/x", "3"),
    "a storage's URI": ("runs", "--storage", "https://me:SECRET@h/x"),
    "a storage to sync": ("sync", "--storage", "https://me:SECRET@h/x"),
    "a storage to look at": ("ui", "--storage", "https://me:SECRET@h/x"),
    "a model's URI": ("promote", "models:/a@b?token=SECRET", "--alias", "c"),
    "a cluster to ask": ("job", "list", "--address", "http://me:SECRET@127.0.0.1:1"),
    "a cluster to submit to": (
        *("submit", "--address", "http://me:SECRET@127.0.0.1:1"),
        *("train", "run.yaml"),
    ),
    "a variable of a job": (
        *("submit", "--address", NOWHERE, "--env", "MY_TOKEN"),
        *("train", "run.yaml", "--json"),
    ),
    "a database in a variable of a job": (
        *("submit", "--address", NOWHERE, "--env", "DATABASE", "train", "run.yaml", "--json"),
    ),
    "the chaos' configuration": ("chaos", "https://me:SECRET@h/run.yaml"),
    "the schema": ("schema",),
}


@pytest.mark.parametrize("words", WORDS.values(), ids=WORDS)
def test_a_planted_secret_is_told_nowhere(words: tuple[str, ...], tmp_path: Path) -> None:
    secret = f"hunter2{secrets.token_hex(8)}"
    (tmp_path / "people.csv").write_text(PEOPLE)
    (tmp_path / "run.yaml").write_text(CONFIG)
    (tmp_path / "net.py").write_text(NET)
    environment = {
        "PLANTED": secret,
        "MY_TOKEN": secret,
        "DATABASE": f"postgresql://me:{secret}@h/db",
    }

    ended = run_in_process([w.replace("SECRET", secret) for w in words], tmp_path, environment)

    assert ended.code == (0 if words == ("schema",) else 4 if NOWHERE in words else 2)
    assert ended.stdout + ended.stderr
    assert secret not in ended.stdout + ended.stderr
    assert ended.left == []
