"""Fails where pip resolved to another Ray or MLflow than the locked one.

An unlucky resolution falls back in silence to a Ray of a year ago, whose contracts differ.
"""

import re
import sys
from importlib.metadata import version
from pathlib import Path

CHECKED = ("ray", "mlflow", "torch")


def locked_version(name: str, constraints: str) -> str:
    """Return the version that the constraints file pins for a package."""
    found = re.search(rf"^{re.escape(name)}==(\S+)$", constraints, flags=re.MULTILINE)
    if found is None:
        raise SystemExit(f"constraints.txt does not pin {name}. Pin it to the tested version.")
    return found.group(1)


def main() -> None:
    """Compare what is installed with what is locked; exit 1 with both where they differ."""
    constraints = (Path(__file__).parent.parent / "constraints.txt").read_text(encoding="utf-8")
    wrong = [
        f"{name} {version(name)} is installed, {locked_version(name, constraints)} is locked"
        for name in CHECKED
        if version(name).partition("+")[0] != locked_version(name, constraints)
    ]
    if wrong:
        sys.exit("; ".join(wrong) + ". Remove .venv and run `make install` again.")


if __name__ == "__main__":
    main()
