import logging
import time

import pytest

from distrain.errors import ConfigError, first_line
from distrain.redaction import (
    RedactingFormatter,
    holds_secret,
    redacted,
    traceback_text,
    without_credentials,
)
from distrain.secret_names import is_secret_value, names_secret

GITHUB = "ghp_" + "a1B2" * 9
AWS = "AKIA" + "IOSFODNN7EXAMPLE"
ODBC = "mssql+pyodbc:///?odbc_connect=DRIVER%3Dx%3BSERVER%3Ddb%3BUID%3Dme"
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
        (f"https://{GITHUB}@host/a.git", "a URL with a token in it"),
        ("https://ghp_" + "abcd@host/a.git", "a URL with a token in it"),
        ("https://glpat-" + "abcd1:@host/a.git", "a URL with a token in it"),
        ("https://hf_" + "a1b2c3@host/", "a URL with a token in it"),
        ("https://sk-" + "a1b2c3@host/", "a URL with a token in it"),
        ("https://" + "0f3a9c4e" * 4 + "@host/", "a URL with a token in it"),
        ("https://xK2mQ9vL4pR7tZ1w@host/", "a URL with a token in it"),
        ("https://host/?access_token=abc", "a URL with a token in it"),
        ("https://host/?accessToken=abc", "a URL with a token in it"),
        ("https://host/?a=b&X-Amz-Security-Token=abc", "a URL with a token in it"),
        ("https://host/?token2=abc", "a URL with a token in it"),
        ("https://host/?token=...", None),
        ("https://host/?api_key=YOUR_API_KEY", None),
        ("https://host/?password_reset=true", None),
        ("https://host/?credentials=include", None),
        ("https://host/?credentials=include&token=abc1", "a URL with a token in it"),
        ("https://host/?max_tokens=5", None),
        ("https://host/?a=b&page_token=CAUQAA", None),
        ("https://host/?next_token=CAUQAA", None),
        ("https://host/?nextPageToken=CAUQAA&continuation-token=1", None),
        ("https://host/?tokenizer=bpe&num_tokens=7&token_count=7", None),
        ("https://ann@host/", None),
        ("ssh://git@github.com/a/b.git", None),
        ("https://service-account-2024@host/", None),
        ("https://first.last1990@host/", None),
        ("https://MyTrainingServiceAccount2@host/", None),
        ("https://hf_user@host/", None),
        ("https://{token}@host/", None),
        ("abfss://c0nt4in3r2b5c7d9e1@account.dfs.core.windows.net/a", None),
        ("host=db password=abc", "a connection string with a password"),
        (f"{ODBC}%3BPWD%3Dhunter", "a connection string with a password"),
        (f"{ODBC}%3BPwd+%3D+%7Bhun%3Bter%7D%3BX%3D1", "a connection string with a password"),
        (f"{ODBC}%3BPWD%3D", None),
        (f"{ODBC}%3BPWD%3D***%3BX%3D1", None),
        ("sk_" + "live_" + "a1B2" * 6, "a Stripe key"),
        ("rk_" + "test_" + "a1B2" * 6, "a Stripe key"),
        ("sk_test_of_linear_models_in_2024", None),
        ("AIza" + "a1B2c" * 7, "a Google API key"),
        ("ya29." + "a1B2c" * 7, "a Google access token"),
        ("SG." + "a1B2" * 5 + "cD." + "a1B2" * 10 + "cDe", "a SendGrid key"),
        ("SG.compute.total", None),
        ("npm_" + "a1B2" * 9, "an npm token"),
        ("npm_config_registry", None),
        ("pypi-" + "AgEIcHlwaS5vcmc" + "a1B2" * 9, "a PyPI token"),
        ("pypi-publish-workflow-of-2024", None),
        ("eyJ" + "hbGciOi1." + "eyJ" + "zdWIiOi1." + "a1B2" * 9, "a JSON web token"),
        ("eyJhbGciOi1", None),
        ("https://hooks.slack.com/" + "services/T0A1B2/B0A1B2/" + "a1B2" * 6, "a Slack webhook"),
        ("https://hooks.slack.com/" + "services/T00000000/B00000000/" + "X" * 24, None),
        ("Authorization: Bearer " + "a1B2" * 6, "a header with credentials"),
        ("Authorization: Basic dXNlcjpodW50ZXI=", "a header with credentials"),
        ("Authorization: Basic authentication", None),
        ("authorization: bearer tokens are taken", None),
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
        ("at https://" + "0f3a9c4e" * 4 + "@host/x", "at https://***@host/x"),
        ("https://x/?max_tokens=5&page_token=a", "https://x/?max_tokens=5&page_token=a"),
        ("s3://b/k?secret_key=ab&region=x", "s3://b/k?secret_key=***&region=x"),
        (f"it holds {AWS}, and", "it holds ***, and"),
        (f"a key: {KEY} end", "a key: *** end"),
        ("+password = 'hunter2'", "+password = '***'"),
        ('{"api_key": "ab cd", "n": 3}', '{"api_key": "***", "n": 3}'),
        ("environ['API_KEY'] = 'ab cd'", "environ['API_KEY'] = '***'"),
        ("password: str | None = 'x', n=''", "password: str | None = '***', n=''"),
        (r'"password = \"x\"\n"', r'"password = \"***\"\n"'),
        ("password='${PW}', token='{token}'", "password='${PW}', token='{token}'"),
        ("password='' and 'b'", "password='' and 'b'"),
        ("no Server=db;UID=me;Pwd=a,b;X=1", "no Server=db;UID=me;Pwd=***;X=1"),
        ("DRIVER=x;UID=me;PWD={hun;ter22};X=1", "DRIVER=x;UID=me;PWD=***;X=1"),
        ("PWD={hun}};ter22};X=1", "PWD=***;X=1"),
        ("a;AccountKey={a b=};X=1", "a;AccountKey=***;X=1"),
        ("host={host} password={password} x=1", "host={host} password={password} x=1"),
        (r'{"password": "hun\"ter22", "n": 3}', '{"password": "***", "n": 3}'),
        (r"password='it\'s', b='c'", "password='***', b='c'"),
        ("password='C:\\', n=3", "password='***', n=3"),
        ("PGHOST=db PGPASSWORD=a psql", "PGHOST=db PGPASSWORD=*** psql"),
        ("f(user=a, password=b, c=d)", "f(user=a, password=b, c=d)"),
        ("a=1; password=getpass()", "a=1; password=getpass()"),
        ("host=%s password=? user=%s", "host=%s password=? user=%s"),
        ("OLDPWD=/a PWD=/b HOME=/c", "OLDPWD=/a PWD=/b HOME=/c"),
        ("Authorization: Basic bWU6cHc=", "Authorization: Basic ***"),
        ("{'Authorization': 'Bearer a1'}", "{'Authorization': 'Bearer ***'}"),
        ('h["Authorization"] = "Bearer a1"', 'h["Authorization"] = "Bearer ***"'),
        (
            "at hooks.slack.com/services/T1234/B1234/" + "a1B2" * 6,
            "at hooks.slack.com/services/***",
        ),
        ("http://host:5000/path@x and me@host", "http://host:5000/path@x and me@host"),
        ("track.uri = http://127.0.0.1:1: nothing", "track.uri = http://127.0.0.1:1: nothing"),
        ("https://me:***@host", "https://me:***@host"),
        (f"{ODBC}%3BPWD%3Dhunter2 fails", f"{ODBC}%3BPWD%3D*** fails"),
        (f"{ODBC}%3BPWD%3D%7Bh%3B%7D%7D2%7D%3BX%3D1&a=b", f"{ODBC}%3BPWD%3D***%3BX%3D1&a=b"),
        ("https://h/?q=a%3Db%20c&path=%2Fa", "https://h/?q=a%3Db%20c&path=%2Fa"),
    ],
)
def test_free_text_is_shown_without_its_secrets(text: str, shown: str) -> None:
    assert redacted(text) == shown


