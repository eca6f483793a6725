"""However large a forged file claims to be, reading it takes a bounded part of the memory."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_no_forged_file_fills_the_memory(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.security.in_little_memory", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert done.stdout.splitlines() == [
        "checkpoint_manifest returned",
        "checkpoint_claim returned",
        "model_description ModelError",
        "model_layers ModelError",
        "dataset_shard DataError",
        "journal_line returned",
        "packed_rows DataError",
        "configuration ConfigError",
    ]
    assert done.returncode == 0
