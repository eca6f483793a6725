"""`make chaos`: more than fifty faults; prints a table, and one line of JSON at the end."""

import argparse
import json
import random
import sys
import tempfile
from pathlib import Path

from tests.chaos.schedule import carry_out, long_schedule


def main() -> None:
    """Carry the long schedule out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--out", type=Path, default=None)
    asked = parser.parse_args()
    chance = random.Random(asked.seed)
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        figures = carry_out(long_schedule(chance, asked.rounds), Path(folder), chance)
    print(figures.table(), file=sys.stderr)
    text = json.dumps(figures.to_json())
    if asked.out is not None:
        asked.out.write_text(text + "\n", encoding="utf-8")
    print(text)
    is_whole = figures.num_same == len(figures.hashes)
    sys.exit(0 if is_whole and not figures.rows_repeated + figures.rows_missing else 1)


if __name__ == "__main__":
    main()
