"""25 planted secrets, in every spelling, in every place of a line: none is ever read again."""

import base64
import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpp_core.redaction import MASK, build_spellings, forget_secrets, redact, redact_value
from dpp_core.redaction import register_secret as register
from log_capture import captured_logs

PLANTED = (
    "hunter2!",
    "Tr0ub4dor&3",
    "correct horse battery staple",
    "p@ss:w/rd?#[]",
    "pässwörd-ß-€",
    "quo\"te'd\\back",
    "tab\tinside",
    "line one is long enough\nline two is long enough",
    "trailing=equals==",
    "percent%20already",
    "<xml>&amp;</xml>",
    "{curly}{0}%s%(x)s",
    "$(command) `ticks`",
    "0123456789012345",
    "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "AKIAIOSFODNN7EXAMPLE",
    "hvs.CAESIJ2example0token0value",
    "s.3kQjH9wYxLq2VbTn8RzM4cPd",
    "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9",
    "xoxb-17653672481-19874698323-pdFZKVeTuE8sk7oOcHrzqqgy",
    "a.b*c+d?e|f(g)h",
    "日本語の秘密の言葉",
    "emoji-🔑-secret",
    "ends with space ",
)
IDS = [f"{number:02}" for number in range(1, 26)]

SPELLINGS = {
    "raw": lambda text: text,
    "in a sentence": lambda text: f"cannot log in with {text} at db.example",
    "url-encoded": lambda text: quote(text, safe=""),
    "url-encoded in lower case": lambda text: "".join(
        each.lower() if len(each) == 3 and each[0] == "%" else each
        for each in _percent_parts(quote(text, safe=""))
    ),
    "form-encoded": quote_plus,
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64url": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "base64 behind a user name": lambda text: base64.b64encode(f"dpp:{text}".encode()).decode(),
    "base64 between others": lambda text: base64.b64encode(f"ab{text}tail".encode()).decode(),
    "base64 at the third offset": lambda text: base64.b64encode(f"abcde{text}".encode()).decode(),
    "json": json.dumps,
    "json without ascii escapes": lambda text: json.dumps(text, ensure_ascii=False),
    "repr": repr,
    "repr of bytes": lambda text: repr(text.encode()),
    "hex": lambda text: text.encode().hex(),
    "dsn": lambda text: f"postgresql://dpp:{quote(text, safe='')}@db.example:5432/erp",
    "dsn, not encoded": lambda text: f"postgresql://dpp:{text}@db.example:5432/erp",
    "libpq keywords": lambda text: f"host=db.example password={text} dbname=erp",
    "header": lambda text: f"X-Vault-Token: {text}",
    "basic header": lambda text: (
        f"Authorization: Basic {base64.b64encode(f'dpp:{text}'.encode()).decode()}"
    ),
    "query": lambda text: f"https://erp.example/api?token={quote(text, safe='')}&page=2",
}


def _percent_parts(text: str) -> list[str]:
    parts, position = [], 0
    while position < len(text):
        width = 3 if text[position] == "%" else 1
        parts.append(text[position : position + width])
        position += width
    return parts


@pytest.fixture(autouse=True)
def _fresh_register() -> None:
    forget_secrets()


def is_hidden(text: str, secret: str) -> bool:
    """No spelling is left, and neither is any piece of eight characters of the raw secret."""
    raw = secret.strip()
    pieces = [raw[start : start + 8] for start in range(max(1, len(raw) - 7))]
    return not any(spelling in text for spelling in (*build_spellings(secret), *pieces))


def test_there_are_25_different_ones() -> None:
    assert len(set(PLANTED)) == 25


@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS)
@pytest.mark.parametrize("secret", PLANTED, ids=IDS)
def test_a_registered_secret_is_hidden_in_every_spelling(secret: str, spelling) -> None:  # type: ignore[no-untyped-def]
    register(secret)
    text = spelling(secret)

    found = redact(text)

    assert MASK in found
    assert is_hidden(found, secret)


