import re

import pytest

from distrain.config.environment import check_given, expand_env, expanded, masked
from distrain.config.load import settings_from_dict
from distrain.errors import ConfigError

GITHUB = "ghp_" + "a1B2" * 9
LEAST = {"data": {"source": "a", "target": "y"}}


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv("SET", "value")
    monkeypatch.setenv("EMPTY", "")
    monkeypatch.delenv("UNSET", raising=False)


def load(uri):
    return settings_from_dict({**LEAST, "track": {"uri": uri}})


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("plain $SET {SET}", "plain $SET {SET}"),
        ("${SET}", "value"),
        ("a/${SET}/${SET}.csv", "a/value/value.csv"),
        ("${UNSET:-default}", "default"),
        ("${UNSET:-}", ""),
        ("${EMPTY:-default}", "default"),
        ("${EMPTY}", ""),
        ("${SET:-default}", "value"),
        ("${UNSET:-http://host:1/x}", "http://host:1/x"),
    ],
)
def test_variables_are_filled_in_as_a_shell_does(text, expanded):
    assert expand_env(text) == expanded


def test_a_variable_that_is_not_set_is_an_error_where_it_is_used():
    with pytest.raises(ConfigError) as caught:
        expand_env("x/${UNSET}")

    assert str(caught.value) == (
        "${UNSET} is used, and the environment has no variable UNSET. "
        "Set it, or give a default: ${UNSET:-VALUE}."
    )


def test_settings_keep_variables_as_they_are_written():
    assert load("http://${SET}:5000").track.uri == "http://${SET}:5000"


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        (
            "http://${UNSET}/",
            "track.uri uses ${UNSET}, which the environment does not have. "
            "Set it, or give a default: ${UNSET:-VALUE}.",
        ),
        (
            "http://${SET",
            "track.uri holds a '${' that begins no variable. Expected ${VAR} or ${VAR:-default}.",
        ),
        (
            "https://me:hunter2@host/",
            "track.uri holds what looks like a URL with a password. Expected no secrets in a "
            "configuration: it is kept with the run. Put the secret into an environment variable "
            "and write ${VAR} in its place.",
        ),
        (
            GITHUB,
            "track.uri holds what looks like a GitHub token. Expected no secrets in a "
            "configuration: it is kept with the run. Put the secret into an environment variable "
            "and write ${VAR} in its place.",
        ),
    ],
)
def test_variables_and_secrets_are_checked_when_loading(uri, message):
    with pytest.raises(ConfigError) as caught:
        load(uri)

    assert str(caught.value) == message


def test_a_password_from_a_variable_is_welcome():
    assert load("https://me:${SET}@host/").track.uri == "https://me:${SET}@host/"


def test_a_message_never_repeats_a_secret():
    with pytest.raises(ConfigError) as caught:
        settings_from_dict({"data": {"source": "a", "target": "y"}, "train": {"epochs": GITHUB}})

    assert "train.epochs is text '***'" in str(caught.value)
    assert GITHUB not in str(caught.value)


SECRETS = [
    ("cluster.env.DB_PASSWORD", 12345),
    ("cluster.env.DB_PASSWORD", "${SET:-hunter2}"),
    ("cluster.env.PGPASSWORD", "pre${SET}"),
    ("cluster.env.ZIP_PWD", "x"),
    ("cluster.env.sshPassphrase", "x"),
    ("cluster.env.HF_TOKEN", GITHUB),
    ("model.args.api_key", "${SET:-hunter2}"),
    ("model.args.apiKey", "x"),
    ("model.args.password", ["x", {"inner": "x"}]),
    ("model.args.layers", [{"secret": "x"}]),
    ("model.args.auth_token", "a" * 20),
    ("model.args.second_pass", {"api_key": "x"}),
    ("model.args.database", "host=db user=ann password=hunter2"),
    ("model.args.headers", {"Authorization": "Bearer " + "a1B2" * 9}),
    ("model.args.headers", {"authorization": "Basic dXNlcjpodW50ZXI="}),
    ("cluster.env.DATABASE_DSN", "postgresql://ann:hunter2@db/x"),
]
NO_SECRETS = {
    "use_token": True,
    "pad_token": "<pad>",
    "pad_token_id": 50256,
    "hf_token": "${SET}",
    "password": None,
    "api_key": "${UNSET:-}",
    "num_tokens": 5,
    "tokenizer": "a-name-of-some-length",
}


def with_value(path, value):
    section, table, key = path.split(".")
    values = {**LEAST, "model": {"target": "a:B"}}
    values[section] = {**values.get(section, {}), table: {key: value}}
    return values


@pytest.mark.parametrize(("path", "value"), SECRETS)
def test_a_secret_is_refused_under_a_name_that_speaks_of_one(path, value):
    with pytest.raises(ConfigError, match=re.escape(path)) as caught:
        settings_from_dict(with_value(path, value))

    assert "holds what looks like a " in str(caught.value)
    assert "in its place" in caught.value.mend
    assert "hunter2" not in str(caught.value)


