"""What is wrong with a search: told before it begins, with the place and how to mend it."""

import pytest

from distrain.config.load import load_settings, settings_from_dict
from distrain.errors import ConfigError

LR = {"train.optimizer.lr": {"loguniform": [1e-4, 1e-1]}}
KEYS = "Keys are written out, such as train.optimizer.lr or model.dropout."
READABLE = (
    "Expected keys such as train.global_batch_size, numbers, quoted text, lists, comparisons, in, "
    "and, or, not, + - * / // %."
)


def load(tune, **sections):
    data = {"source": "a.csv", "target": "y"}
    return settings_from_dict({"data": data, **sections, "tune": {"space": LR, **tune}})


def told(tune, **sections):
    with pytest.raises(ConfigError) as caught:
        load(tune, **sections)
    return str(caught.value)


SPACES = {
    "nothing varies": (
        {},
        "tune.space is empty, so all trials would be the same. Name a key, e.g. "
        "{train.optimizer.lr: {loguniform: ...}}.",
    ),
    "a key that is not there": (
        {"train.optimiser.lr": {"uniform": [0.1, 1]}},
        "tune.space.train.optimiser.lr: the configuration has no key 'train.optimiser.lr'. Did you "
        f"mean 'train.optimizer.lr'? {KEYS}",
    ),
    "a key that is not written out": (
        {"lr": {"uniform": [0.1, 1]}},
        "tune.space.lr: the configuration has no key 'lr'. Did you mean 'train.optimizer.lr'? "
        f"{KEYS}",
    ),
    "the data": (
        {"data.split.seed": {"randint": [0, 3]}},
        "tune.space.data.split.seed: data.split.seed cannot vary between trials: all trials share "
        "one prepared dataset. Expected a key below model or train, or seed. Set data.split.seed "
        "for all of them, outside tune.",
    ),
    "where it runs": (
        {"train.num_workers": {"choice": [1, 2]}},
        "tune.space.train.num_workers: train.num_workers cannot vary between trials: it changes no "
        "trial's result. Expected a key below model or train, or seed. Set train.num_workers for "
        "all of them, outside tune.",
    ),
    "how it is measured": (
        {"evaluate.every_epochs": {"choice": [1, 2]}},
        "tune.space.evaluate.every_epochs: evaluate.every_epochs cannot vary between trials: all "
        "trials are measured alike. Expected a key below model or train, or seed. Set "
        "evaluate.every_epochs for all of them, outside tune.",
    ),
    "the whole of train": (
        {"train": {"choice": [{"epochs": 1}]}},
        "tune.space.train: train cannot vary as a whole. Name a key below it, such as "
        "train.optimizer.",
    ),
    "no domain": (
        {"seed": {}},
        "tune.space.seed does not say what values it takes. Give one of choice, grid, uniform, "
        "loguniform, quniform, randint, lograndint, normal.",
    ),
    "two domains": (
        {"seed": {"choice": [1, 2], "randint": [1, 2]}},
        "tune.space.seed is choice and randint at once. Keep one of them.",
    ),
    "bounds reversed": (
        {"model.dropout": {"uniform": [0.5, 0]}},
        "tune.space.model.dropout.uniform = [0.5, 0] has its bounds the wrong way round. Write "
        "[0, 0.5].",
    ),
    "bounds equal": (
        {"model.dropout": {"uniform": [0.5, 0.5]}},
        "tune.space.model.dropout.uniform = [0.5, 0.5] holds nothing that varies. Set the key to "
        "0.5 outside tune, or widen the range.",
    ),
    "the logarithm of nothing": (
        {"train.optimizer.lr": {"loguniform": [0, 0.1]}},
        "tune.space.train.optimizer.lr.loguniform = [0, 0.1] has no logarithm at 0. Expected "
        "bounds above 0. Begin above 0, or use uniform.",
    ),
    "a step of nothing": (
        {"model.dropout": {"quniform": [0, 0.5, 0]}},
        "tune.space.model.dropout.quniform = [0, 0.5, 0] has q = 0. Expected [low, high, q] with q "
        "above 0.",
    ),
    "a step too wide": (
        {"model.dropout": {"quniform": [0, 0.5, 1]}},
        "tune.space.model.dropout.quniform = [0, 0.5, 1] has a q that is wider than the range. Use "
        "a q of at most 0.5.",
    ),
    "steps that miss the end": (
        {"model.dropout": {"quniform": [0, 0.5, 0.2]}},
        "tune.space.model.dropout.quniform = [0, 0.5, 0.2] does not come to 0.5 in steps of 0.2. "
        "Use high = 0.4, or another q.",
    ),
    "steps without end": (
        {"model.dropout": {"quniform": [0, 0.5, 1e-300]}},
        "tune.space.model.dropout.quniform = [0, 0.5, 1e-300] has too many steps. Use uniform, or "
        "a wider q.",
    ),
    "a range without end": (
        {"train.optimizer.lr": {"uniform": [-1e308, 1e308]}},
        "tune.space.train.optimizer.lr.uniform = [-1e+308, 1e+308] is wider than numbers reach. "
        "Narrow the range.",
    ),
    "a condition that is never met": (
        {"seed": {"choice": [1, 2], "when": {"model.name": []}}},
        "tune.space.seed.when: model.name = [] is never met. List at least one value of "
        "model.name.",
    ),
    "a choice of nothing": (
        {"model.dropout": {"choice": []}},
        "tune.space.model.dropout.choice has no values. List at least one, such as [1, 2].",
    ),
    "a value twice": (
        {"model.dropout": {"choice": [0, 0.0]}},
        "tune.space.model.dropout.choice has 0 2 times. Keep one of them.",
    ),
    "no spread": (
        {"model.dropout": {"normal": [0, 0]}},
        "tune.space.model.dropout.normal = [0, 0] has no spread. Expected [mean, sd] with sd above "
        "0.",
    ),
    "no list": (
        {"model.dropout": {"uniform": 0.5}},
        "tune.space.model.dropout.uniform is 0.5. Expected a list of 2 values, each a number; or "
        "null. Put it in brackets: [0.5].",
    ),
    "a bound that the key refuses": (
        {"model.dropout": {"uniform": [0, 1.5]}},
        "tune.space.model.dropout.uniform[1]: model.dropout is 1.5. Expected a number from 0 to "
        "below 1.",
    ),
    "a mean that the key refuses": (
        {"model.dropout": {"normal": [2, 0.1]}},
        "tune.space.model.dropout.normal: model.dropout is 2.0. Expected a number from 0 to below "
        "1.",
    ),
    "a word that the key refuses": (
        {"train.optimizer": {"choice": ["adamw", "adan"]}},
        "tune.space.train.optimizer.choice[1]: train.optimizer.name is text 'adan'. Did you mean "
        "'adam'? Valid names: adam, adamw, rmsprop, sgd; for your own, target: "
        "package.module:Name.",
    ),
    "a value that does not fit the others": (
        {"train.global_batch_size": {"choice": [64, 66]}},
        "tune.space.train.global_batch_size.choice[1]: train.global_batch_size = 66 cannot be cut "
        "into logical_shards = 4 equal parts. Use a multiple of 4, e.g. 64 or 68.",
    ),
    "a key of another model, told once": (
        {"model.kernel_size": {"choice": [3, 5]}},
        "tune.space.model.kernel_size.choice[0]: model.kernel_size: unknown key for mlp. It "
        "belongs to cnn. Valid keys for mlp: activation, dropout, hidden, init_from, name, norm, "
        "residual.",
    ),
    "a condition on itself": (
        {"seed": {"choice": [1, 2], "when": {"seed": 1}}},
        "tune.space.seed.when: seed cannot depend on itself. Name the key that decides whether "
        "this one varies.",
    ),
    "a condition on nothing": (
        {"seed": {"choice": [1, 2], "when": {"model.nam": "mlp"}}},
        "tune.space.seed.when: the configuration has no key 'model.nam'. Did you mean "
        f"'model.name'? {KEYS}",
    ),
    "conditions in a circle": (
        {
            "seed": {"choice": [1, 2], "when": {"model.dropout": 0}},
            "model.dropout": {"choice": [0, 0.1], "when": {"seed": 1}},
        },
        "tune.space: the conditions of seed and model.dropout wait for each other. Take `when` "
        "away from one of them.",
    ),
}


