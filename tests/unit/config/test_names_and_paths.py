"""Names in a configuration lead nowhere but to what they name; each other is refused in words."""

from pathlib import Path

import pytest

from distrain.config.load import load_settings
from distrain.errors import ConfigError

CONFIG = "data: {source: people.csv, target: income}\n"
ELSEWHERE = {
    "a folder above": "../x",
    "two above": "../../x",
    "a whole path": "/etc/passwd",
    "a folder below": "a/b",
    "the folder itself": ".",
    "the one above": "..",
    "a home": "~",
    "encoded": "%2e%2e%2f",
    "a zero": "a\\0b",
    "two lines": "a\\nb",
    "a line's end": "a\\n",
    "very long": "a" * 300,
}
NAMES = ("name", "track.register.model", "track.register.alias")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.yaml").write_text(CONFIG)
    return tmp_path


def refused(*overrides: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load_settings(["run.yaml"], overrides)
    assert [path.name for path in Path().iterdir()] == ["run.yaml"]
    assert caught.value.exit_code == 2
    return caught.value


@pytest.mark.parametrize("value", ELSEWHERE.values(), ids=ELSEWHERE)
@pytest.mark.parametrize("key", NAMES)
def test_a_name_that_leads_elsewhere_is_refused(key: str, value: str) -> None:
    error = refused(f'{key}="{value}"')
    assert error.message.startswith(f"{key} is text")
    assert "letters, digits" in error.expected


@pytest.mark.parametrize("key", ["name", "track.register.model"])
def test_a_name_that_begins_with_a_dash_is_refused(key: str) -> None:
    refused(f"{key}=-x")


@pytest.mark.parametrize(
    "target", ["../x:A", "/x:A", "a/b:C", "a\\n:C", "a:C\\n", "a\\0b:C", "-m:A", "a:B()", "a", ":A"]
)
@pytest.mark.parametrize("key", ["model.target", "train.loss.target"])
def test_a_target_that_is_no_import_path_is_refused(key: str, target: str) -> None:
    assert "import path" in refused(f'{key}="{target}"').expected


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("a\\0b", "U+0000"),
        ("a/" + "b" * 256, "256 bytes"),
        ("ä" * 128, "256 bytes"),
        ("~no-such-user/x", "no user"),
    ],
)
@pytest.mark.parametrize(
    "key", ["storage", "cluster.working_dir", "data.source", "data.cache.path", "data.test_source"]
)
def test_a_path_that_can_be_none_is_refused(key: str, path: str, why: str) -> None:
    error = refused(f'{key}="{path}"')
    assert why in error.message
    assert all((error.where, error.expected, error.mend))


VARIABLES = {
    "a library for every process": "LD_PRELOAD=/tmp/x.so",
    "a folder of libraries": "LD_LIBRARY_PATH=/tmp",
    "a folder of modules": "PYTHONPATH=/tmp",
    "another Python": "PYTHONHOME=/tmp",
    "a class of warnings": "PYTHONWARNINGS=error::x.Y",
    "a folder of programs": "PATH=/tmp",
    "a compiler": "CXX=/tmp/x",
    "a hook of Ray's": "RAY_TRACING_STARTUP_HOOK=x:y",
    "callbacks of Ray Train's": "RAY_TRAIN_CALLBACKS=x.Y",
    "pickles in Arrow files": "RAY_DATA_AUTOLOAD_PICKLE_OBJECT_SCALAR=1",
    "NCCL's plugin by its path": "NCCL_NET_PLUGIN=/tmp/x.so",
}


@pytest.mark.parametrize("variable", VARIABLES.values(), ids=VARIABLES)
def test_a_variable_that_has_code_run_is_refused(variable: str) -> None:
    name, _, value = variable.partition("=")
    error = refused(f"cluster.env={{{name}: '{value}'}}")
    assert error.message == f"cluster.env.{name} would have code run that no target names"


@pytest.mark.parametrize("name", ["A=B", "A B", "A\\0B", ""])
def test_what_can_be_no_variable_is_refused(name: str) -> None:
    assert "which can be no variable" in refused(f'cluster.env={{"{name}": x}}').message


@pytest.mark.parametrize(
    "variable", ["NCCL_SOCKET_IFNAME=eth0", "NCCL_NET_PLUGIN=none", "PYTHONFAULTHANDLER=1"]
)
def test_a_variable_that_only_sets_something_is_taken(variable: str) -> None:
    name, _, value = variable.partition("=")
    settings = load_settings(["run.yaml"], [f"cluster.env={{{name}: '{value}'}}"])
    assert settings.cluster.env == {name: value}


@pytest.mark.parametrize("text", ["[" * 5_000, "{a: " * 5_000, "- " * 5_000])
def test_a_file_that_is_nested_without_end_is_refused(text: str) -> None:
    Path("run.yaml").write_text(text)
    assert "nested too deeply" in refused().message


def test_a_file_of_gigabytes_is_not_read() -> None:
    with Path("run.yaml").open("wb") as file:
        file.truncate(10 << 30)
    assert "has more than 16,777,216 bytes" in refused().message
