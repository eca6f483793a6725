"""Where the development data sets are, which tests and measurements on real data need."""

import os
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent


def development_data() -> Path:
    """Return the folder that they are in, or would be: `DISTRAIN_DATA`, else beside the repository.

    It may not be there.
    """
    return Path(os.environ.get("DISTRAIN_DATA", REPOSITORY.parent / "shared" / "data"))