def test_other_likely_secrets_for_workers_are_taken_and_masked_where_they_are_written():
    env = {
        "AWS_SECRET_ACCESS_KEY": "x",
        "HF_TOKEN": "tok-1",
        "SERVICE_CREDENTIALS": "${SET:-hunter2}",
        "API_KEY": "${SET}",
        "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "CITY": "Reykjavik",
    }
    settings = settings_from_dict({**LEAST, "cluster": {"env": env}})

    assert settings.cluster.env == env
    assert masked(env) == env | {
        "AWS_SECRET_ACCESS_KEY": "***",
        "HF_TOKEN": "***",
        "SERVICE_CREDENTIALS": "***",
    }


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("DB_PASS", "hunter2", "***"),
        ("SMTP_PASS_2", "hunter2", "***"),
        ("SENTRY_DSN", "any", "***"),
        ("AZURE_STORAGE_CONNECTION_STRING", "any", "***"),
        ("ConnectionStrings__Default", "any", "***"),
        ("SQLCONNSTR_MAIN", "any", "***"),
        ("DATABASE", "Server=db;User Id=a;Password=hunter2;", "Server=db;User Id=a;Password=***;"),
        ("DATABASE", "Password=hunter2;Server=db", "Password=***;Server=db"),
        ("LIBPQ", "host=db user=ann password=hunter2", "host=db user=ann password=***"),
        ("LIBPQ", "host=${SET} password=hunter2", "host=${SET} password=***"),
        ("LIBPQ", "host=db password=${UNSET:-hunter2}", "host=db password=***"),
        ("BLOBS", "AccountName=a;AccountKey=aGk=;B=1", "AccountName=a;AccountKey=***;B=1"),
        ("ODBC", "UID=a;PWD={hun;ter22};X=1", "UID=a;PWD=***;X=1"),
        ("DB_PASS", "${SET}", "${SET}"),
        ("LIBPQ", "host=db password=${SET}", "host=db password=${SET}"),
        ("BYPASS", "all", "all"),
        ("FORWARD_PASS", "all", "all"),
        ("KAGGLE_KEY", "abc", "***"),
        ("PASSES", "2", "2"),
        ("FLAGS", "a=1 b=2", "a=1 b=2"),
    ],
)
def test_connections_for_workers_are_taken_and_masked_where_they_are_written(name, value, shown):
    settings = settings_from_dict({**LEAST, "cluster": {"env": {name: value}}})

    assert settings.cluster.env == {name: value}
    assert masked(settings.cluster.env) == {name: shown}


def test_the_password_of_a_connection_is_masked_in_messages_and_asked_for(monkeypatch):
    monkeypatch.setattr("distrain.redaction._hidden", set())
    env = {"DATABASE": "host=db password=planted-8"}

    settings_from_dict({**LEAST, "cluster": {"env": env}})

    assert str(ConfigError("planted-8 is refused")) == "*** is refused."
    with pytest.raises(ConfigError, match=r"secret in cluster\.env\.DATABASE is not"):
        check_given(masked(env))


def test_a_likely_secret_for_workers_is_masked_in_messages(monkeypatch):
    monkeypatch.setattr("distrain.redaction._hidden", set())

    with pytest.raises(ConfigError) as caught:
        settings_from_dict(
            {**LEAST, "name": "a/planted-7", "cluster": {"env": {"API_KEY": "planted-7"}}}
        )

    assert "name is text 'a/***'" in str(caught.value)


def test_what_a_variable_called_a_key_holds_is_masked_where_it_looks_random():
    words = {"SORT_KEY": "user_id_of_2024_and_later", "PUBLIC_KEY": "a1B2c3D4" * 4, "X_KEY": "a1"}
    words |= {"S3_MODEL_KEY": "models/v2/resnet50_224x224_b16"}

    shown = masked({"ACME_KEY": "a1B2c3D4" * 4, "B_KEY": "${B_KEY}", **words})

    assert shown == {"ACME_KEY": "***", "B_KEY": "${B_KEY}", **words}
    with pytest.raises(ConfigError, match=r"secret in cluster\.env\.ACME_KEY is not kept"):
        check_given(shown)


def test_a_secret_that_is_not_kept_is_asked_for():
    with pytest.raises(ConfigError, match=r"secret in cluster\.env\.API_KEY is not") as caught:
        check_given({"API_KEY": "***", "STARS": "***", "HF_TOKEN": "${HF_TOKEN}"})

    assert "'cluster.env.API_KEY=${API_KEY}'" in caught.value.mend
    check_given({"API_KEY": "given", "STARS": "***"})


@pytest.mark.parametrize(("name", "value"), NO_SECRETS.items())
def test_what_only_sounds_like_a_secret_is_taken(name, value):
    settings = settings_from_dict(with_value(f"model.args.{name}", value))

    assert settings.model.args == {name: value}


def test_the_mend_names_a_variable():
    with pytest.raises(ConfigError, match=r"write \$\{API_KEY\} in its place"):
        settings_from_dict(with_value("model.args.api_key", "abc"))


@pytest.mark.parametrize(
    "uri",
    [
        "https://me:${UNSET:-hunter2}@host/",
        "https://host/?token=hunter2",
        "https://glpat-" + "hunter2hunter2@host/",
        "https://bucket/x.csv?X-Amz-Expires=9&X-Amz-Signature=hunter2",
    ],
)
def test_a_secret_in_a_default_or_a_query_is_refused(uri):
    with pytest.raises(ConfigError, match="holds what looks like a URL with a"):
        load(uri)


def test_a_page_of_a_list_is_no_secret():
    uri = "https://host/?max_tokens=5&page_token=CAUQAA&next_token=CAUQAA"
    assert load(uri).track.uri == uri


def test_a_table_is_filled_in_where_it_is_used(monkeypatch):
    monkeypatch.setenv("WIDTH", "8")

    assert expanded({"a": ["${WIDTH}", 3], "b": None}) == {"a": ["8", 3], "b": None}


def test_what_fills_in_a_secret_is_masked_from_then_on(monkeypatch):
    monkeypatch.setattr("distrain.redaction._hidden", set())
    monkeypatch.setenv("PLANTED", "planted-1")
    monkeypatch.setenv("CITY", "Reykjavik")

    expanded({"auth": {"api_key": "${PLANTED}"}, "city": "${CITY}"})

    assert str(ConfigError("planted-1 in Reykjavik")) == "*** in Reykjavik."
