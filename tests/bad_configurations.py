"""Configurations and words of a command that are at fault, and places that are unfit."""

from tests.bad_cases import CONFIG, Case, config_file, word
from tests.bad_code import NET

CLOSED = "127.0.0.1:1"

CONFIGURATION = {
    "mistyped keys, told at once": config_file(
        "data:\n  source: people.csv\n  taget: income\ntrian: {epochs: 3}\nmodel: {hiden: [3]}\n",
        "run.yaml:1: data.target is missing",
        "run.yaml:3: data.taget: unknown key. Did you mean 'target'?",
        "run.yaml:4: trian: unknown key. Did you mean 'train'? Valid keys: cluster, data,",
        "run.yaml:5: model.hiden: unknown key for mlp. Did you mean 'hidden'?",
    ),
    "key given twice": config_file(
        "data:\n  source: people.csv\n  target: income\n  target: age\n",
        "run.yaml:4: data.target is given twice, first on line 3",
    ),
    "tab": config_file("data:\n\tsource: people.csv\n", "run.yaml:2", "Indent with spaces"),
    "empty file": config_file("", "run.yaml: is empty", "data: {source: FILE, target: COLUMN}"),
    "list": config_file("- data\n", "run.yaml: holds a list", "a mapping of sections"),
    "binary file": config_file(b"\0\1\xff\xfe", "is not UTF-8 text", "Save it as UTF-8"),
    "latin-1": config_file("name: Köln\n".encode("latin-1"), "byte 0xf6 at 7"),
    "folder": word("sub", "sub: is a folder", "There is no YAML file", files={"sub/a": ""}),
    "absent file": word("ran.yaml", "ran.yaml: no such file", "Did you mean 'run.yaml'?"),
    "unset variable": word(
        "data.source=${NO_SUCH}/a.csv", "uses ${NO_SUCH}", "give a default: ${NO_SUCH:-VALUE}"
    ),
    "unset variable in storage": word("storage=${NO_SUCH}/a", "storage uses ${NO_SUCH}"),
    "secret": word("track.uri=http://me:pw@host", "a URL with a password", "write ${VAR}"),
    "secret under a name that says so": word(
        "model={target: 'net:Net', args: {api_key: abc}}",
        "model.args.api_key holds what looks like a secret",
        "write ${API_KEY} in its place",
        files={"net.py": NET},
    ),
    "password for the workers": word(
        "cluster.env={DB_PASSWORD: abc}", "looks like a password", "${DB_PASSWORD}"
    ),
    "secret for the workers that is not there": word(
        "cluster.env={HF_TOKEN: '***'}", "is not kept with the run", "cluster.env.HF_TOKEN=${HF_"
    ),
    "secret in a query": word("data.source='s3://b/a.csv?secret_key=abc'", "a URL with a token in"),
    "secret in a default": word("track.uri='http://me:${NO_SUCH:-pw}@host'", "with a password"),
    "registered name with a slash": word(
        "track.register.model=a/b", "track.register.model is text 'a/b'", "letters, digits, '.'"
    ),
    "registered name with a colon": word("track.register.model=a:b", "letters, digits, '.'"),
    "registered name that is too long": word(
        f"track.register.model={'a' * 101}", "at most 100 letters"
    ),
    "experiment name that is too long": word(f"name={'a' * 101}", "at most 100 letters"),
    "experiment name in another script": word(
        "name=опыт", "name is text 'опыт'", "letters, digits"
    ),
    "metric name that is too long": word(
        f"evaluate.metrics=[{{target: 'net:{'m' * 230}'}}]",
        "is 230 characters long",
        "at most 200",
        "Give the function a shorter name",
    ),
    "alias latest": word("track.register.alias=latest", "reserved by MLflow", "champion"),
    "alias with a dot": word("track.register.alias=prod.eu", "track.register.alias", "'_' and '-'"),
    "name with slashes": word("name=a/b", "name is text 'a/b'", "letters, digits"),
    "name that leads out": word("name=..", "name is text '..'", "letters, digits"),
    "reserved name": word("name=prepared", "name = 'prepared' is reserved"),
    "mistyped override": word("train.epoch=3", "train.epoch", "Did you mean 'epochs'?"),
    "word for a number": word("train.epochs=ten", "'ten'", "a whole number of at least 1"),
    "rate that is no number": word("train.optimizer.lr=.nan", "is nan", "above 0"),
    "data for a configuration": word(
        "people.csv", "people.csv: is data, and no", "`distrain init --from people.csv --target COL"
    ),
    "value without an equals sign": Case(
        ("train.epochs", "3"), ("train.epochs: no such file", "write train.epochs=VALUE, without")
    ),
    "value as an option": word(
        "--train.epochs=3", "No such option: --train.epochs", "have no dashes: train.epochs=VALUE"
    ),
    "key's last name as an option": word("--epochs=3", "have no dashes: train.epochs=VALUE"),
    "word for a section": config_file(
        "data: people.csv\n", "run.yaml:1: data is text 'people.csv'", "a mapping of cache, clean"
    ),
    "list for a number": word("train.epochs=[3]", "train.epochs is a list", "a whole number"),
    "number for a list": word("model.hidden=64", "Put it in brackets: [64]"),
    "layer without units": word("model.hidden=[0]", "model.hidden[0] is 0", "at least 1"),
    "negative batch": word("train.global_batch_size=-5", "is -5", "a whole number of at least 1"),
    "share beyond one": word("data.split.validation=10", "is 10", "from 0 to below 1"),
    "shares that leave nothing": word(
        "data.split={validation: 0.6, test: 0.6}", "leave no rows to train on", "a sum below 1"
    ),
    "unknown kind of split": word("data.split.kind=startified", "Did you mean 'stratified'?"),
    "groups of no column": word("data.split.kind=group", "Add data.split.column"),
    "quote left open": config_file(
        'data: {source: "people.csv, target: income}\n', "run.yaml:2: not valid YAML", "on line 1"
    ),
    "no blank behind a colon": config_file(
        "data:\n  source:people.csv\n  target: income\n", "run.yaml:3: not valid YAML"
    ),
    "two configurations in a file": config_file(
        f"{CONFIG}---\n{CONFIG}", "run.yaml:2", "Give several configurations as several files"
    ),
    "epochs and steps": Case(
        ("train.epochs=3", "train.steps=3"), ("only one of them can hold", "Leave out epochs or")
    ),
    "argument of another optimizer": word(
        "train.optimizer={name: sgd, betas: [0.9, 0.99]}", "unknown key for sgd", "belongs to adam"
    ),
    "unknown precision": word("train.precision=fp8", "Expected one of fp32, bf16, fp16"),
    "unknown model": word(
        "model.name=resnet50", "Valid names: cnn, linear, mlp; for your own, target: package.module"
    ),
    "model of two kinds": word(
        "model={name: mlp, target: 'net:Net'}", "has both name and target", "Keep name for a built"
    ),
    "import path without a colon": word(
        "model.target=net.Net", "'net.Net'", "an import path such as package.module:Name"
    ),
    "unknown metric": word("evaluate.metrics=[acuracy]", "Did you mean 'accuracy'?"),
    "goal without a sign": word(
        "evaluate.goals={test/accuracy: 0.9}", "a comparison and a number, such as '>= 0.85'"
    ),
    "unknown format": word("data.format=excel", "'excel'", "Expected one of csv, tsv, json,"),
    "delimiter of two characters": word("data.read.delimiter=';;'", "Expected one character"),
    "target that is a feature": word(
        "data.features={income: numeric}", "income is the target, which is no feature"
    ),
    "target that is the weight": word("data.weight=income", "is also the target"),
    "no target": config_file("data: {source: people.csv}\n", "data.target is missing"),
    "labels of images alone": word(
        "data.source={idx: {labels: la}}", "data.source.idx.images is missing. Add it"
    ),
    "file beside a Dataset": word(
        "data.dataset={target: 'net:Rows'}", "data.source stands beside data.dataset", "Keep one"
    ),
    "unknown option": word("--jsn", "No such option: --jsn", "--json", "--help"),
    "more workers than logical shards": word(
        "train.num_workers=5", "5 is more than logical_shards = 4", "at most 4 workers"
    ),
    "more workers than a local Ray takes": Case(
        ("train.num_workers=17", "train.logical_shards=32"),
        ("17 workers with 1 CPU each do not fit on a local Ray, which takes 16", "fewer workers"),
    ),
    "batch that cannot be cut": Case(
        ("train.global_batch_size=100", "train.logical_shards=8"),
        ("global_batch_size = 100 cannot be cut into logical_shards = 8", "e.g. 96 or 104"),
    ),
    "stopping on a test metric": word(
        "train.early_stopping.metric=test/accuracy", "steer training", "'validation/accuracy'"
    ),
    "goal on an unknown metric": word(
        "evaluate.goals={test/acuracy: '>= 0.5'}", "will not be measured", "'test/accuracy'"
    ),
    "storage at another store": word("storage=gs://bucket/runs", "a name only once", "a folder"),
    "shares of a model at an object store": Case(
        ("storage=s3://bucket/runs", "train.strategy=fsdp"),
        ("storage that is an object store", "use strategy: ddp"),
    ),
}

