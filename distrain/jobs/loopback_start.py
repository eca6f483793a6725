"""`ray start` for a node that stays on 127.0.0.1: `python -m distrain.jobs.loopback_start OPTIONS`.

`ray start --node-ip-address=127.0.0.1` takes the machine's outward address instead, and then all
of Ray's servers listen on every interface.
"""

import importlib
import sys
from typing import Any

from distrain.loopback import begun_on_loopback


def main() -> None:
    """Run `ray start` with the arguments of the command line; it does not return."""
    scripts: Any = importlib.import_module("ray.scripts.scripts")
    sys.argv = ["ray", "start", *sys.argv[1:]]
    with begun_on_loopback():
        scripts.main()


if __name__ == "__main__":
    main()
