"""Code of the user's own that is at fault."""

from tests.bad_cases import Case, net, word

NET = """
import torch

class Net(torch.nn.Module):
    def __init__(self, inputs=6, outputs=2):
        super().__init__()
        self.layer = torch.nn.Linear(inputs, outputs)

    def forward(self, x):
        return self.layer(x)
"""

ROWS = """
import numpy as np
import torch

class Rows(torch.utils.data.Dataset):
    def __len__(self):
        return 40

    def __getitem__(self, number):
        return torch.full((3,), float(number)), number % 2
"""
GIVEN = "torch.full((3,), float(number))"


def rows(code: str, *parts: str, key: str = "target: 'rows:Rows'", kind: str = "data") -> Case:
    """A torch Dataset of the user's own that is at fault."""
    configuration = f"data: {{dataset: {{{key}}}}}\n"
    return Case((), parts, {"run.yaml": configuration, "rows.py": code}, kind=kind)


DATASETS = {
    "Dataset that is a stream": rows(
        ROWS.replace("Dataset", "IterableDataset").replace(
            "__getitem__(self, number)", "__iter__(self)"
        ),
        "rows:Rows is an IterableDataset",
        "a map-style Dataset, with __len__ and __getitem__(number)",
        "Look rows up by number",
    ),
    "Dataset without a length": rows(
        ROWS.replace("torch.utils.data.Dataset", "").replace("__len__", "size"),
        "gives a Rows, which has no __len__",
        "Name the Dataset's class",
    ),
    "Dataset without rows": rows(
        ROWS.replace("return 40", "return 0"), "has no rows", "does it look in the right place?"
    ),
    "length that cannot be told": rows(
        ROWS.replace("return 40", "return 1 / 0"), "len() of rows:Rows failed: ZeroDivisionError"
    ),
    "Dataset that wants arguments": rows(
        ROWS.replace("def __len__", "def __init__(self, root): pass\n\n    def __len__"),
        "rows:Rows() failed: TypeError",
        "'root'",
        "data.dataset.args",
    ),
    "row that cannot be read": rows(
        ROWS.replace(GIVEN, "open('photo.png')"),
        "__getitem__(29) raised FileNotFoundError",
        "rows:Rows, row 29",
        "leave the row out of its length",
    ),
    "row that is nothing": rows(
        ROWS.replace("return torch", "torch"), "failed on rows 29, 34: TypeError", "NoneType"
    ),
    "rows of unlike shapes": rows(
        ROWS.replace("(3,)", "(1 + number,)"),
        "got [30] at entry 0 and [35] at entry 1",
        "name a function under data.collate that pads them",
    ),
    "rows that nobody can draw again": rows(
        ROWS.replace("float(number)", "np.random.default_rng().random()"),
        "read twice, with the same random numbers, come out otherwise",
        "not from numpy.random.default_rng()",
    ),
    "Dataset that is not there": rows(
        ROWS, "rows has no 'Row'. Did you mean 'Rows'?", key="target: 'rows:Row'", kind="model"
    ),
    "Dataset that is a module": rows(
        ROWS, "'rows:torch' gives a module", "class or a", key="target: 'rows:torch'", kind="model"
    ),
    "file for a module": word(
        "model.target=net.py:Net",
        "Name the module, not its file: net:Net",
        kind="model",
        files={"net.py": NET},
    ),
}