@pytest.mark.parametrize(("space", "message"), SPACES.values(), ids=SPACES.keys())
def test_a_faulty_space_is_told(space, message):
    assert told({"space": space}) == message


ELSEWHERE = {
    "a secret among the values": (
        {"space": {"model.args.password": {"choice": ["abcd1234efgh"]}}},
        {"model": {"target": "m:M"}},
        "tune.space.model.args.password.choice[0]: model.args.password holds what looks like a "
        "secret. Expected no secrets in a configuration: it is kept with the run. Put the secret "
        "into an environment variable and write ${PASSWORD} in its place.",
    ),
    "a constraint that cannot be read": (
        {"constraints": ["train.global_batch_size = 3"]},
        {},
        "tune.constraints[0]: 'train.global_batch_size = 3' cannot be read: invalid syntax. "
        f"{READABLE} Write == to compare.",
    ),
    "a constraint that calls": (
        {"constraints": ["len(model.hidden) > 1"]},
        {},
        f"tune.constraints[0]: 'len(model.hidden)' cannot stand in a constraint. {READABLE}",
    ),
    "a constraint that is nearly an import path": (
        {"constraints": ["my-rules:fit"]},
        {},
        f"tune.constraints[0]: 'my-rules:fit' cannot be read: invalid syntax. {READABLE} A "
        "function of your own is package.module:function.",
    ),
    "a constraint on nothing": (
        {"constraints": ["train.batch_size > 1"]},
        {},
        "tune.constraints[0]: the configuration has no key 'train.batch_size'. Did you mean "
        "'train.global_batch_size'?",
    ),
    "a constraint with text that is not quoted": (
        {"constraints": ["model.name == mlp"]},
        {},
        "tune.constraints[0]: the configuration has no key 'mlp'. Put text in quotes: 'mlp'.",
    ),
    "a constraint that never holds": (
        {"constraints": ["train.optimizer.lr > 1"]},
        {},
        "tune.constraints[0]: 'train.optimizer.lr > 1' held in none of 200 trials drawn from "
        "the space. Loosen it, or move the space to where it holds.",
    ),
    "constraints that exclude each other": (
        {"constraints": ["train.optimizer.lr > 0.002", "train.optimizer.lr < 0.002"]},
        {},
        "tune.constraints held together in none of 200 trials drawn from the space, though each "
        "held in some. Loosen one of them.",
    ),
    "a constraint that the configuration alone keeps, and no point of the space": (
        {
            "constraints": ["train.global_batch_size >= 64"],
            "space": {"train.global_batch_size": {"choice": [16, 32]}},
        },
        {"train": {"global_batch_size": 256}},
        "tune.constraints[0]: 'train.global_batch_size >= 64' held in none of the space's points. "
        "Loosen it, or move the space to where it holds.",
    ),
    "constraints that the configuration alone keeps, of ranges": (
        {"constraints": ["train.optimizer.lr > 0.1"]},
        {"train": {"optimizer": {"lr": 0.5}}},
        "tune.constraints[0]: 'train.optimizer.lr > 0.1' held in none of 200 trials drawn from the "
        "space. Loosen it, or move the space to where it holds.",
    ),
    "a metric of the test split": (
        {"metric": "test/accuracy"},
        {},
        "tune.metric = 'test/accuracy' would let the test split steer training; it is looked at "
        "once, at the end. Expected a validation metric or train/loss. Use 'validation/accuracy'.",
    ),
    "a metric that is not computed": (
        {"metric": "validation/log_loss"},
        {"evaluate": {"metrics": ["accuracy"]}},
        "tune.metric = 'validation/log_loss' will not be computed. Add log_loss to "
        "evaluate.metrics. Valid metrics: train/loss, validation/accuracy, validation/loss.",
    ),
    "a metric without a split to compute it on": (
        {},
        {"data": {"source": "a.csv", "target": "y", "split": {"validation": 0}}},
        "tune.metric = 'validation/loss' needs a validation split. Set data.split.validation above "
        "0, or use train/loss.",
    ),
    "a metric of one's own without a mode": (
        {"metric": "validation/cost"},
        {"evaluate": {"metrics": [{"target": "m:cost"}]}},
        "tune.metric = 'validation/cost' is your own, so its direction is not known. Add "
        "tune.mode: min or max.",
    ),
    "a mode that turns the metric round": (
        {"metric": "validation/accuracy", "mode": "min"},
        {},
        "tune.mode = min turns validation/accuracy round, of which max is better. Leave it out.",
    ),
    "more trials than the grid has": (
        {"space": {"seed": {"choice": [1, 2]}}, "search_alg": "grid", "num_trials": 3},
        {},
        "tune.num_trials = 3 is more than the 2 points of the grid. Leave it out, which runs all "
        "2.",
    ),
    "a condition on what is the same in all trials": (
        {"space": {"model.dropout": {"uniform": [0, 0.5], "when": {"train.epochs": 3}}}},
        {},
        "tune.space.model.dropout.when: train.epochs = 3 is never met. train.epochs is 20 in all "
        "trials: let it vary, too, or leave model.dropout out.",
    ),
    "a condition on what no trial has": (
        {"space": {"model.dropout": {"uniform": [0, 0.5], "when": {"model.kernel_size": 3}}}},
        {"model": {"name": "mlp"}},
        "tune.space.model.dropout.uniform[0]: model.kernel_size: unknown key for mlp. It belongs "
        "to cnn. Valid keys for mlp: activation, dropout, hidden, init_from, name, norm, "
        "residual.\n"
        "tune.space.model.dropout.when: model.kernel_size = 3 is never met. model.kernel_size is "
        "in no trial: let it vary, too, or leave model.dropout out.",
    ),
    "a condition on a value that is not taken": (
        {
            "space": {
                "seed": {"choice": [1, 2]},
                "model.dropout": {"uniform": [0, 0.5], "when": {"seed": [3, 4]}},
            }
        },
        {},
        "tune.space.model.dropout.when: seed = [3, 4] is never met. Name one of the values that "
        "tune.space.seed takes.",
    ),
    "a grid of ranges": (
        {"search_alg": "grid"},
        {},
        "tune.space.train.optimizer.lr.loguniform has no points that search_alg = grid could go "
        "through. List values with grid, step with quniform, or use search_alg random.",
    ),
    "a grid without end": (
        {"space": {"seed": {"randint": [0, 100_001]}}, "search_alg": "grid"},
        {},
        "tune.space is a grid of more than 100,000 points. List fewer values, or use search_alg "
        "random.",
    ),
    "a grid for tpe": (
        {"space": {"seed": {"grid": [1, 2]}}, "search_alg": "tpe"},
        {},
        "tune.space.seed.grid goes through its values in turn, but search_alg = tpe proposes by "
        "results. Use choice, or search_alg grid, random or sobol.",
    ),
    "choices alone for cmaes": (
        {"space": {"seed": {"choice": [1, 2]}}, "search_alg": "cmaes"},
        {},
        "tune.search_alg = cmaes moves numbers, and the space has choices only. Use tpe, or give "
        "ranges such as loguniform.",
    ),
    "lengths beside a scheduler": (
        {"space": {"train.epochs": {"choice": [1, 2]}}, "scheduler": "asha"},
        {},
        "tune.space.train.epochs stands beside tune.scheduler = asha, which compares trials of one "
        "length. Leave one of them out.",
    ),
    "a grace that is all of the training": (
        {"scheduler": {"name": "median", "grace_period": 20}},
        {},
        "tune.scheduler.grace_period = 20 is not less than train.epochs = 20, so no trial would be "
        "stopped. Use at most 19, or scheduler: none.",
    ),
    "a factor that keeps all": (
        {"scheduler": {"name": "asha", "reduction_factor": 1}},
        {},
        "tune.scheduler.reduction_factor is 1. Expected a whole number of at least 2.",
    ),
    "rungs between evaluations": (
        {"scheduler": {"name": "asha", "grace_period": 3}},
        {"evaluate": {"every_epochs": 2}},
        "tune.scheduler.grace_period = 3 is no multiple of evaluate.every_epochs = 2, so nothing "
        "is measured when a trial is decided on. Use grace_period = 4, or evaluate.every_epochs = "
        "1.",
    ),
    "rungs by another clock": (
        {"scheduler": {"name": "asha", "grace_period": 3}},
        {"evaluate": {"every_steps": 2}},
        "evaluate.every_steps = 2 measures by steps, but tune.scheduler.time_attr = epoch. Set "
        "evaluate.every_epochs = 3 instead.",
    ),
    "epochs of a run that is counted in steps": (
        {"scheduler": "asha"},
        {"train": {"steps": 100}},
        "tune.scheduler.time_attr = epoch stands beside train.steps, which does not say how many "
        "epochs a trial has. Use time_attr: step, or give train.epochs instead of train.steps.",
    ),
    "a first point outside": (
        {"start_from": [{"train.optimizer.lr": 0.5}]},
        {},
        "tune.start_from[0]: train.optimizer.lr = 0.5 is not in its loguniform. Expected a value "
        "of [0.0001, 0.1].",
    ),
    "a first point of another key": (
        {"start_from": [{"train.optimizer.l": 0.1}]},
        {},
        "tune.start_from[0]: 'train.optimizer.l' is not in tune.space. Did you mean "
        "'train.optimizer.lr'? The space has: train.optimizer.lr.",
    ),
    "a first point of nothing": (
        {"start_from": [{}]},
        {},
        "tune.start_from[0] is empty. Leave it out: the first trial is the configuration as "
        "written.",
    ),
    "a first point that a constraint excludes": (
        {
            "start_from": [{"train.optimizer.lr": 0.1}],
            "constraints": ["train.optimizer.lr < 0.01"],
        },
        {},
        "tune.start_from[0] breaks the constraint 'train.optimizer.lr < 0.01'. Change the point, "
        "or loosen the constraint.",
    ),
    "an audit of what stops nothing": (
        {"audit_fraction": 0.05},
        {},
        "tune.audit_fraction = 0.05 stands beside tune.scheduler = none, which stops no trial for "
        "being worse than others. Leave it out, or use sha, asha, hyperband or median.",
    ),
    "an audit of more than all": (
        {"audit_fraction": 1.5, "scheduler": "sha"},
        {},
        "tune.audit_fraction is 1.5. Expected a number above 0, at most 1 or null.",
    ),
    "no other seed": (
        {"confirm": 0},
        {},
        "tune.confirm is 0. Expected a whole number from 1 to 100 or null.",
    ),
    "an earlier search without a name": (
        {"start_from": {"num_best": 3}},
        {},
        "tune.start_from.search is missing. Add it: The earlier search: its folder, name, or id "
        "at MLflow.",
    ),
    "trials that are no whole settings": (
        {"num_seeds": 3, "num_trials": 64},
        {},
        "tune.num_trials = 64 is no multiple of tune.num_seeds = 3, and each setting is tried with "
        "all of them. Use 66.",
    ),
    "seeds beside a seed that varies": (
        {"num_seeds": 3, "space": {"seed": {"randint": [0, 9]}}},
        {},
        "tune.num_seeds = 3 stands beside tune.space.seed, which varies the seed, too. Leave one "
        "of them out.",
    ),
    "more trials than a grid has with its seeds": (
        {
            "num_seeds": 2,
            "num_trials": 6,
            "search_alg": "grid",
            "space": {"train.optimizer.lr": {"grid": [0.1, 0.01]}},
        },
        {},
        "tune.num_trials = 6 is more than the 2 points of the grid times 2 seeds. Leave it out, "
        "which runs all 4.",
    ),
    "more workers to a trial than parts of a batch": (
        {"workers_per_trial": 5},
        {},
        "tune.workers_per_trial = 5 is more than logical_shards = 4, and each worker needs a part "
        "of the batch. Use at most 4 workers, or logical_shards = 5 (which changes the bits of the "
        "result).",
    ),
    "more workers to a trial than parts of some batch": (
        {"workers_per_trial": 3, "space": {"train.logical_shards": {"choice": [2, 4]}}},
        {},
        "tune.workers_per_trial = 3 is more than the least of tune.space.train.logical_shards, 2, "
        "and each worker needs a part of the batch. Use at most 2 workers, or vary it from 3 on.",
    ),
    "no worker to a trial": (
        {"workers_per_trial": 0},
        {},
        "tune.workers_per_trial is 0. Expected a whole number of at least 1.",
    ),
    "no trial at a time": (
        {"max_concurrent": 0},
        {},
        "tune.max_concurrent is 0. Expected a whole number of at least 1 or auto.",
    ),
}


