"""Values that are each right and do not fit each other."""

import pytest

from distrain.config.load import settings_from_dict
from distrain.errors import ConfigError

CLASSES = {"task": "classification"}
NUMBERS = {"task": "regression"}
NO_VALIDATION = {"split": {"validation": 0}}


def load(data=None, **sections):
    return settings_from_dict(
        {"data": {"source": "a.csv", "target": "y", **(data or {})}} | sections
    )


def told(data, sections):
    with pytest.raises(ConfigError) as caught:
        load(data, **sections)
    return str(caught.value)


DATA = {
    "a test fraction beside a holdout": (
        {"test_source": "b.csv", "split": {"test": 0.2}},
        "data.split.test = 0.2 stands beside data.test_source, which is the test split. Leave out "
        "one of them.",
    ),
    "no rows left to train on": (
        {"split": {"validation": 0.5, "test": 0.5}},
        "data.split.validation = 0.5 and data.split.test = 0.5 leave no rows to train on. "
        "Expected a sum below 1.",
    ),
    "the default test fraction counts too": (
        {"split": {"validation": 0.95}},
        "data.split.validation = 0.95 and data.split.test = 0.1 leave no rows to train on. "
        "Expected a sum below 1.",
    ),
    "hash without a column": (
        {"split": {"kind": "hash"}},
        "data.split.kind = hash needs to know a column. Add data.split.column.",
    ),
    "fixed without a column": (
        {"split": {"kind": "fixed"}},
        "data.split.kind = fixed needs to know a column. Add data.split.column.",
    ),
    "a column that nothing looks at": (
        {"split": {"column": "c"}},
        "data.split.column = 'c' has no effect on a random split. Leave it out, or set "
        "data.split.kind to group, time, hash or fixed.",
    ),
    "several targets to classify": (
        {"target": ["a", "b"], **CLASSES},
        "data.target names 2 columns; classification has one target. Train one model for each.",
    ),
    "the same target twice": (
        {"target": ["a", "a"]},
        "data.target names 'a' 2 times. Name each column once.",
    ),
    "classes of a regression": (
        {"positive": 1, **NUMBERS},
        "data.positive speaks of classes, but data.task says regression. Leave out data.positive.",
    ),
    "labels of a regression": (
        {"target": ["a", "b"], "labels": {"x": "y"}},
        "data.labels speaks of classes, but data.target with several columns says regression. "
        "Leave out data.labels.",
    ),
    "a regression stratified": (
        {"source": "sklearn:diabetes", "split": {"kind": "stratified"}},
        "data.split.kind = stratified divides by class, but data.source = sklearn:diabetes says "
        "regression. Use random.",
    ),
    "the target as a feature": (
        {"features": {"y": "numeric"}},
        "data.features.y is the target, which is no feature. Leave it out here.",
    ),
    "the weight as target": (
        {"weight": "y"},
        "data.weight = 'y' is also the target. Name another column.",
    ),
    "the weight as a feature": (
        {"weight": "w", "features": {"w": "numeric"}},
        "data.features.w holds the row weights, which are no feature. Leave it out here.",
    ),
    "a scale for categories": (
        {"features": {"c": {"kind": "categorical", "scale": "log"}}},
        "data.features.c.scale has no effect on kind categorical. Leave it out; it is for kind "
        "numeric.",
    ),
    "a dropped column filled in": (
        {"features": {"c": {"kind": "drop", "missing": 0}}},
        "data.features.c.missing has no effect on kind drop. Leave it out; it is for kind "
        "numeric, boolean and calendar.",
    ),
    "reading of text for parquet": (
        {"source": "a.parquet", "read": {"header": False}},
        "data.read.header has no effect on parquet. Leave it out; it is for csv and tsv.",
    ),
    "reading of text for built-in data": (
        {"source": "sklearn:iris", "read": {"strip": False}},
        "data.read.strip has no effect on built-in data. Leave it out; it is for csv and tsv.",
    ),
    "reading of text for images": (
        {"source": {"idx": {"images": "i", "labels": "l"}}, "read": {"delimiter": ";"}},
        "data.read.delimiter has no effect on idx. Leave it out; it is for csv and tsv.",
    ),
    "arrays of a table of text": (
        {"source": "a.csv", "read": {"arrays": {"x": "x_train"}}},
        "data.read.arrays has no effect on csv. Leave it out; it is for npz.",
    ),
    "a size for text": (
        {"source": "a", "format": "text", "read": {"size": [8, 8]}},
        "data.read.size has no effect on text. Leave it out; it is for images, parquet and arrow.",
    ),
    "words of a number": (
        {"features": {"c": {"kind": "numeric", "max_words": 9}}},
        "data.features.c.max_words has no effect on kind numeric. Leave it out; it is for kind "
        "text.",
    ),
    "a name for two columns": (
        {"read": {"names": ["a", "b", "a"]}},
        "data.read.names has 'a' 2 times. Name each column once.",
    ),
    "an unknown encoding": (
        {"read": {"encoding": "utf-9"}},
        "data.read.encoding = 'utf-9' is no encoding that Python knows. Try utf-8, latin-1 or "
        "cp1252.",
    ),
}


