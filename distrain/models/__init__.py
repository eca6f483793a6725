"""Networks: a plain model section and the data's shape enter, a `torch.nn.Module` leaves.

`build.py` is the door; one file per family; `target.py` finds the user's own classes and functions;
`instance.py` and `kept.py` make again what existed when it was handed over from Python. To add a
family, touch two files: its own, and `build.py`'s table. Imports torch only: no ray, no mlflow, no
pydantic.
"""