CODE = {
    "module that is not there": word(
        "model.target=nett:Net", "importing nett failed", "Check the spelling", kind="model"
    ),
    "module that does not import": net("import no_such_library\n", "No module named 'no_such_lib"),
    "module that is no Python": net("class Net(:\n", "SyntaxError", "net.py, line 1"),
    "module that leaves": net("raise SystemExit(0)\n", "importing net failed (SystemExit: 0)"),
    "class that is not there": net(
        NET, "has no 'Nett'. Did you mean 'Net'?", words=("model.target=net:Nett",)
    ),
    "class that is no module": net("class Net: pass\n", "gives a Net", "torch.nn.Module"),
    "state that is no tensor": net(
        f"{NET}\n    def get_extra_state(self):\n        return lambda: 3\n",
        "holds a function, '_extra_state'",
        "tensors only",
    ),
    "constructor that raises": net(
        NET.replace("super", "1 / 0; super"), "net:Net() failed: ZeroDivisionError", "model.args"
    ),
    "constructor that leaves": net(
        NET.replace("super", "raise SystemExit(3); super"), "net:Net() failed: SystemExit: 3"
    ),
    "constructor that wants arguments": net(
        NET.replace("inputs=6", "inputs"), "net:Net() failed: TypeError", "'inputs'", "model.args"
    ),
    "constructor without its parent's": net(
        NET.replace("super().__init__()", "pass"), "AttributeError", "before Module.__init__() call"
    ),
    "weights that are no weights": Case(
        ("model.init_from=net.safetensors",),
        ("model.init_from = ", "it cannot be read", "safetensors.torch.save_file"),
        {"net.safetensors": "hello world"},
        kind="model",
    ),
    "weights that are unpickled": Case(
        ("model.init_from=net.pt",),
        ("model.init_from = ", "net.pt", "may run code", "convert it once", "weights_only=True"),
        {"net.pt": b"any"},
        kind="model",
    ),
    "weights that are not there": word(
        "model.init_from=net.safetensors", "there is no such file", kind="model"
    ),
    "weights of a model that is not there": word(
        "model.init_from=models:/nothing@champion", "no model registered", "Name the storage"
    ),
    "argument that is not there": net(
        NET, "argument 'outs'", words=("model={target: 'net:Net', args: {outs: 3}}",)
    ),
    "loss that is not there": net(
        NET, "train.loss.target", "net has no 'los'", words=("train.loss={target: 'net:los'}",)
    ),
    "key in the code": net(
        f"KEY = '{'AKIA' + 'IOSFODNN7EXAMPLE'}'\n{NET}",
        "the code holds what looks like an AWS access key (",
        "net.py:1)",
        "Read it from the environment",
        "pragma: allowlist secret",
    ),
    "password in the code": net(
        f"{NET}\nPASSWORD = 'pass4word'\n", "a secret given to PASSWORD", "net.py:12)"
    ),
    "metric that cannot be called": net(
        "A = 3\n", "evaluate.metrics", "a int", words=("evaluate.metrics=[{target: 'net:A'}]",)
    ),
}

# Told where a model meets the data, on Ray.
MISFITS = {
    "outputs of another width": net(
        NET,
        "given x of shape (2, 6)",
        "returned shape (2, 3)",
        "Expected a tensor of shape (2, 2)",
        words=("model={target: 'net:Net', args: {outputs: 3}}",),
    ),
    "inputs of another width": net(
        NET,
        "x of shape (2, 6)",
        "(2x6 and 7x2)",
        "take rows of shape (6,)",
        words=("model={target: 'net:Net', args: {inputs: 7}}",),
    ),
    "forward that raises": net(
        NET.replace("return ", "raise KeyError('mask')\n        return "),
        "forward failed on x of shape (2, 6) and type float32: KeyError: 'mask'",
        "outputs of shape (2, 2)",
    ),
    "forward that asks for another column": net(
        NET.replace("forward(self, x", "forward(self, agee, city"),
        "model Net: forward asks for 'agee'",
        "Did you mean 'age'? There are: age, city, hours.",
    ),
    "no parameters": net(
        "from torch import nn\n"
        "class Net(nn.Module):\n    def forward(self, x):\n        return x[:, :2]\n",
        "model Net: the model has no parameter to train",
        "Give it a layer",
    ),
    "all frozen": word("train.freeze=['*']", "has no parameter to train", kind="model"),
    "frozen by a name that is not there": word(
        "train.freeze=['encoder.*']",
        "train.freeze: 'encoder.*' matches no parameter of the model",
        "There are: 1.*, 1.0.*, 2.*",
        kind="model",
    ),
    "no outputs": net(NET.replace("return ", ""), "returned a NoneType"),
    "loss that is neither by row nor a number": net(
        "def loss(outputs, targets):\n    return outputs, targets\n",
        "outputs of shape (2, 2) and targets of shape (2,), and returned a tuple of 2",
        "a tensor of shape (2,); or (sum, weight)",
        words=("train.loss={target: 'net:loss'}",),
    ),
    "weight of a class that is not there": word(
        "train.loss={name: cross_entropy, class_weights: {hihg: 2}}",
        "'hihg' is not a class. Did you mean 'high'?",
        kind="model",
    ),
    "model that no memory holds": word(
        "model.hidden=[100000000000]",
        "mlp cannot be built",
        "Make its layers smaller",
        kind="model",
    ),
}
