"""Faulty configuration files, each with the whole text that the user reads."""

import pytest

from distrain.config.load import load_settings
from distrain.errors import ConfigError

DATA = "data: {source: a.csv, target: y}\n"
TRAIN_KEYS = (
    "activation_checkpointing, changes, checkpoint, compile, early_stopping, ema, epochs, "
    "freeze, global_batch_size, gradient_clip_norm, ledger, logical_shards, loss, lr_by_name, "
    "lr_schedule, max_failures, max_time_s, num_workers, on_spike, optimizer, precision, "
    "profile, reduction, resources_per_worker, restore_best, step, steps, strategy, "
    "threads_per_worker"
)
DATA_KEYS = (
    "cache, clean, collate, dataset, features, format, ingest, labels, loader_workers, "
    "num_classes, positive, read, source, split, target, task, test_dataset, test_source, "
    "validation_dataset, weight"
)

FILES = {
    "nothing but a typing error": (
        DATA + "train:\n  epohcs: 3\n",
        f"run.yaml:3: train.epohcs: unknown key. Did you mean 'epochs'? Valid keys: {TRAIN_KEYS}.",
    ),
    "a key of another section": (
        DATA + "epochs: 3\n",
        "run.yaml:2: epochs: unknown key. Did you mean 'train.epochs'? Valid keys: cluster, data, "
        "evaluate, model, name, seed, storage, track, train, tune.",
    ),
    "a dotted key": (
        DATA + "train.optimizer.lr: 3\n",
        "run.yaml:2: train.optimizer.lr: unknown key. In a file write train: {optimizer: {lr: "
        "...}}; dotted keys are for the command line. Valid keys: cluster, data, evaluate, model, "
        "name, seed, storage, track, train, tune.",
    ),
    "a merge key, which YAML 1.2 does not know": (
        DATA + "track: {<<: {uri: x}}\n",
        "run.yaml:2: track.<<: unknown key. Valid keys: drain_s, every_steps, register, "
        "system_metrics_every_s, uri.",
    ),
    "no data section": (
        "seed: 1\n",
        "run.yaml: data.source is missing. Say where the data lies: `source: FILE` below `data:`.\n"
        "run.yaml: data.target is missing. Say which column to predict: `target: COLUMN` below "
        "`data:`.",
    ),
    "no target": (
        "seed: 1\ndata:\n  source: a.csv\n",
        "run.yaml:2: data.target is missing. Say which column to predict: `target: COLUMN` below "
        "`data:`.",
    ),
    "half an IDX source": (
        "data:\n  source: {idx: {images: a}}\n  target: label\n",
        "run.yaml:2: data.source.idx.labels is missing. Add it: IDX file of uint8 labels (magic "
        "2049); .gz is read through.",
    ),
    "a section that is a word": (
        DATA + "train: fast\n",
        f"run.yaml:2: train is text 'fast'. Expected a mapping of {TRAIN_KEYS}.",
    ),
    "a data section that is a word": (
        "data: a.csv\n",
        f"run.yaml:1: data is text 'a.csv'. Expected a mapping of {DATA_KEYS}.",
    ),
    "text for a number": (
        DATA + "train: {epochs: many}\n",
        "run.yaml:2: train.epochs is text 'many'. Expected a whole number of at least 1 or null.",
    ),
    "a quoted number": (
        DATA + "train: {global_batch_size: '64'}\n",
        "run.yaml:2: train.global_batch_size is text '64'. Expected a whole number of at least 1. "
        "Take the quotes off.",
    ),
    "a fraction for a whole number": (
        DATA + "train: {global_batch_size: 0.5}\n",
        "run.yaml:2: train.global_batch_size is 0.5. Expected a whole number of at least 1.",
    ),
    "a boolean for a number": (
        DATA + "train: {global_batch_size: true}\n",
        "run.yaml:2: train.global_batch_size is true. Expected a whole number of at least 1.",
    ),
    "a number out of its range": (
        DATA + "model: {dropout: 1}\n",
        "run.yaml:2: model.dropout is 1. Expected a number from 0 to below 1.",
    ),
    "infinity": (
        DATA + "train: {optimizer: {lr: .inf}}\n",
        "run.yaml:2: train.optimizer.lr is inf. Expected a number above 0.",
    ),
    "a number or a word": (
        DATA + "train: {num_workers: 0}\n",
        "run.yaml:2: train.num_workers is 0. Expected a whole number of at least 1, a mapping of "
        "max, min or auto.",
    ),
    "a boolean of YAML 1.1": (
        DATA + "train: {ledger: yes}\n",
        "run.yaml:2: train.ledger is text 'yes'. Expected true or false. Write true.",
    ),
    "a variable where no text is expected": (
        DATA + "train: {steps: '${STEPS:-3}'}\n",
        "run.yaml:2: train.steps is text '${STEPS:-3}'. Expected a whole number of at least 1 or "
        "null. A variable can stand only for text; on the command line the shell fills it in: "
        "train.steps=$VAR.",
    ),
    "a number for text": (
        "data: {source: a.csv, target: 3}\n",
        "run.yaml:1: data.target is 3. Expected text; a list of at least one value, each text; "
        "or null. Put it in quotes: '3'.",
    ),
    "nothing for text": (
        "data: {source: '', target: [y, '']}\n",
        "run.yaml:1: data.source is empty. Expected text; a mapping of idx; a list of at least "
        "one value, each text; or null.\n"
        "run.yaml:1: data.target[1] is empty. Expected text.",
    ),
    "an empty list": (
        "data: {source: [], target: y}\n",
        "run.yaml:1: data.source is a list. Expected text; a mapping of idx; a list of at "
        "least one value, each text; or null.",
    ),
    "a word for a list": (
        DATA + "evaluate:\n  metrics: accuracy\n",
        "run.yaml:3: evaluate.metrics is text 'accuracy'. Expected a list of values, each text or "
        "a mapping of target; or null. Put it in brackets: [accuracy].",
    ),
    "a number for a list": (
        DATA + "model: {hidden: 64}\n",
        "run.yaml:2: model.hidden is 64. Expected a list of values, each a whole number of at "
        "least 1. Put it in brackets: [64].",
    ),
    "a wrong value in a list": (
        DATA + "model:\n  hidden:\n    - 64\n    - big\n",
        "run.yaml:5: model.hidden[1] is text 'big'. Expected a whole number of at least 1.",
    ),
    "a list of the wrong length": (
        DATA + "train: {optimizer: {betas: [0.9]}}\n",
        "run.yaml:2: train.optimizer.betas is a list. Expected a list of 2 values, each a number "
        "from 0 to below 1.",
    ),
    "a mapping for a number": (
        DATA + "train: {epochs: {max: 3}}\n",
        "run.yaml:2: train.epochs is a mapping. Expected a whole number of at least 1 or null.",
    ),
    "a word near a valid one": (
        DATA.replace("y}", "y, task: clasification}"),
        "run.yaml:1: data.task is text 'clasification'. Expected one of classification, "
        "regression or null. Did you mean 'classification'?",
    ),
    "an unknown model": (
        DATA + "model: mpl\n",
        "run.yaml:2: model.name is text 'mpl'. Did you mean 'mlp'? Valid names: cnn, linear, mlp; "
        "for your own, target: package.module:Name.",
    ),
    "an unknown optimizer": (
        DATA + "train:\n  optimizer:\n    name: lion\n",
        "run.yaml:4: train.optimizer.name is text 'lion'. Valid names: adam, adamw, rmsprop, sgd"
        "; for your own, target: package.module:Name.",
    ),
    "a name that is no word": (
        DATA + "train: {lr_schedule: {name: 3}}\n",
        "run.yaml:2: train.lr_schedule.name is 3. Valid names: constant, cosine, one_cycle, step"
        "; for your own, target: package.module:Name.",
    ),
    "a loss without a name": (
        DATA + "train: {loss: {}}\n",
        "run.yaml:2: train.loss.name is missing. Valid names: cross_entropy, huber, mae, mse; "
        "for your own, target: package.module:Name.",
    ),
    "a model with name and target": (
        DATA + "model: {name: mlp, target: a:B}\n",
        "run.yaml:2: model has both name and target. Expected one of the two. Keep name for a "
        "built-in one, or target for your own.",
    ),
    "an import path without a colon": (
        DATA + "model: {target: nets.Net}\n",
        "run.yaml:2: model.target is text 'nets.Net'. Expected an import path such as "
        "package.module:Name.",
    ),
    "an argument of another optimizer": (
        DATA + "train:\n  optimizer:\n    name: sgd\n    betas: [0.9, 0.99]\n",
        "run.yaml:5: train.optimizer.betas: unknown key for sgd. It belongs to adam, adamw. Valid "
        "keys for sgd: lr, momentum, name, nesterov, weight_decay.",
    ),
    "an argument of no optimizer": (
        DATA + "train: {optimizer: {name: sgd, momentun: 0.9}}\n",
        "run.yaml:2: train.optimizer.momentun: unknown key for sgd. Did you mean 'momentum'? "
        "Valid keys for sgd: lr, momentum, name, nesterov, weight_decay.",
    ),
    "an argument that belongs to the user's own model": (
        DATA + "model: {args: {}}\n",
        "run.yaml:2: model.args: unknown key for mlp. It belongs to target. Valid keys for mlp: "
        "activation, dropout, hidden, init_from, name, norm, residual.",
    ),
    "a typing error in the user's own model": (
        DATA + "model: {traget: a:B}\n",
        "run.yaml:2: model.traget: unknown key for mlp. Did you mean 'target'? Valid keys for "
        "mlp: activation, dropout, hidden, init_from, name, norm, residual.",
    ),
    "a number for a model": (
        DATA + "model: 3\n",
        "run.yaml:2: model is 3. Expected a name (cnn, linear, mlp) or a mapping with a name and "
        "its arguments or a mapping of args, init_from, target.",
    ),
    "nothing for an optimizer": (
        DATA + "train: {optimizer: null}\n",
        "run.yaml:2: train.optimizer is null. Expected a name (adam, adamw, rmsprop, sgd) or a "
        "mapping with a name and its arguments or a mapping of args, lr, target.",
    ),
    "a number for a column": (
        "data: {source: a.csv, target: y, features: {zip: 3}}\n",
        "run.yaml:1: data.features.zip is 3. Expected a kind, such as drop, or a mapping with "
        "kind and more.",
    ),
    "an unknown kind of column": (
        "data: {source: a.csv, target: y, features: {zip: categoric}}\n",
        "run.yaml:1: data.features.zip.kind is text 'categoric'. Expected one of numeric, "
        "categorical, boolean, calendar, text, image, id, drop or null. Did you mean "
        "'categorical'?",
    ),
    "a delimiter of two characters": (
        "data: {source: a.csv, target: y, read: {delimiter: '||'}}\n",
        "run.yaml:1: data.read.delimiter is text '||'. Expected one character or null.",
    ),
    "an image size of three numbers": (
        "data: {source: a.png, target: y, read: {size: [28, 28, 3]}}\n",
        "run.yaml:1: data.read.size is a list. Expected a whole number from 1 to 4096, height and "
        "width, such as [48, 64] or null.",
    ),
    "a goal without a comparison": (
        DATA + "evaluate: {goals: {test/loss: 0.3}}\n",
        "run.yaml:2: evaluate.goals.test/loss is 0.3. Expected a comparison and a number, such as "
        "'>= 0.85'.",
    ),
    "a goal without a number": (
        DATA + "evaluate: {goals: {test/loss: '< low'}}\n",
        "run.yaml:2: evaluate.goals.test/loss is text '< low'. Expected a comparison and a "
        "number, such as '>= 0.85'.",
    ),
    "a name that is no folder's": (
        "name: my run\n" + DATA,
        "run.yaml:1: name is text 'my run'. Expected at most 100 letters, digits, '.', '_' and "
        "'-'.",
    ),
    "several faults, in the order of their lines": (
        "evaluate: {goals: {test/f2: '> 0'}}\n"
        "train:\n"
        "  global_batch_size: 100\n"
        "  logical_shards: 8\n"
        "  num_workers: two\n"
        "data:\n"
        "  source: a.csv\n"
        "  targt: y\n",
        "run.yaml:1: evaluate.goals: test/f2 will not be measured. Did you mean 'test/r2'? Valid "
        "metrics: model/num_parameters, samples_per_second, test/accuracy, test/f1, test/loss, "
        "test/mae, test/r2, test/rmse, test/roc_auc, train/loss, validation/accuracy, "
        "validation/f1, validation/loss, validation/mae, validation/r2, validation/rmse, "
        "validation/roc_auc.\n"
        "run.yaml:3: train.global_batch_size = 100 cannot be cut into logical_shards = 8 equal "
        "parts. Use a multiple of 8, e.g. 96 or 104.\n"
        "run.yaml:5: train.num_workers is text 'two'. Expected a whole number of at least 1, a "
        "mapping of max, min or auto.\n"
        "run.yaml:6: data.target is missing. Say which column to predict: `target: COLUMN` below "
        "`data:`.\n"
        "run.yaml:8: data.targt: unknown key. Did you mean 'target'? Valid keys: "
        f"{DATA_KEYS}.",
    ),
}


