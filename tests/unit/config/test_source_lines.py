import json
import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distrain.config.faults import Place
from distrain.config.source_lines import read_tree, read_value, scalar
from tests.any_text import ANY_CHARACTER

HERE = Place("command line", 0, Path("/"))


def read(tmp_path, text):
    path = tmp_path / "run.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_tree(path, "run.yaml", 0)


def told(tmp_path, text):
    _, faults = read(tmp_path, text)
    return [str(fault.as_error()) for fault in faults]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1E5", 1e5),
        (".5", 0.5),
        ("1.", 1.0),
        ("-3", -3),
        ("010", 10),
        ("0o17", 15),
        ("0x1f", 31),
        ("true", True),
        ("FALSE", False),
        ("~", None),
        ("null", None),
        ("", None),
        ("-.inf", -math.inf),
        ("NO", "NO"),
        ("yes", "yes"),
        ("on", "on"),
        ("12:30", "12:30"),
        ("2024-01-01", "2024-01-01"),
        ("1_000", "1_000"),
        ("1e", "1e"),
        (".", "."),
        ("0b1", "0b1"),
    ],
)
def test_words_mean_what_yaml_1_2_says(tmp_path, text, value):
    tree, faults = read(tmp_path, f"a: {text}\n")

    assert faults == []
    assert tree.values == {"a": value}
    assert type(tree.values["a"]) is type(value)


def test_a_directive_of_yaml_1_1_makes_no_booleans_of_words(tmp_path):
    tree, _ = read(tmp_path, "%YAML 1.1\n---\na: no\n")

    assert tree.values == {"a": "no"}


def test_quoted_and_tagged_numbers_are_text(tmp_path):
    tree, _ = read(tmp_path, "a: '1'\nb: \"1\"\nc: !!str 1\nd: |\n  1\n")

    assert tree.values == {"a": "1", "b": "1", "c": "1", "d": "1\n"}


def test_keys_are_the_text_that_was_written(tmp_path):
    tree, _ = read(tmp_path, "1: a\n0.50: b\ntrue: c\n")

    assert tree.values == {"1": "a", "0.50": "b", "true": "c"}


def test_every_value_knows_its_line(tmp_path):
    tree, _ = read(tmp_path, "# note\na:\n  b: 1\n\n  c:\n    - x\n    - {d: 2}\n")

    lines = {path: place.line for path, place in tree.places.items()}
    assert lines == {
        (): 0,
        ("a",): 2,
        ("a", "b"): 3,
        ("a", "c"): 5,
        ("a", "c", 0): 6,
        ("a", "c", 1): 7,
        ("a", "c", 1, "d"): 7,
    }


def test_an_alias_repeats_its_anchor(tmp_path):
    tree, faults = read(tmp_path, "a: &one {b: 1}\nc: *one\n")

    assert faults == []
    assert tree.values == {"a": {"b": 1}, "c": {"b": 1}}


def test_a_byte_order_mark_is_read_over(tmp_path):
    tree, _ = read(tmp_path, b"\xef\xbb\xbfa: 1\n")

    assert tree.values == {"a": 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a:\n\tb: 1\n",
            "run.yaml:2: not valid YAML: found character '\\t' that cannot start any token. "
            "Indent with spaces, not with tabs.",
        ),
        (
            "a: [1\nb: 2\n",
            "run.yaml:2: not valid YAML: expected ',' or ']', but got ':' (while parsing a flow "
            "sequence that begins on line 1). Check brackets, quotes and indentation.",
        ),
        (
            "a: b: c\n",
            "run.yaml:1: not valid YAML: mapping values are not allowed here. Check the "
            "indentation; a value that holds ': ' needs quotes.",
        ),
        (
            "a: 1\nb: *c\n",
            "run.yaml:2: not valid YAML: found undefined alias 'c'. A value that begins with one "
            "of * & ! % @ ` needs quotes.",
        ),
        (
            "a: 1\n---\nb: 2\n",
            "run.yaml:2: not valid YAML: found another document (expected a single document "
            "in the stream that begins on line 1). Give several configurations as several files.",
        ),
        (
            "a: 1\nb: \x01\n",
            "run.yaml:2: not valid YAML: character U+0001 is not allowed. Check brackets, quotes "
            "and indentation.",
        ),
        (
            "",
            "run.yaml: is empty. Expected a mapping of sections, as in `data:`. The least that "
            "trains a model is `data: {source: FILE, target: COLUMN}`, which "
            "`distrain init --from FILE --target COLUMN` writes.",
        ),
        (
            "# only a note\n",
            "run.yaml: is empty. Expected a mapping of sections, as in `data:`. The least that "
            "trains a model is `data: {source: FILE, target: COLUMN}`, which "
            "`distrain init --from FILE --target COLUMN` writes.",
        ),
        (
            "- a\n",
            "run.yaml: holds a list. Expected a mapping of sections, as in `data:`. The least "
            "that trains a model is `data: {source: FILE, target: COLUMN}`, which "
            "`distrain init --from FILE --target COLUMN` writes.",
        ),
        (
            "age,income\n39,low\n",
            "run.yaml: holds a single value. Expected a mapping of sections, as in `data:`. The "
            "least that trains a model is `data: {source: FILE, target: COLUMN}`, which "
            "`distrain init --from FILE --target COLUMN` writes.",
        ),
        (
            "a:\n  b: 1\n  c: 2\n  b: 3\n",
            "run.yaml:4: a.b is given twice, first on line 2. Keep one of them.",
        ),
        ("? [a]\n: 1\n", "run.yaml:1: the file has a key that is not a word."),
        (
            "a: !file x\n",
            "run.yaml:1: a has the tag '!file', which means nothing here. Put text that begins "
            "with ! in quotes.",
        ),
        ("a: &r [*r]\n", "run.yaml:1: a[0] is an anchor that holds itself, or far too much."),
        ('a: "\\ud800"\n', "run.yaml:1: a holds half a character (a lone surrogate)."),
        (
            b"a: \xff\n",
            "run.yaml: is not UTF-8 text: byte 0xff at 3. Expected a YAML file. Save it as UTF-8, "
            "or name the right file.",
        ),
    ],
)
def test_what_is_no_configuration_file_is_told_with_its_line(tmp_path, text, message):
    assert told(tmp_path, text) == [message]


