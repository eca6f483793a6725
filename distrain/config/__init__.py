"""What the user asks for: YAML files and overrides enter, one tree of frozen settings leaves.

`load.py` is the way in. On the way: `source_lines.py` (YAML with line numbers), `tree.py` (merge,
short forms), `paths.py`, `environment.py` (variables, secrets), `explain.py` (what is wrong with
the values), `checks.py` (what is wrong between them), `defaults.py` (what depends on other values).
`digest.py` and `schema.py` lead out: the resolved file, its digest, the reference.
"""
