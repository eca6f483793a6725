"""Secrets in sources, in settings beside them, and in differences of either."""

import time

import pytest

from distrain.track.written_secrets import secrets_in, secrets_in_diff

AWS = "AKIA" + "IOSFODNN7EXAMPLE"

RANDOM = "a1B2c3D4" * 3


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('API_KEY = "abc123def456"', "a secret given to API_KEY"),
        ('password: str = "hunter2hunter2"', "a secret given to password"),
        ('os.environ["DB_PASSWORD"] = "s3cr3tpass"', "a secret given to DB_PASSWORD"),
        ("connect(api_key='abcd12345', x=2)", "a secret given to api_key"),
        (f"client = Client('{AWS}')", "an AWS access key"),
        ('URL = "postgresql://u:pw@host/db"', "a URL with a password"),
        ("-----BEGIN RSA PRIVATE KEY-----", "a private key"),
        ('{"password": "x"}', "a secret given to password"),
        ("connect('db', password='hunter')", "a secret given to password"),
        ("connect(password=b'hunter')", "a secret given to password"),
        ('password: str | None = "hunter"', "a secret given to password"),
        ('os.environ["TOKEN"] = "abc123def"', "a secret given to TOKEN"),
        ('key = os.environ.get("API_KEY", "abc123def")', "a secret given to API_KEY"),
        ('os.environ.setdefault("DB_PASSWORD", "hunter")', "a secret given to DB_PASSWORD"),
        ('DB_PASS = "hunter2"', "a secret given to DB_PASS"),
        (r'"password = \"hunter\"\n",', "a secret given to password"),
        ('DSN = "host=db user=ann password=hunter"', "a connection string with a password"),
        ('DSN = f"host={host} password={password}" + "password=%s user=%s"', None),
        (r'{"password": "hun\"ter22"}', "a secret given to password"),
        ('DSN = "UID=me;PWD={hun;ter22};X=1"', "a connection string with a password"),
        ("password = getpass()", None),
        ('password = getpass("password: ") or ask("the password: ")', None),
        ("def connect(user: str, password: str, token: str) -> None:", None),
        ("password: hunter2", None),
        ('password = ""', None),
        ('labels = {"password": "Password", "token": "Token"}', None),
        ('kinds = {"password": "str", "api_key": "str"}', None),
        ('PASSWORD = "DB_PASSWORD"', None),
        ('if password == "hunter2":', None),
        ('os.environ["HF_HUB_DISABLE_IMPLICIT_TOKEN"] = "1"', None),
        ('os.environ["API_KEY"] = "EMPTY"', None),
        ('eos_token = "eot1"', None),
        ('first_pass = "coarse"', None),
        ('forward_pass = "net2x_v1"', None),
        ('model.backward_pass = "net2x_v1"', None),
        ('low_pass: str = "butter4w"', None),
        ('KAGGLE_KEY = "abc123def456"', "a secret given to KAGGLE_KEY"),
        ('SECRETKEY = "abc123def456"', "a secret given to SECRETKEY"),
        ('sort_key = "abc123def456"', None),
        ('PAD_TOKEN = "<|endoftext1|>"', None),
        ('PASSWORD_COLUMN = "password1x"', None),
        ('TOKEN_PATTERN = r"\\w+|\\S{20,}xx12"', None),
        ('password = os.environ["DB_PASSWORD1"]', None),
        ('url = f"postgresql://{user}:{password}@host/db?token={token}"', None),
        ('url = f"http://{host}:{port}/users/@me"', None),
        ('image = f"docker://{reg}:{port}/x@sha256:{digest}"', None),
        ('url = f"http://{host}:{config["port"]}?to=a@b"', None),
        ('url = f"http://{user}:hunter2@{host}:{port}/x"', "a URL with a password"),
        ("url = f\"https://h/?token={quote(token, safe='')}\"", None),
        ("url = f\"https://h/?token={os.environ['API-TOKEN']}\"", None),
        ('url = f"https://h/?token={token or default}"', None),
        ('url = f"https://h/?token={token if is_set else default}"', None),
        ("use({open('postgresql://ann:hunter2@db/x')})", "a URL with a password"),
        ('"""Ask https://h/?token=... or https://h/?api_key=YOUR_API_KEY."""', None),
        ("fetch('https://h/?credentials=include&password_reset=true')", None),
        ("fetch('https://h/?token=abc1')", "a URL with a token in it"),
        ("connect(user=u, password=pw if user == admin else None)", None),
        ("connect('host=db password=hunter user=ann')", "a connection string with a password"),
        ('DSN = "host=db user=ann password=hunter', "a connection string with a password"),
        (f"KEY = '{AWS}'  # pragma: allowlist secret", None),
        ('headers = {"Authorization": "Bearer ' + RANDOM + '"}', "a header with credentials"),
        ('headers["Authorization"] = "Basic dXNlcjpodW50ZXI="', "a header with credentials"),
        ('add("Authorization", "Bearer ' + RANDOM + '")', "a header with credentials"),
        (r'"{\"Authorization\": \"Bearer ' + RANDOM + r'\"}",', "a header with credentials"),
        ('headers = {"Authorization": f"Bearer {token}"}', None),
        ('headers = {"Authorization": f"Bearer {os.environ["API_TOKEN_1"]}"}', None),
        ('headers["Authorization"] = "Bearer " + token_of_2024_or_later', None),
        ('headers["Authorization"] = "Bearer %s" % token_of_2024_or_later', None),
        ('"""Sent as `Authorization: Bearer <token>` or Authorization: Basic ..."""', None),
        ('"""Authorization: Bearer YOUR_API_TOKEN. Authorization: basic authentication."""', None),
        ('db_password = "correct horse battery 9 staple"', "a secret given to db_password"),
        ('f(password="correct horse 9", n=1)', "a secret given to password"),
        ('password = """hunter2"""', "a secret given to password"),
        ('password: str = """hunter2', "a secret given to password"),
        ("password = '''correct horse battery 9 staple'''", "a secret given to password"),
        ('api_key = """abc123def456"""', "a secret given to api_key"),
        ('texts = {"password": "Your password", "pwd": "Print working directory"}', None),
        ('errors = {"password": "Password must be at least 8 characters"}', None),
        ('errors = {"password": "At least 8 characters"}', None),
        ('print("password: " + user1 + " and " + user2)', None),
        ('print("password=", user 1, "and 2")', None),
        ('ask("password: ", "as of 2024")', None),
        ('token = "a sentence of 5 words"', None),
        ('api_key = "see page 5 of them"', None),
        ('password = """', None),
    ],
)
def test_secrets_in_code_are_found_by_line(line: str, told: str | None) -> None:
    assert list(secrets_in(f"import os\n{line}\n")) == ([(2, told)] if told else [])