@pytest.mark.parametrize(("tune", "sections", "message"), ELSEWHERE.values(), ids=ELSEWHERE.keys())
def test_a_faulty_search_is_told(tune, sections, message):
    assert told(tune, **sections) == message


@pytest.mark.parametrize(
    ("tune", "sections"),
    [
        # a batch of 66 needs 2 or 3 logical shards, and some trials have them
        (
            {
                "space": {
                    "train.global_batch_size": {"choice": [64, 66]},
                    "train.logical_shards": {"choice": [2, 4]},
                }
            },
            {},
        ),
        # model.kernel_size is not the mlp's, but varies only where the model is a cnn
        (
            {
                "space": {
                    "model.name": {"choice": ["mlp", "cnn"]},
                    "model.kernel_size": {"choice": [3, 5], "when": {"model.name": "cnn"}},
                }
            },
            {},
        ),
        ({"space": {"train.steps": {"choice": [10, 20]}}}, {}),
        # a condition on a part of a value, on the configuration as written, and on one of two
        (
            {
                "space": {
                    "train.optimizer": {"choice": [{"name": "sgd"}, {"name": "adam"}]},
                    "model.dropout": {
                        "uniform": [0, 0.5],
                        "when": {"train.optimizer.name": "sgd", "model.name": "mlp"},
                    },
                    "model.hidden": {"choice": [[8], [16]]},
                    "seed": {"randint": [0, 9], "when": {"model.hidden": [[4], [16]]}},
                }
            },
            {"model": {"name": "mlp"}},
        ),
        # constraints take points away from a grid
        (
            {
                "space": {"seed": {"choice": [1, 2, 3]}},
                "search_alg": "grid",
                "num_trials": 2,
                "constraints": ["seed > 1"],
            },
            {},
        ),
        # one point of 300 is allowed, which few draws would come upon
        (
            {
                "space": {"seed": {"randint": [1, 101]}, "train.epochs": {"choice": [1, 2, 3]}},
                "search_alg": "grid",
                "constraints": ["seed == 77 and train.epochs == 2"],
            },
            {},
        ),
        # a function is not imported to read a configuration
        ({"constraints": ["no_such_module:fits", "train.optimizer.lr < 0.05"]}, {}),
        ({"space": {"train.early_stopping.patience": {"randint": [1, 5]}}}, {}),
        ({"space": {"model.args.width": {"choice": [1, 2]}}}, {"model": {"target": "m:M"}}),
        ({"scheduler": {"name": "sha", "time_attr": "step", "grace_period": 4}},
         {"train": {"steps": 100}, "evaluate": {"every_steps": 2}}),
        ({"metric": "train/loss"}, {}),
    ],
)  # fmt: skip
def test_what_can_be_searched_is_let_through(tune, sections):
    assert load(tune, **sections).tune is not None


def test_all_faults_are_told_at_once_with_their_lines(tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text(
        "data: {source: a.csv, target: y}\n"
        "tune:\n"
        "  metric: test/loss\n"
        "  space:\n"
        "    model.dropout:\n"
        "      choice:\n"
        "        - 0.1\n"
        "        - 1.5\n"
        "    model.hiden: {choice: [[1], [2]]}\n"
        "  constraints:\n"
        "    - train.epochs >\n"
        "  sheduler: asha\n",
        encoding="utf-8",
    )

    with pytest.raises(ConfigError) as caught:
        load_settings([file])

    lines = [line.removeprefix(f"{file}:") for line in str(caught.value).splitlines()]
    assert [line[: line.index(": ")] for line in lines] == ["3", "8", "9", "11", "12"]
    assert lines[1] == (
        "8: tune.space.model.dropout.choice[1]: model.dropout is 1.5. Expected a number from 0 to "
        "below 1."
    )
