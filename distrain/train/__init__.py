"""One training run: a job and a prepared dataset enter, final weights and measures leave.

`loop.py` is the place to begin: it and all it imports know torch, numpy and pyarrow only. `run.py`
starts it in the workers of Ray Train.

    job.py          what to do, as plain values       world.py       how many workers, which one
    step.py         one optimizer step                reduce.py      the sum over parts and workers
    flat.py         parameters as one vector          buffers.py     what a forward pass changes
    losses.py       outputs and targets to a loss     optimize.py    update rules, learning rates
    evaluation.py   one pass over a split             metrics.py     sums, predictions to metrics
    selection.py    the best so far, and enough       recorder.py    what is told while it runs
    checkpoint.py   state on disk                     ledger.py      which rows were trained on
"""

from distrain.door import make_callable

# `distrain.train(...)` trains: see `distrain.door`.
make_callable(__name__)
