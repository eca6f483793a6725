import logging
import time

import pytest

from distrain.errors import ConfigError, first_line
from distrain.redaction import (
    RedactingFormatter,
    holds_secret,
    is_secret_value,
    redacted,
    secrets_in,
    traceback_text,
    without_credentials,
)

GITHUB = "ghp_" + "a1B2" * 9
AWS = "AKIA" + "IOSFODNN7EXAMPLE"
KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("AKIA" + "IOSFODNN7EXAMPLE", "an AWS access key"),
        (f"x {GITHUB}", "a GitHub token"),
        ("hf_" + "abcDEF1234" * 3, "a Hugging Face token"),
        ("sk-" + "proj-abc123" * 3, "an API key"),
        ("glpat-" + "a" * 20, "a GitLab token"),
        ("xoxb-" + "1" * 12, "a Slack token"),
        ("-----BEGIN RSA PRIVATE KEY-----", "a private key"),
        ("postgresql+psycopg://u:p@host/db", "a URL with a password"),
        ("https://:token@host", "a URL with a password"),
        ("https://host/?token=abc", "a URL with a token in it"),
        ("see the query ?token=abc", None),
        ("http://host:5000/path@x", None),
        ("s3://bucket/key", None),
        ("risk-" + "a" * 30, None),
        ("half_" + "a" * 30, None),
    ],
)
def test_well_known_secrets_are_recognised(text, told):
    assert holds_secret(text) == told


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("at https://me:p@w/x@host/db failed", "at https://me:***@host/db failed"),
        ("postgresql+psycopg://u:p@host/db", "postgresql+psycopg://u:***@host/db"),
        ("https://x/a?X-Amz-Signature=ab12&e=9", "https://x/a?X-Amz-Signature=***&e=9"),
        ("s3://b/k?secret_key=ab&region=x", "s3://b/k?secret_key=***&region=x"),
        (f"it holds {AWS}, and", "it holds ***, and"),
        (f"a key: {KEY} end", "a key: *** end"),
        ("+password = 'hunter2'", "+password = '***'"),
        ('{"api_key": "ab cd", "n": 3}', '{"api_key": "***", "n": 3}'),
        ("Authorization: Basic bWU6cHc=", "Authorization: Basic ***"),
        ("http://host:5000/path@x and me@host", "http://host:5000/path@x and me@host"),
        ("track.uri = http://127.0.0.1:1: nothing", "track.uri = http://127.0.0.1:1: nothing"),
        ("https://me:***@host", "https://me:***@host"),
    ],
)
def test_free_text_is_shown_without_its_secrets(text: str, shown: str) -> None:
    assert redacted(text) == shown


def test_the_values_of_secret_variables_are_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "planted/1")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/etc/passwd")
    monkeypatch.setenv("PLANTED_CITY", "Reykjavik")
    monkeypatch.setenv("A_TOKEN", "abc")

    shown = redacted("planted/1 and planted%2F1, /etc/passwd, Reykjavik, abc")

    assert shown == "*** and ***, /etc/passwd, Reykjavik, abc"


def test_an_error_tells_no_secret_whatever_part_holds_it() -> None:
    error = ConfigError("uri https://a:b1@h", where="https://a:b2@h", mend=f"Use {GITHUB}")

    assert str(error) == "https://a:***@h: uri https://a:***@h. Use ***."
    assert error.to_json()["mend"] == "Use ***"
    assert first_line(ValueError("no https://a:b1@h\nmore")) == "no https://a:***@h"


def test_log_lines_and_tracebacks_tell_no_secret() -> None:
    try:
        raise ValueError(f"refused: {AWS}")
    except ValueError as error:
        record = logging.LogRecord("n", 40, "f", 1, "at %s", (GITHUB,), None)
        record.exc_info = (type(error), error, error.__traceback__)
        line, trace = RedactingFormatter("%(message)s").format(record), traceback_text(error)

    assert line.startswith("at ***\nTraceback")
    assert line.endswith("ValueError: refused: ***")
    assert trace.endswith("ValueError: refused: ***\n")


@pytest.mark.parametrize(
    ("uri", "kept"),
    [
        ("s3://key:secret@bucket/a.csv", "s3://***@bucket/a.csv"),
        ("s3://bucket/a.csv?access_key=k&region=x", "s3://bucket/a.csv?access_key=***&region=x"),
        ("https://token@host/a.csv", "https://***@host/a.csv"),
        ("/data/a@b:c.csv", "/data/a@b:c.csv"),
        ("s3://bucket/a@b.csv", "s3://bucket/a@b.csv"),
    ],
)
def test_a_source_is_kept_without_credentials(uri: str, kept: str) -> None:
    assert without_credentials(uri) == kept


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('API_KEY = "abc123def456"', "a secret given to API_KEY"),
        ('password: str = "hunter2hunter2"', "a secret given to password"),
        ('os.environ["DB_PASSWORD"] = "s3cr3tpass"', "a secret given to DB_PASSWORD"),
        ("connect(api_key='abcd12345', x=2)", "a secret given to api_key"),
        (f"client = Client('{AWS}')", "an AWS access key"),
        ('URL = "postgresql://u:pw@host/db"', "a URL with a password"),
        (KEY.partition("\n")[0], "a private key"),
        ('PAD_TOKEN = "<|endoftext1|>"', None),
        ('PASSWORD_COLUMN = "password1x"', None),
        ('TOKEN_PATTERN = r"\\w+|\\S{20,}xx12"', None),
        ('password = os.environ["DB_PASSWORD1"]', None),
        ('url = f"postgresql://{user}:{password}@host/db?token={token}"', None),
        (f"KEY = '{AWS}'  # pragma: allowlist secret", None),
    ],
)
def test_secrets_in_code_are_found_by_line(line: str, told: str | None) -> None:
    assert list(secrets_in(f"import os\n{line}\n")) == ([(2, told)] if told else [])


@pytest.mark.parametrize("text", ["ab09" * 15_000, ";" + "a" * 60_000, "http://" + "a" * 60_000])
def test_long_text_without_a_break_is_looked_through_at_once(text: str) -> None:
    started = time.process_time()

    assert redacted(text) == text

    assert time.process_time() - started < 1.0  # 0.02 s; 11 s where each letter begins a search


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("secret_dim", 64),
        ("num_secrets", 3),
        ("password_length", 12),
        ("bos_token", "<|begin_of_text|>"),
        ("token_mixer", "depthwise_convolution"),
        ("token_file", "vocabulary/of/this/model.json"),
        ("credentials", "/etc/x.json"),
    ],
)
def test_what_a_model_is_ordinarily_given_is_no_secret(name: str, value: object) -> None:
    assert not is_secret_value(name, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [("DB_PASSWORD", 12345), ("apiKey", "x"), ("auth_token", "a" * 20), ("api_key_2", "x")],
)
def test_what_is_given_to_the_name_of_a_secret_is_one(name: str, value: object) -> None:
    assert is_secret_value(name, value)


def test_a_key_in_a_dict_is_found_and_a_class_of_a_page_is_none() -> None:
    key = "AKIA" + "ABCD" * 4
    assert [line for line, _ in secrets_in(f'keys = {{"aws": "{key}"}}')] == [1]
    assert list(secrets_in('<div class="sk-toggleable__label sk-toggleable__label-arrow">')) == []