@pytest.mark.parametrize(
    ("text", "secret", "kept"),
    [
        pytest.param("postgresql://dpp:hunter22@db:5432/erp", "hunter22", "db:5432/erp", id="dsn"),
        pytest.param("mongodb://u:a/b@c@index:27017/", "a/b@c", "index:27017", id="odd dsn"),
        pytest.param("https://0123456789abcdefX@git/x", "0123456789abcdefX", "git", id="user"),
        pytest.param("host=db password='it''s x' user=dpp", "it''s", "host=db", id="libpq quoted"),
        pytest.param("host=db password=abcd12 user=dpp", "abcd12", "user=dpp", id="libpq"),
        pytest.param("Server=x;Pwd=abcd12;Db=erp", "abcd12", "Db=erp", id="odbc"),
        pytest.param('{"password": "ab\\"cd12", "a": 1}', "cd12", '"a": 1', id="json"),
        pytest.param("{'secret_id': 'abcd-12', 'a': 1}", "abcd-12", "'a': 1", id="repr"),
        pytest.param('{\\"token\\": \\"abcd12\\"}', "abcd12", "token", id="json in json"),
        pytest.param("Authorization: Bearer abcdef12", "abcdef12", "Authorization", id="bearer"),
        pytest.param("{'Authorization': 'Basic ZHBwOng='}", "ZHBwOng", "Auth", id="header repr"),
        pytest.param("sent Bearer abcdefgh12 to x", "abcdefgh12", "to x", id="bare bearer"),
        pytest.param("Cookie: sid=abc123; b=2\nnext", "abc123", "next", id="cookie"),
        pytest.param(
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/x, Signature=fe5f80\nnext",
            "fe5f80",
            "next",
            id="sigv4 header",
        ),
        pytest.param(
            "https://b.s3/x?X-Amz-Signature=fe5f80&X-Amz-Date=1", "fe5f80", "Date", id="sigv4 query"
        ),
        pytest.param(
            "AWS_SECRET_ACCESS_KEY=abc/def+12 next", "abc/def+12", "next", id="environment"
        ),
        pytest.param("key AKIAIOSFODNN7EXAMPLE is", "AKIAIOSFODNN7", "is", id="aws id"),
        pytest.param("got hvs.CAESIJ2exampletokenvalue1 x", "CAESIJ2", "x", id="vault token"),
        pytest.param("s.3kQjH9wYxLq2VbTn8RzM4cPd x", "3kQjH9wY", "x", id="openbao token"),
        pytest.param("jwt eyJhbGciOiJI.eyJzdWIiOiIx.abc-_ x", "eyJzdWIi", "x", id="jwt"),
        pytest.param("the token 9f8A7c6B5d4E3f2A1b0C was", "9f8A7c6B", "was", id="said in words"),
        pytest.param("password is 'Zx9-Qw8_Er7=Ty6x'", "Zx9-Qw8", "password", id="said with is"),
        pytest.param(
            "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nabc\n-----END RSA PRIVATE KEY-----\nnext",
            "MIIEow",
            "next",
            id="private key",
        ),
        pytest.param("-----BEGIN PRIVATE KEY-----\nMIIEow", "MIIEow", "", id="cut private key"),
        pytest.param("apiKey=abcd1234&x=1", "abcd1234", "x=1", id="api key"),
    ],
)
def test_what_nobody_registered_is_found_by_its_pattern(text: str, secret: str, kept: str) -> None:
    found = redact(text)

    assert secret not in found
    assert kept in found


@pytest.mark.parametrize(
    "text",
    [
        "The secret for source from File (secrets.yaml) has no password",
        "table sales.orders, 1200 rows, window [2026-01-01T00:00:00, 2026-01-02T00:00:00)",
        "https://erp.example:8443/odata/Orders?$top=50",
        "s3://lake/prefix/acme/acme/orders/_delta_log/00000000000000000007.json",
        "postgresql://db.example:5432/erp",
        "attempt 0191b1c4-7a2b-7c3d-8e4f-5a6b7c8d9e0f of run acme-2026",
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "token bucket of the distributor",
    ],
)
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert redact(text) == text


@given(st.text(max_size=200))
def test_redacting_twice_is_redacting_once(text: str) -> None:
    once = redact(f"password={text} token: {text} https://a:{text}@b")

    assert redact(once) == once


@pytest.mark.parametrize("secret", ["", "a", "abc", "   "])
def test_what_is_too_short_is_not_searched_for(secret: str) -> None:
    register(secret)

    assert redact("a sentence with abc and spaces   ") == "a sentence with abc and spaces   "


def test_registering_twice_is_registering_once() -> None:
    register("hunter22")
    register("hunter22")

    assert redact("hunter22") == MASK


def test_the_longer_of_two_overlapping_secrets_goes_as_a_whole() -> None:
    register("hunter")
    register("hunter22-and-more")

    assert redact("x hunter22-and-more y") == f"x {MASK} y"


def test_values_keep_their_shape_and_lose_their_secrets() -> None:
    register("hunter22")
    register("12345678")
    value = {
        "rows": 7,
        "ratio": 0.5,
        "on": True,
        "none": None,
        "password": "anything",
        "nested": {"api_key": ["x"], "text": "with hunter22", "hunter22": 1},
        "list": ["hunter22", ("a", 12345678)],
    }

    assert redact_value(value) == {
        "rows": 7,
        "ratio": 0.5,
        "on": True,
        "none": None,
        "password": MASK,
        "nested": {"api_key": MASK, "text": f"with {MASK}", MASK: 1},
        "list": [MASK, ["a", MASK]],
    }


@pytest.mark.parametrize("form", ["json", "text"])
@pytest.mark.parametrize("secret", PLANTED, ids=IDS)
def test_no_line_shows_a_planted_secret_wherever_it_stands(secret: str, form) -> None:  # type: ignore[no-untyped-def]
    import logging

    from dpp_core import logs

    with captured_logs(form) as captured:
        register(secret)
        with logs.bound(dataset=f"ds {secret}"):
            logs.info(f"event {secret}", text=secret, nested={"a": [secret]}, x={secret: 1})
            logs.info("spellings", all=[spelling(secret) for spelling in SPELLINGS.values()])
            try:
                raise ValueError(f"bad {secret!r}") from KeyError(secret)
            except ValueError as error:
                logs.error("failed", exception=error)
        logging.getLogger("library").warning("GET %s", quote(secret, safe=""))
        logging.getLogger("library").warning("odd", exc_info=OSError(secret))

    assert MASK in captured.text
    assert is_hidden(captured.text, secret)