@pytest.mark.parametrize(("data", "message"), DATA.values(), ids=DATA)
def test_data_that_does_not_fit_itself(data, message):
    assert told(data, {}) == message


METRICS_TAIL = (
    "Valid metrics: train/loss, validation/accuracy, validation/f1, validation/loss, "
    "validation/roc_auc."
)
GOALS_TAIL = (
    "Valid metrics: model/num_parameters, samples_per_second, test/loss, test/mae, test/r2, "
    "test/rmse, train/loss, validation/loss, validation/mae, validation/r2, validation/rmse."
)


def stop_on(metric, **more):
    return {"train": {"early_stopping": {"metric": metric, **more}}}


REST = {
    "a reserved name": (
        {},
        {"name": "mlflow.db"},
        "name = 'mlflow.db' is reserved: distrain keeps something else below storage under that "
        "name. Add another: `name: ...` (without it, the file's name counts).",
    ),
    "an alias that MLflow keeps": (
        {},
        {"track": {"register": {"alias": "latest"}}},
        "track.register.alias = 'latest' is reserved by MLflow. Use another, such as champion.",
    ),
    "an alias that looks like a version": (
        {},
        {"track": {"register": {"alias": "v12"}}},
        "track.register.alias = 'v12' is reserved by MLflow. Use another, such as champion.",
    ),
    "an even kernel": (
        {},
        {"model": {"name": "cnn", "kernel_size": 4}},
        "model.kernel_size = 4 is even, so a kernel would have no middle. Use 3 or 5.",
    ),
    "epochs and steps": (
        {},
        {"train": {"epochs": 2, "steps": 30}},
        "train.steps = 30 stands beside train.epochs = 2; only one of them can hold. Leave out "
        "epochs or steps.",
    ),
    "checkpoints by time and by steps": (
        {},
        {"train": {"checkpoint": {"every_s": 2, "every_steps": 3}}},
        "train.checkpoint.every_steps = 3 stands beside train.checkpoint.every_s = 2.0; only one "
        "of them can hold. Leave out every_s or every_steps.",
    ),
    "evaluation by epochs and by steps": (
        {},
        {"evaluate": {"every_epochs": 2, "every_steps": 3}},
        "evaluate.every_steps = 3 stands beside evaluate.every_epochs = 2; only one of them can "
        "hold. Leave out every_epochs or every_steps.",
    ),
    "a batch that cannot be cut": (
        {},
        {"train": {"global_batch_size": 3}},
        "train.global_batch_size = 3 cannot be cut into logical_shards = 4 equal parts. Use a "
        "multiple of 4, e.g. 4.",
    ),
    "more workers than parts": (
        {},
        {"train": {"num_workers": 8}},
        "train.num_workers = 8 is more than logical_shards = 4, and each worker needs a part of "
        "the batch. Use at most 4 workers, or logical_shards = 8 (which changes the bits of the "
        "result).",
    ),
    "more workers than parts, at most": (
        {},
        {"train": {"num_workers": {"min": 1, "max": 8}}},
        "train.num_workers = 8 is more than logical_shards = 4, and each worker needs a part of "
        "the batch. Use at most 4 workers, or logical_shards = 8 (which changes the bits of the "
        "result).",
    ),
    "fewer workers at most than at least": (
        {},
        {"train": {"num_workers": {"min": 3, "max": 2}}},
        "train.num_workers.min = 3 is more than its max = 2. Name the smaller number first.",
    ),
    "a GPU and a half": (
        {},
        {"train": {"resources_per_worker": {"gpu": 1.5}}},
        "train.resources_per_worker.gpu = 1.5 is neither a whole number nor below 1. Ray gives a "
        "worker a part of one GPU, or whole ones: use 1 or 0.5, for example.",
    ),
    "a warm-up that never ends": (
        {},
        {"train": {"steps": 10, "lr_schedule": {"warmup_steps": 10}}},
        "train.lr_schedule.warmup_steps = 10 is not less than train.steps = 10, so the rate would "
        "never be reached. Warm up for a tenth of the steps or less.",
    ),
    "Nesterov without momentum": (
        {},
        {"train": {"optimizer": {"name": "sgd", "nesterov": True, "momentum": 0}}},
        "train.optimizer.nesterov = true needs a momentum above 0. Set momentum, e.g. 0.9, or "
        "leave nesterov out.",
    ),
    "a loss of the other task": (
        NUMBERS,
        {"train": {"loss": "cross_entropy"}},
        "train.loss.name = cross_entropy is for classification, but data.task says "
        "regression. For regression use mse, mae, huber.",
    ),
    "a loss that does not fit the built-in data": (
        {"source": "sklearn:digits"},
        {"train": {"loss": "mse"}},
        "train.loss.name = mse is for regression, but data.source = sklearn:digits says "
        "classification. For classification use cross_entropy.",
    ),
    "stopping on a test metric": (
        CLASSES,
        stop_on("test/accuracy"),
        "train.early_stopping.metric = 'test/accuracy' would let the test split steer training; "
        "it is looked at once, at the end. Expected a validation metric or train/loss. Use "
        "'validation/accuracy'.",
    ),
    "stopping without a validation split": (
        NO_VALIDATION,
        stop_on("validation/loss"),
        "train.early_stopping.metric = 'validation/loss' needs a validation split. Set "
        "data.split.validation above 0, or use train/loss.",
    ),
    "stopping on a metric without its split": (
        CLASSES,
        stop_on("accuracy"),
        "train.early_stopping.metric = 'accuracy' will not be computed. Did you mean "
        f"'validation/accuracy'? {METRICS_TAIL}",
    ),
    "stopping on a metric that was not asked for": (
        CLASSES,
        stop_on("validation/recall"),
        "train.early_stopping.metric = 'validation/recall' will not be computed. Add recall to "
        f"evaluate.metrics. {METRICS_TAIL}",
    ),
    "stopping on a metric with a typing error": (
        CLASSES,
        stop_on("validation/acuracy"),
        "train.early_stopping.metric = 'validation/acuracy' will not be computed. Did you mean "
        f"'validation/accuracy'? {METRICS_TAIL}",
    ),
    "stopping on a metric of the other task": (
        CLASSES,
        stop_on("validation/rmse"),
        "train.early_stopping.metric = 'validation/rmse' will not be computed. rmse is not for "
        f"classification. {METRICS_TAIL}",
    ),
    "stopping on an own metric of unknown direction": (
        {},
        stop_on("validation/cost") | {"evaluate": {"metrics": [{"target": "a:cost"}]}},
        "train.early_stopping.metric = 'validation/cost' is your own, so its direction is not "
        "known. Add train.early_stopping.mode: min or max.",
    ),
    "restoring the best without a validation split": (
        NO_VALIDATION,
        {"train": {"restore_best": True}},
        "train.restore_best = true needs a validation split to find the best model on. Set "
        "data.split.validation above 0, or leave restore_best out.",
    ),
    "an unknown metric": (
        CLASSES,
        {"evaluate": {"metrics": ["acuracy"]}},
        "evaluate.metrics: 'acuracy' is no metric. Did you mean 'accuracy'? Valid names: "
        "accuracy, average_precision, balanced_accuracy, f1, log_loss, loss, precision, recall, "
        "roc_auc.",
    ),
    "a metric of the other task": (
        NUMBERS,
        {"evaluate": {"metrics": ["rmse", "roc_auc"]}},
        "evaluate.metrics: roc_auc is not for regression, which data.task says. "
        "Valid names: loss, mae, mse, r2, rmse.",
    ),
    "two metrics of one name": (
        {},
        {"evaluate": {"metrics": ["accuracy", {"target": "a:accuracy"}]}},
        "evaluate.metrics names 'accuracy' 2 times. Give each metric a name of its own.",
    ),
    "a goal with a typing error": (
        NUMBERS,
        {"evaluate": {"goals": {"test/rsme": "< 5"}}},
        f"evaluate.goals: test/rsme will not be measured. Did you mean 'test/rmse'? {GOALS_TAIL}",
    ),
    "a goal without its split": (
        NUMBERS,
        {"evaluate": {"goals": {"rmse": "< 5"}}},
        f"evaluate.goals: rmse will not be measured. Did you mean 'validation/rmse'? {GOALS_TAIL}",
    ),
    "a goal on a metric that was not asked for": (
        NUMBERS,
        {"evaluate": {"goals": {"test/mse": "< 5"}}},
        f"evaluate.goals: test/mse will not be measured. Add mse to evaluate.metrics. {GOALS_TAIL}",
    ),
    "a goal on a split that is not there": (
        {**NUMBERS, "split": {"test": 0}},
        {"evaluate": {"goals": {"test/rmse": "< 5"}}},
        "evaluate.goals: test/rmse will not be measured. There is no test split; set "
        "data.split.test above 0.",
    ),
    "compiled blocks that run again": (
        {},
        {"train": {"compile": True, "activation_checkpointing": True}},
        "train.compile = true stands beside train.activation_checkpointing = true; torch compiles "
        "no blocks that put their buffers back. Leave out one of them.",
    ),
    "compiled shares": (
        {},
        {"train": {"compile": True, "strategy": "fsdp"}},
        "train.compile = true stands beside train.strategy = fsdp; a compiled model cannot be "
        "taken apart and put together between its blocks. Leave compile out, or use strategy: ddp.",
    ),
    "an address without a port": (
        {},
        {"cluster": {"address": "head-node"}},
        "cluster.address is 'head-node'. Expected auto, local or HOST:PORT. The port is usually "
        "6379.",
    ),
    "the address of another protocol": (
        {},
        {"cluster": {"address": "ray://head-node:10001"}},
        "cluster.address is 'ray://head-node:10001'. Expected auto, local or HOST:PORT. Name the "
        "head node's own port, usually 6379.",
    ),
}