@pytest.mark.parametrize(("text", "message"), FILES.values(), ids=FILES)
def test_a_faulty_file_is_told_in_plain_words(tmp_path, monkeypatch, text, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.yaml").write_text(text)

    with pytest.raises(ConfigError) as caught:
        load_settings(["run.yaml"])

    assert str(caught.value) == message


OVERRIDES = {
    "an unknown key": (
        ["track.ury=x"],
        "command line: track.ury: unknown key. Did you mean 'uri'? Valid keys: drain_s, "
        "every_steps, register, system_metrics_every_s, uri.",
    ),
    "a wrong value": (
        ["train.epochs=NO"],
        "command line: train.epochs is text 'NO'. Expected a whole number of at least 1 or null.",
    ),
    "a key below a number": (
        ["train.epochs.max=3"],
        "command line: train.epochs is a mapping. Expected a whole number of at least 1 or null.",
    ),
    "no equals sign": (
        ["train.epochs"],
        "command line: text 'train.epochs' is no override. Expected section.key=value, such as "
        "train.epochs=5.",
    ),
    "an empty part of the path": (
        ["train..epochs=3"],
        "command line: text 'train..epochs=3' is no override. Expected section.key=value, such as "
        "train.epochs=5.",
    ),
    "broken YAML": (
        ["model.hidden=[64"],
        "command line: model.hidden: not valid YAML: expected ',' or ']', but got '<stream end>'. "
        "Check brackets, quotes and indentation.",
    ),
    "a file's value and an override that do not fit each other": (
        ["train.logical_shards=3"],
        "run.yaml:2: train.global_batch_size = 64 cannot be cut into logical_shards = 3 equal "
        "parts. Use a multiple of 3, e.g. 63 or 66.",
    ),
    "an override that does not fit a default": (
        ["train.num_workers=5"],
        "command line: train.num_workers = 5 is more than logical_shards = 4, and each worker "
        "needs a part of the batch. Use at most 4 workers, or logical_shards = 5 (which changes "
        "the bits of the result).",
    ),
    "two faults": (
        ["a=1", "seed=x"],
        "command line: a: unknown key. Valid keys: cluster, data, evaluate, model, name, seed, "
        "storage, track, train, tune.\n"
        "command line: seed is text 'x'. Expected a whole number from 0 to 9223372036854775807.",
    ),
}


@pytest.mark.parametrize(("overrides", "message"), OVERRIDES.values(), ids=OVERRIDES)
def test_a_faulty_override_is_told_in_plain_words(tmp_path, monkeypatch, overrides, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.yaml").write_text(DATA + "train: {global_batch_size: 64, epochs: 2}\n")

    with pytest.raises(ConfigError) as caught:
        load_settings(["run.yaml"], overrides)

    assert str(caught.value) == message


def test_a_fault_is_told_with_the_file_that_it_comes_from(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one.yaml").write_text(DATA + "seed: x\n")
    (tmp_path / "two.yaml").write_text("\n\ntrain:\n  epochs: 0\n")

    with pytest.raises(ConfigError) as caught:
        load_settings(["one.yaml", "two.yaml"])

    assert str(caught.value).splitlines() == [
        "one.yaml:2: seed is text 'x'. Expected a whole number from 0 to 9223372036854775807.",
        "two.yaml:4: train.epochs is 0. Expected a whole number of at least 1 or null.",
    ]


def test_a_single_fault_keeps_its_four_parts_apart(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.yaml").write_text(DATA + "train: {ledger: no}\n")

    with pytest.raises(ConfigError) as caught:
        load_settings(["run.yaml"])

    error = caught.value
    assert (error.where, error.message) == ("run.yaml:2", "train.ledger is text 'no'")
    assert (error.expected, error.mend) == ("true or false", "Write false")


def test_a_reserved_file_name_asks_for_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "prepared.yaml").write_text(DATA)

    with pytest.raises(ConfigError) as caught:
        load_settings(["prepared.yaml"])

    assert str(caught.value) == (
        "prepared.yaml: name = 'prepared' is reserved: distrain keeps something else below "
        "storage under that name. Add another: `name: ...` (without it, the file's name counts)."
    )
