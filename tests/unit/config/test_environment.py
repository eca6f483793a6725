import pytest

from distrain.config.environment import expand_env, holds_secret, masked
from distrain.config.load import settings_from_dict
from distrain.errors import ConfigError

GITHUB = "ghp_" + "a1B2" * 9


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv("SET", "value")
    monkeypatch.setenv("EMPTY", "")
    monkeypatch.delenv("UNSET", raising=False)


def load(uri):
    return settings_from_dict({"data": {"source": "a", "target": "y"}, "track": {"uri": uri}})


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
        ("${UNSET:-" + GITHUB + "}", "a GitHub token"),
        ("http://host:5000/path@x", None),
        ("s3://bucket/key", None),
        ("risk-" + "a" * 30, None),
        ("half_" + "a" * 30, None),
    ],
)
def test_well_known_secrets_are_recognised(text, told):
    assert holds_secret(text) == told


def test_a_message_never_repeats_a_secret():
    with pytest.raises(ConfigError) as caught:
        settings_from_dict({"data": {"source": "a", "target": "y"}, "train": {"epochs": GITHUB}})

    assert "train.epochs is text '***'" in str(caught.value)
    assert GITHUB not in str(caught.value)


def test_values_of_keys_that_name_a_secret_are_masked():
    values = {
        "AWS_SECRET_ACCESS_KEY": "x",
        "api_key": "x",
        "password": ["x", {"inner": "x"}, 12345678],
        "use_token": True,
        "pad_token_id": 50256,
        "HF_TOKEN": "${HF_TOKEN}",
        "num_tokens": 5,
        "tokenizer": "bpe",
    }

    assert masked(values) == {
        "AWS_SECRET_ACCESS_KEY": "***",
        "api_key": "***",
        "password": ["***", {"inner": "***"}, "***"],
        "use_token": True,
        "pad_token_id": 50256,
        "HF_TOKEN": "${HF_TOKEN}",
        "num_tokens": 5,
        "tokenizer": "bpe",
    }