@pytest.mark.parametrize(
    "name", ["prepared", "Prepared", "mlartifacts", "mlflow.db", "mlflow.db.lock", "mlflow.db-wal"]
)
def test_what_lies_beside_the_runs_is_no_name_for_one(name):
    assert f"name = {name!r} is reserved" in told({}, {"name": name})


@pytest.mark.parametrize(("data", "sections", "message"), REST.values(), ids=REST)
def test_sections_that_do_not_fit_each_other(data, sections, message):
    assert told(data, sections) == message


FITTING = {
    "stopping on the training loss without a validation split": (
        NO_VALIDATION,
        stop_on("train/loss"),
    ),
    "an own metric whose direction is given": (
        {},
        stop_on("validation/cost", mode="min") | {"evaluate": {"metrics": [{"target": "a:cost"}]}},
    ),
    "any default metric while the task is not known": ({}, stop_on("validation/rmse")),
    "goals on everything that is measured": (
        CLASSES,
        {
            "evaluate": {
                "metrics": ["f1"],
                "goals": {
                    "test/f1": ">= .85",
                    "validation/loss": "< 1e0",
                    "train/loss": "<= 1.",
                    "model/num_parameters": "<= 1e6",
                    "samples_per_second": " > +10 ",
                },
            }
        },
    ),
    "a group in one split": ({"split": {"kind": "hash", "column": "group"}}, {}),
    "the weight dropped from the features": ({"weight": "w", "features": {"w": "drop"}}, {}),
    "one target in a list": ({"target": ["y"], **CLASSES}, {}),
    "text as holdout of a parquet file": (
        {"source": "a.parquet", "test_source": "b.csv", "read": {"header": False}},
        {},
    ),
    "a compressed text file": ({"source": "a.CSV.gz", "read": {"delimiter": ";"}}, {}),
    "a loss of the user's own": (NUMBERS, {"train": {"loss": {"target": "a:loss"}}}),
    "an IPv6 address": ({}, {"cluster": {"address": "[::1]:6379"}}),
    "workers that come and go": ({}, {"train": {"num_workers": {"min": 1, "max": 4}}}),
    "a worker for each part": ({}, {"train": {"num_workers": 4, "logical_shards": 4}}),
}


@pytest.mark.parametrize(("data", "sections"), FITTING.values(), ids=FITTING)
def test_what_fits_is_let_through(data, sections):
    assert load(data, **sections).name == "run"