def test_the_values_of_secret_variables_are_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "planted/1")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/etc/passwd")
    monkeypatch.setenv("PLANTED_CITY", "Reykjavik")
    monkeypatch.setenv("PLANTED_KEY", "a1B2c3D4" * 4)
    monkeypatch.setenv("SORT_KEY", "Reykjavik")
    monkeypatch.setenv("A_TOKEN", "abc")

    shown = redacted("planted/1 and planted%2F1, /etc/passwd, Reykjavik, abc, " + "a1B2c3D4" * 4)

    assert shown == "*** and ***, /etc/passwd, Reykjavik, abc, ***"


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
        ("abfss://box@me.dfs.core.windows.net/a", "abfss://box@me.dfs.core.windows.net/a"),
        ("ABFS://box@me.dfs.core.windows.net/a", "ABFS://box@me.dfs.core.windows.net/a"),
        ("wasbs://box@me.blob.core.windows.net/a", "wasbs://box@me.blob.core.windows.net/a"),
        ("az://box@me.dfs.core.windows.net/a", "az://box@me.dfs.core.windows.net/a"),
        ("abfss://box:pass@me.dfs.core.windows.net/a", "abfss://box:***@me.dfs.core.windows.net/a"),
        ("/data/a@b:c.csv", "/data/a@b:c.csv"),
        ("s3://bucket/a@b.csv", "s3://bucket/a@b.csv"),
    ],
)
def test_a_source_is_kept_without_credentials(uri: str, kept: str) -> None:
    assert without_credentials(uri) == kept


