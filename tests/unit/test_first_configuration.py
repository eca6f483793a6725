"""`distrain init`: what it writes loads, says what is inferred, and never takes another's place."""

import re
from pathlib import Path

import pytest

from distrain.config.load import load_settings
from distrain.errors import ConfigError, DataError
from distrain.first_configuration import write_first_configuration

ROWS = "".join(
    f"c{row:03d},{('Graz', 'Wien')[row % 2]},{row % 50 or ''},{row / 7:.3f},"
    f"{('yes', 'no', 'no')[row % 3]}\n"
    for row in range(90)
)
CUSTOMERS = "customer,town,age,monthly fee,churned\n" + ROWS


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "churn 2024.csv").write_text(CUSTOMERS)
    return tmp_path


def without_marks(text: str) -> str:
    """Return a configuration with the # taken away wherever a key stands behind it."""
    head, name, rest = text.partition("\nname:")
    return head + name + re.sub(r"(?m)^( *)# ( *)(?=[\w\" ]+:)", r"\1\2", rest)


def test_what_is_written_loads_and_says_what_was_inferred(here: Path) -> None:
    result = write_first_configuration("churn 2024.csv", "churned", Path("run.yaml"))

    text = (here / "run.yaml").read_text()
    assert result.to_json() == {
        "out": str(here / "run.yaml"),
        "task": "classification",
        "target": "churned",
    }
    assert "target: churned   # 2 classes: no (60), yes (30)" in text
    assert '# positive: "yes"' in text
    assert "customer: id   # text, 90 different, id-like-column" in text
    assert "age: numeric   # int64, 1 to 49, 2.2% missing" in text
    settings = load_settings(["run.yaml"])
    assert (settings.name, settings.data.source) == ("churn-2024", str(here / "churn 2024.csv"))


def test_all_that_is_commented_out_is_valid_and_changes_nothing(here: Path) -> None:
    write_first_configuration("churn 2024.csv", "churned", Path("run.yaml"))
    before = load_settings(["run.yaml"])

    full = without_marks((here / "run.yaml").read_text())
    (here / "full.yaml").write_text(full)
    settings = load_settings(["full.yaml"])

    assert "\n# " not in full.partition("name:")[2]
    assert settings.data.features["town"].kind == "categorical"
    assert settings.data.positive == "yes"
    assert settings.model == before.model
    assert settings.train.optimizer == before.train.optimizer
    assert settings.train.global_batch_size == before.train.global_batch_size


def test_a_configuration_elsewhere_finds_the_data(here: Path) -> None:
    (here / "configs").mkdir()

    write_first_configuration("churn 2024.csv", "monthly fee", Path("configs/fee.yaml"))

    settings = load_settings(["configs/fee.yaml"])
    assert Path(str(settings.data.source)).samefile(here / "churn 2024.csv")
    assert "# task: regression" in (here / "configs" / "fee.yaml").read_text()


def test_another_delimiter_is_written_down(here: Path) -> None:
    (here / "churn.csv").write_text(CUSTOMERS.replace(",", ";"))

    write_first_configuration("churn.csv", "churned", Path("run.yaml"))

    assert load_settings(["run.yaml"]).data.read.delimiter == ";"


@pytest.mark.parametrize(
    ("encoding", "target"),
    [("latin-1", "gekündigt"), ("cp1252", "gekündigt €"), ("utf-16", "gekündigt")],
)
def test_another_encoding_is_written_down(here: Path, encoding: str, target: str) -> None:
    rows = CUSTOMERS.replace(",", ";").replace("churned", target)
    (here / "churn.csv").write_bytes(rows.encode(encoding))

    write_first_configuration("churn.csv", target, Path("run.yaml"))

    read = load_settings(["run.yaml"]).data.read
    assert (read.delimiter, read.encoding) == (";", encoding)


def test_without_a_file_it_is_the_demo_s_data(here: Path) -> None:
    result = write_first_configuration(None, None, here / "run.yaml")

    assert (result.task, load_settings(["run.yaml"]).data.source) == (
        "classification",
        "sklearn:digits",
    )


@pytest.mark.parametrize(
    ("source", "target", "out", "told"),
    [
        (
            "churn 2024.csv",
            None,
            "run.yaml",
            r"'town', 'age'.*Is it 'churned', since it is the last",
        ),
        ("labelled.csv", None, "run.yaml", r"Is it 'Label', by its name"),
        ("churn 2024.csv", "churnd", "run.yaml", r"no column 'churnd'.*mean 'churned'"),
        ("churn.csv", "churned", "run.yaml", r"Did you mean 'churn 2024\.csv'"),
        ("churn 2024.csv", "churned", "there.yaml", r"there already"),
        ("churn 2024.csv", "churned", "run.txt", r"ends in \.yaml"),
        ("empty.csv", "churned", "run.yaml", r"the file is empty"),
        (None, "churned", "run.yaml", r"but no file.*--from FILE"),
    ],
)
def test_what_cannot_be_written_is_told_and_nothing_is_left(
    here: Path, source: str | None, target: str | None, out: str, told: str
) -> None:
    (here / "there.yaml").write_text("mine")
    (here / "empty.csv").touch()
    (here / "labelled.csv").write_text("Label,a\n1,2\n")
    before = sorted(here.iterdir())

    with pytest.raises((ConfigError, DataError), match=told):
        write_first_configuration(source, target, Path(out))

    assert sorted(here.iterdir()) == before
    assert (here / "there.yaml").read_text() == "mine"