def test_a_key_in_a_dict_is_found_and_a_class_of_a_page_is_none() -> None:
    key = "AKIA" + "ABCD" * 4
    assert [line for line, _ in secrets_in(f'keys = {{"aws": "{key}"}}')] == [1]
    assert list(secrets_in('<div class="sk-toggleable__label sk-toggleable__label-arrow">')) == []


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("password: hunter2", "password"),
        ("  - POSTGRES_PASSWORD=hunter", "POSTGRES_PASSWORD"),
        ("API_KEY=abc123def", "API_KEY"),
        ("export HF_TOKEN=abc123def", "HF_TOKEN"),
        ("PGPASSWORD=hunter psql -h db", "PGPASSWORD"),
        ("spring.datasource.password = hunter", "spring.datasource.password"),
        ("db: {user: ann, password: hunter, port: 5}", "password"),
        ("passphrase: correct horse battery", "passphrase"),
        ("access_token: abc123def456ghi7  # of the bot", "access_token"),
        ("password: ${PASSWORD:-hunter}", "password"),
        ("DB_PASSWORD=12345", "DB_PASSWORD"),
        ("DB_PASS=hunter2", "DB_PASS"),
        ("password = getpass()", None),
        ("password: str", None),
        ('password: "Enter your password"', None),
        ('reset_password: "Lost it?"', None),
        ('password: "correct horse battery"', "password"),
        ("Authorization: Bearer GOES_HERE_WITH_A_1", None),
        ("token: str", None),
        ("max_tokens: 5", None),
        ("tokenizer: bpe", None),
        ("key: value", None),
        ("password: ${PASSWORD}", None),
        ("password: ${PASSWORD:-}", None),
        ("password: $PASSWORD", None),
        ("password: {{ vault_password }}", None),
        ("password: !vault |", None),
        ("password: ***", None),
        ("password:", None),
        ("PASSWORD=", None),
        ("password: null", None),
        ("password: settings.password", None),
        ("password: hunter2  # pragma: allowlist secret", None),
        ("pad_token: <pad>", None),
        ("eos_token: eot_1", None),
        ("secret: true", None),
        ("bypass: lane2x", None),
        ("by_pass: lane2x", None),
        ("host: http://h/?credentials=include", None),
        ("n_pass: 2x_fast", None),
    ],
)
def test_secrets_in_settings_need_no_quotes(line: str, name: str | None) -> None:
    told = [(2, f"a secret given to {name}")] if name else []
    assert list(secrets_in(f"a: 1\n{line}\n", "settings.yaml")) == told


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ('password = """\nhunter2\n"""\nwords = "a1"\n', [2]),
        ('password = """\\\ncorrect horse 9 staple"""\n', [2]),
        ("PASSWORD: str = '''\n\nhunter2\n'''\n", [3]),
        ('password = """\nhunter2  # pragma: allowlist secret\n"""\n', []),
        ('help = """\nGive password 1 here\n"""\n', []),
        ('password = """\nThe one of step 2, see above.\n"""\n', []),
    ],
)
def test_a_secret_in_code_may_stand_on_a_line_of_its_own(text: str, lines: list[int]) -> None:
    assert [line for line, _ in secrets_in(text)] == lines


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("password: |\n  hunter2\nhost: db1\n", [2]),
        ("db:\n  - password: >-\n      correct horse\n      battery\n    host: db1\n", [3, 4]),
        ('"api_key": |2  # kept\n\n  abc123def456\n', [3]),
        ("password: |\nhost: db1\n", []),
        ("password: |\n  ${PASSWORD}\n", []),
        ("password: !vault |\n  6232643\n", []),
        ("text: |\n  abc123def456\n", []),
        ("secret: |\n  some words 9\n", []),
    ],
)
def test_a_secret_in_yaml_may_stand_in_a_block(text: str, lines: list[int]) -> None:
    assert [line for line, _ in secrets_in(text, "settings.yaml")] == lines