PLACES = {
    "storage is a file": word(
        "storage=people.csv", "people.csv is not a folder", "storage = ", "storage=PATH"
    ),
    "storage lies in a file": word("storage=people.csv/runs", "people.csv is not a folder"),
    "storage is a link to nothing": word(
        "storage=link", "link is not a folder", prepare=lambda f: (f / "link").symlink_to("no/x")
    ),
    "a file where runs go": word("name=a", "runs/a is not a folder", files={"runs/a": ""}),
    "a file where prepared data goes": Case(
        (), ("data.cache.path = ", "prepared is not a folder"), {"runs/prepared": ""}
    ),
    "storage in a device": word("storage=/dev/null/runs", "/dev/null is not a folder"),
    "no database": Case(
        (),
        ("storage = ", "it is no SQLite database", "track.uri"),
        {"runs/mlflow.db": "nothing of the kind"},
        kind="tracking",
        code=4,
    ),
    "database that cannot be made": word(
        "track.uri=sqlite:///people.csv/mlflow.db",
        "people.csv is not a folder",
        kind="tracking",
        code=4,
    ),
    "silent tracking server": word(
        f"track.uri=http://{CLOSED}",
        f"track.uri = http://{CLOSED}: no tracking server answers",
        "Start it or mend the address",
        "With --offline the record stays here until `distrain sync`",
        kind="tracking",
        code=4,
    ),
    "silent tracking server of the environment": Case(
        (),
        (f"MLFLOW_TRACKING_URI = http://{CLOSED}", "no tracking server answers"),
        environment={"MLFLOW_TRACKING_URI": f"http://{CLOSED}"},
        kind="tracking",
        code=4,
    ),
    "no address of a tracking server": word("track.uri=host:5000", "http://host:5000 was meant"),
    "no address of a cluster": word("cluster.address=head", "'head'", "HOST:PORT", "6379"),
}
