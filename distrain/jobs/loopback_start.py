"""`ray start` for a node that stays on 127.0.0.1: `python -m distrain.jobs.loopback_start OPTIONS`.

`ray start --node-ip-address=127.0.0.1` takes the machine's outward address instead, and then all
of Ray's servers listen on every interface. A node whose address really is 127.0.0.1 has them listen
there alone.
"""

import importlib
import os
import sys
from typing import Any, Final

# Named after the systems where it is Ray's default; it has processes take 127.0.0.1 for this host.
LOOPBACK_VARIABLE: Final = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"


def main() -> None:
    """Run `ray start` with the arguments of the command line; it does not return."""
    scripts: Any = importlib.import_module("ray.scripts.scripts")
    services: Any = importlib.import_module("ray._private.services")
    services.resolve_ip_for_localhost = lambda host: host
    # Set after Ray was imported, as `ray start` itself refuses several nodes with it; what this
    # process starts, workers and the drivers of jobs among them, reads it.
    os.environ[LOOPBACK_VARIABLE] = "0"
    sys.argv = ["ray", "start", *sys.argv[1:]]
    scripts.main()


if __name__ == "__main__":
    main()
