"""One training run: a job and a prepared dataset enter, final weights and measures leave.

`loop.py` is the place to begin: it and all it imports know torch, numpy and pyarrow only. `run.py`
starts it in the workers of Ray Train.

    job.py         what to do, as plain values        world.py          how many workers, which one
    setup.py       all that the loop works with       state.py          how far it is; save, take up
    components.py  each of that by one function       preflight.py     some rows, before the launch
    starting.py    weights from elsewhere             network.py        how rows become a loss
    own_step.py    a step of the user's own           own_optimizer.py  an update rule of theirs
    step.py        one optimizer step                 reduce.py         the sum over parts, workers
    sums.py        which sum: exact or fast           levels.py         that sum over machines
    flat.py        parameters as one vector           shared_memory.py  that sum within one machine
    buffers.py     what a forward pass changes        bells.py          waiting for one another
    losses.py      outputs and targets to a loss      collective.py     exchanges outside the step
    optimize.py    update rules, learning rates       determinism.py    what is fixed for the bits
    precision.py   float32 or half of it              ema.py            a running average of weights
    spikes.py      which losses are extraordinary     trouble.py        whose rows; what is done
    course.py      what changes on the way            taken_over.py    another run's state
    times.py       where an epoch's time went         profiling.py      a trace of a few steps
    evaluation.py  one pass over a split              metrics.py        sums, predictions to metrics
    selection.py   the best so far, and enough        recorder.py       what is told while it runs
    saving.py      checkpoints beside the training    ledger.py         which rows were trained on
    checkpoint.py  state on disk                      tensor_file.py    tensors, with a checksum
    run.py         the driver on Ray Train            worker.py         what it starts in a worker
    placement.py   where workers can be               from_settings.py  settings to a job
    bounds.py      a share of a cluster               growth.py         what may still come to it
    line.py        waiting in line for room
    attempts.py    again after a loss, or not         faults.py         whose fault a loss is
    oversight.py   the driver's eyes on workers       nodes.py          the machines there are
    beat.py        what a worker tells of itself      watch.py          who stands still
    system_metrics.py  how busy the machines are      samplers.py       one on each of them
    node_usage.py  what a sampler measures            hosts.py          whether all see the storage
    speed.py       how fast it is now                 gauges.py         what Prometheus gets
"""

from distrain.door import make_callable

# `distrain.train(...)` trains: see `distrain.door`.
make_callable(__name__)
