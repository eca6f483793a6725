"""The tiny variant of each example runs as its README says."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent.parent
EXAMPLES = REPOSITORY / "examples"


def train_tiny(config: str, folder: Path, data: Path | None = None) -> dict[str, object]:
    """Run the command itself, in a fresh folder; return its JSON."""
    path = EXAMPLES / config
    done = subprocess.run(
        [
            *(sys.executable, "-c", "from distrain.cli import main; main()"),
            *("train", str(path), str(path.parent / "tiny.yaml"), "--json"),
        ],
        cwd=folder,
        env=os.environ | ({"DISTRAIN_DATA": str(data)} if data else {}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    [line] = done.stdout.splitlines()
    result: dict[str, object] = json.loads(line)
    return result


@pytest.mark.slow
@pytest.mark.parametrize("config", ["digits/digits.yaml", "custom-model/wine.yaml"])
def test_the_tiny_variant_of_an_example_runs(config: str, tmp_path: Path) -> None:
    result = train_tiny(config, tmp_path)

    assert result["status"] == "finished"
    assert result["model"] is not None


@pytest.mark.realdata
@pytest.mark.parametrize("config", ["adult/adult.yaml", "fashion-mnist/fashion-mnist.yaml"])
def test_the_tiny_variant_of_an_example_runs_on_real_data(
    config: str, tmp_path: Path, real_data: Path
) -> None:
    result = train_tiny(config, tmp_path, real_data)

    assert result["status"] == "finished"