def test_prose_about_a_password_holds_none() -> None:
    text = "password: the one that you were given\nToken: see below\n"
    assert not list(secrets_in(text, "README.md"))


def test_a_vocabulary_holds_none() -> None:
    assert not list(secrets_in('{"password": 8543, "token": 34}', "vocabulary.json"))


def test_in_a_difference_each_file_is_looked_into_in_its_own_way() -> None:
    text = "\n".join(
        [
            "diff --git a/net.py b/net.py",
            "+    password = given",
            '+    password = "hunter"',
            'diff --git "a/my settings.yaml" "b/my settings.yaml"',
            "@@ -1,4 +1,4 @@ password: hunter",
            "-password: correct horse",
            "+password: ${PASSWORD}",
        ]
    )
    assert [line for line, _ in secrets_in_diff(text)] == [3, 5, 6]


def test_in_a_difference_blocks_and_netrc_are_looked_into() -> None:
    text = "\n".join(
        [
            "diff --git a/settings.yaml b/settings.yaml",
            " password: |",
            "-  hunter",
            "+  correct horse",
            " host: db1",
            "-password: |",
            "@@ -1,4 +1,4 @@",
            "+  host: db1",
            "diff --git a/.netrc b/.netrc",
            "+machine db1 login ann password hunter2",
            "+  password ${PASSWORD}",
            "diff --git a/README.md b/README.md",
            "+The password hunter2",
        ]
    )
    assert [line for line, _ in secrets_in_diff(text)] == [3, 4, 10]


def test_a_connection_string_may_stand_in_quotes_of_many_lines() -> None:
    text = 'DSN = """\nhost=db user=ann password=hunter\n"""\nf(a=b, password=c if d == e else g)\n'
    assert list(secrets_in(text)) == [(2, "a connection string with a password")]


def test_a_connection_string_in_settings_needs_no_quotes() -> None:
    text = "host=db user=ann password=hunter\n"
    assert list(secrets_in(text, "db.txt")) == [(1, "a connection string with a password")]


@pytest.mark.parametrize(
    "text",
    [
        "token" * 12000,
        "a token " * 8000,
        "key=a," * 10000,
        "password:" + " " * 50_000,
        "{a(" * 20_000,
        "{a or " * 10000,
        ":{" * 30000,
        "{a(b)" * 12000,
        "password='" + " a" * 25_000,
        "password=' " * 5000,
        'password=""" ' * 4000,
        "password: |" * 5000,
        "- " * 25_000 + "password: |",
        "authorization: " * 4000,
        "authorization: bearer " * 3000,
        "authorization" + " " * 50_000,
        "eyJ" * 20_000,
        "eyJaaaaaaaa.eyJaaaaaaaa.a." * 2500,
        "sk_live_" * 8000,
        "hooks.slack.com/services/T" * 2000,
    ],
)
@pytest.mark.parametrize("path", ["settings.yaml", "source.py"])
def test_a_long_line_is_looked_through_at_once(text: str, path: str) -> None:
    started = time.process_time()
    assert not list(secrets_in(text, path))
    assert time.process_time() - started < 1.0  # 0.1 s
