"""The table of database failures: every row by SQLSTATE, and the words of refused connections."""

import pytest

from dpp_core.names import Reason
from dpp_extractor.extract.database.failures import (
    SQLSTATES,
    build_error,
    find_failure,
    find_refusal,
    may_quote_values,
)

READ = Reason.SOURCE_READ_FAILED
ROWS = [
    ("08000", 23, True, None),
    ("08001", 23, True, None),
    ("08003", 23, True, None),
    ("08006", 23, True, None),
    ("08007", 23, True, None),
    ("08P01", 70, False, READ),
    ("0A000", 70, False, READ),
    ("22012", 31, False, READ),
    ("22P02", 31, False, READ),
    ("23505", 31, False, READ),
    ("25006", 31, False, READ),
    ("25P02", 70, False, READ),
    ("25P03", 23, True, READ),
    ("25P04", 23, True, READ),
    ("26000", 70, False, READ),
    ("28000", 22, False, None),
    ("28P01", 22, False, None),
    ("2F002", 31, False, READ),
    ("38001", 31, False, READ),
    ("39000", 31, False, READ),
    ("3D000", 31, False, Reason.SOURCE_OBJECT_MISSING),
    ("3F000", 31, False, Reason.SOURCE_OBJECT_MISSING),
    ("40001", 23, True, READ),
    ("40003", 23, True, READ),
    ("40P01", 23, True, READ),
    ("42501", 31, False, Reason.SOURCE_OBJECT_DENIED),
    ("42601", 70, False, READ),
    ("42703", 31, False, Reason.SOURCE_OBJECT_MISSING),
    ("42883", 31, False, READ),
    ("42P01", 31, False, Reason.SOURCE_OBJECT_MISSING),
    ("53000", 23, True, None),
    ("53100", 23, True, None),
    ("53200", 23, True, None),
    ("53300", 23, True, None),
    ("54000", 31, False, READ),
    ("55000", 31, False, READ),
    ("55P03", 23, True, READ),
    ("57014", 23, True, READ),
    ("57P01", 23, True, None),
    ("57P02", 23, True, None),
    ("57P03", 23, True, None),
    ("57P04", 31, False, Reason.SOURCE_OBJECT_MISSING),
    ("57P05", 23, True, None),
    ("58P01", 31, False, READ),
    ("58030", 23, True, READ),
    ("72000", 23, True, READ),
    ("P0001", 31, False, READ),
    ("XX000", 70, False, READ),
    ("XX001", 31, False, READ),
    ("ZZ999", 70, False, READ),
    (None, 23, True, None),
    ("", 23, True, None),
]


@pytest.mark.parametrize(("sqlstate", "code", "is_temporary", "reason"), ROWS)
def test_every_sqlstate_has_its_end(
    sqlstate: str | None, code: int, is_temporary: bool, reason: Reason | None
) -> None:
    error = build_error(find_failure(sqlstate), "Reading 'orders'")
    assert (error.exit_code, error.is_temporary) == (code, is_temporary)
    assert error.reason is (reason or type(error).default_reason)


def test_every_row_of_the_table_is_tried_here() -> None:
    tried = {row[0] for row in ROWS if row[0]}
    untried = [
        key for key in SQLSTATES if not any(state == key or state[:2] == key for state in tried)
    ]
    assert untried == []


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ('FATAL:  password authentication failed for user "erp"', 22),
        ("fe_sendauth: no password supplied", 22),
        ('FATAL:  role "erp" does not exist', 22),
        ('FATAL:  role "erp" is not permitted to log in', 22),
        ('FATAL:  no pg_hba.conf entry for host "10.0.0.1", user "erp"', 22),
        ("FATAL:  Passwort-Authentifizierung für Benutzer »erp« fehlgeschlagen", 22),
        ('FATAL:  database "erp" does not exist', 31),
        ('FATAL:  permission denied for database "erp"', 31),
        ('FATAL:  too many connections for role "erp"', 23),
        ("FATAL:  sorry, too many clients already", 23),
        ("FATAL:  remaining connection slots are reserved for roles with SUPERUSER", 23),
        ("FATAL:  no more connections allowed (max_client_conn)", 23),
        ("FATAL:  the database system is starting up", 23),
        ("FATAL:  the database system is shutting down", 23),
        ("FATAL:  the database system is not yet accepting connections", 23),
        ("FATAL:  terminating connection due to administrator command", 23),
        ("FATAL:  canceling authentication due to timeout", 23),
        ("FATAL:  server login has been failing, try again later", 23),
        ('connection to server at "10.0.0.1", port 5432 failed: Connection refused', 23),
        ("server closed the connection unexpectedly", 23),
        ("failed to resolve host 'erp.example': [Errno -2] Name or service not known", 23),
        ("connection timeout expired", 23),
        ("SSL error: certificate verify failed", 20),
        ('server certificate for "a" does not match host name "b"', 20),
        ("server does not support SSL, but SSL was required", 20),
        ('root certificate file "/x" does not exist', 20),
    ],
)
def test_a_connection_that_was_not_made_is_known_by_its_words(words: str, code: int) -> None:
    assert find_refusal(words).error.exit_code == code


@pytest.mark.parametrize(
    ("sqlstate", "may"), [("22P02", True), ("23505", True), ("P0001", True), ("42P01", False)]
)
def test_words_that_can_hold_a_value_are_not_repeated(sqlstate: str, may: bool) -> None:
    assert may_quote_values(sqlstate) is may


def test_an_error_says_what_was_done_what_it_means_and_what_to_do() -> None:
    error = build_error(find_failure("42P01"), "Reading 'orders'", "relation gone\nLINE 1", "Look.")
    assert str(error) == "Reading 'orders': it is not there (relation gone). Look."


@pytest.mark.parametrize(
    ("words", "code"),
    [("receiving copy data failed: out of memory", 28), ("server closed the connection", 23)],
    ids=["memory", "connection"],
)
def test_without_an_sqlstate_our_own_memory_is_told_from_a_lost_connection(
    words: str, code: int
) -> None:
    assert find_failure(None, words).error.exit_code == code