@pytest.mark.parametrize(
    "text",
    ["ab09" * 15_000, ";" + "a" * 60_000, "http://" + "a" * 60_000, "a=" * 30_000, "a=b " * 15_000],
)
def test_long_text_without_a_break_is_looked_through_at_once(text: str) -> None:
    started = time.process_time()

    assert redacted(text) == text

    assert time.process_time() - started < 1.0  # 0.02 s; 11 s where each letter begins a search


@pytest.mark.parametrize(
    "piece",
    [
        "pwd=x",
        "pwd=x,",
        "pwd={",
        "pwd={a;",
        "pwd={a}}",
        "://a:",
        "://",
        "a://",
        "a=b;",
        "a=b;pwd=",
        "sk-",
        "sk-a",
        "secret",
        "password",
        "password=",
        "password:",
        "password:a ",
        "key",
        "apikey",
        "token",
        "?a",
        '"',
        "'",
        "{",
        "}",
        "{}",
        "\\",
        '\\"',
        "password='",
        'password=\\"',
        "&secret=",
        "&a=%3Bpwd%3D",
        "%3Bpwd%3D%7B",
        "%3Bpwd%3Da",
        "&",
        "a ",
        " ",
    ],
)
def test_what_is_repeated_is_looked_through_at_once(piece: str) -> None:
    text = "?" + piece * (50_000 // len(piece))
    started = time.process_time()

    redacted(text)
    holds_secret(text)

    assert time.process_time() - started < 1.0  # 0.2 s; 3 s to minutes where it is quadratic


def test_spaces_behind_a_name_are_looked_through_at_once() -> None:
    started = time.process_time()

    redacted("password:" + " " * 50_000)

    assert time.process_time() - started < 0.2


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


@pytest.mark.parametrize(
    "name",
    [
        "KAGGLE_KEY",
        "NGROK_AUTHTOKEN",
        "SSHPASS",
        "ACCESSTOKEN",
        "SECRETKEY",
        "AZURE_STORAGE_KEY",
        "DB_PW",
        "WANDB_KEY",
        "AZURE_DEVOPS_EXT_PAT",
        "REDISCLI_AUTH",
        "ACCOUNT_KEY",
        "ENCRYPTION_KEY",
        "DB_PASS",
        "ADMIN_PASS",
        "secretKey",
        "accessToken",
    ],
)
def test_names_speak_of_secrets_in_many_forms(name: str) -> None:
    assert names_secret(name)


@pytest.mark.parametrize(
    "name",
    [
        "key",
        "primary_key",
        "sort_key",
        "key_name",
        "path",
        "pattern",
        "author",
        "max_tokens",
        "PATH",
        "auth",
        "pat",
        "pw2v",
        "spawn",
        "forward_pass",
        "backward_pass",
        "first_pass",
        "second_pass",
        "single_pass",
        "num_pass",
        "n_pass",
        "max_pass",
        "by_pass",
        "bypass",
        "BYPASS",
        "low_pass",
        "high_pass",
        "band_pass",
        "forwardPass",
        "FIRST_PASS_2",
        "compass",
    ],
)
def test_names_that_only_sound_alike_speak_of_none(name: str) -> None:
    assert not names_secret(name)