def test_nested_anchors_cannot_fill_the_memory(tmp_path):
    levels = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]

    faults = told(tmp_path, "\n".join(["a0: &a0 [x]", *levels]))

    assert any("far too much" in fault for fault in faults)


def test_a_missing_file_leads_to_the_nearest_name(tmp_path):
    (tmp_path / "adult.yaml").touch()
    (tmp_path / "notes.txt").touch()

    near = read_tree(tmp_path / "adlt.yml", "adlt.yml", 0)[1]
    far = read_tree(tmp_path / "zzz.yaml", "zzz.yaml", 0)[1]

    assert str(near[0].as_error()) == (
        f"adlt.yml: no such file. Did you mean '{tmp_path}/adult.yaml'?"
    )
    assert str(far[0].as_error()) == (
        f"zzz.yaml: no such file. There are: adult.yaml in '{tmp_path}'."
    )


def test_a_missing_folder_is_told(tmp_path):
    _, faults = read_tree(tmp_path / "no" / "run.yaml", "no/run.yaml", 0)

    assert faults[0].mend == f"The folder '{tmp_path}/no' does not exist either"


def test_a_folder_is_no_configuration_file(tmp_path):
    (tmp_path / "run.yaml").touch()

    _, faults = read_tree(tmp_path, "here", 0)

    assert str(faults[0].as_error()) == (
        f"here: is a folder. Expected a YAML file. There are: run.yaml in '{tmp_path}'."
    )


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5),
        ("1e-3", 0.001),
        ("NO", "NO"),
        ("", None),
        ("null", None),
        ("[64, 32]", [64, 32]),
        ("{name: sgd, lr: 0.1}", {"name": "sgd", "lr": 0.1}),
        ("'5'", "5"),
        ("data/*.csv", "data/*.csv"),
        ("*.csv", "*.csv"),
        (">= 0.85", ">= 0.85"),
        (",", ","),
        ("|", "|"),
        ("#id", "#id"),
        ("host:6379", "host:6379"),
        ("a: b: c", "a: b: c"),
    ],
)
def test_the_value_of_an_override_is_yaml_or_else_text(text, value):
    _, found, faults = read_value(text, HERE)

    assert faults == []
    assert found == value


@pytest.mark.parametrize("text", ["[1", "{a: 1", "'a", '"a', "[a]]"])
def test_an_override_with_an_open_bracket_or_quote_is_a_fault(text):
    _, _, faults = read_value(text, HERE)

    assert faults[0].message.startswith("not valid YAML: ")
    assert str(faults[0].place) == "command line"


# YAML refuses longer keys than 1,024 characters, escapes counted.
TEXTS = st.text(ANY_CHARACTER, max_size=80)
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | NUMBERS | TEXTS,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
        max_leaves=8,
    )
)
def test_json_is_read_as_yaml(value):
    _, found, faults = read_value(json.dumps([value]), HERE)

    assert faults == []
    assert found == [value]


@settings(deadline=None)
@given(NUMBERS)
def test_numbers_survive_their_own_text(number):
    assert scalar(repr(number)) == number
