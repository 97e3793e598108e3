"""MySQL without a server: types, statements, the session's settings, TLS."""

import ssl

import pyarrow as pa
import pytest

from dpp_core.errors import SpecError
from dpp_extractor.batch import SourceColumn, SourceTable, Window
from dpp_extractor.extract.database import query
from dpp_extractor.extract.database.limits import Limits
from dpp_extractor.extract.database.mysql import bounds
from dpp_extractor.extract.database.mysql.catalogue import build_grant, split_names
from dpp_extractor.extract.database.mysql.connect import build_settings, build_tls
from dpp_extractor.extract.database.mysql.types import Shown, map_type

AT = SourceColumn("at", "timestamp(6)", pa.timestamp("us", "UTC"))
NAIVE = SourceColumn("at", "datetime", pa.timestamp("us"))
DAY = SourceColumn("at", "date", pa.date32())
NUMBER = SourceColumn("at", "bigint", pa.int64())
ID = SourceColumn("id", "int", pa.int32())


def one_line(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize(
    ("column", "low", "high", "condition"),
    [
        (
            AT,
            "2026-01-01T00:00:00.000000+00:00",
            "2026-01-02T00:00:00.000001+00:00",
            "`s`.t.at >= TIMESTAMP'2026-01-01 00:00:00.000000'"
            " AND `s`.t.at < TIMESTAMP'2026-01-02 00:00:00.000001'",
        ),
        (
            NAIVE,
            None,
            "2026-01-02T00:00:00.000000",
            "`s`.t.at < TIMESTAMP'2026-01-02 00:00:00.000000'",
        ),
        (DAY, None, "2026-01-02", "`s`.t.at < DATE'2026-01-02'"),
        (NUMBER, "-1", "9223372036854775808", "`s`.t.at >= -1 AND `s`.t.at < 9223372036854775808"),
    ],
    ids=["timestamp", "datetime", "date", "integer"],
)
def test_a_window_is_written_in_the_columns_own_type(
    column: SourceColumn, low: str | None, high: str, condition: str
) -> None:
    table = SourceTable("t", (column, ID), key=("id",), cursor="at")
    within = bounds.build_within(column, Window("at", "timestamp", low, high))
    statement = query.build_read(query.Relation("s", "t"), table, {}, within, 5)
    plain = condition.replace("`s`.t.at", "`s`.`t`.`at`")
    assert one_line(bounds.compile_statement(statement, "dpp/run-1")) == (
        f"SELECT /* dpp/run-1 */ `s`.`t`.`at` AS c0, `s`.`t`.`id` AS c1 FROM `s`.`t` WHERE {plain}"
        " ORDER BY `s`.`t`.`at`, `s`.`t`.`id` LIMIT 5"
    )


def test_names_cannot_become_code_or_placeholders() -> None:
    name = "x`; DROP TABLE y -- %s %(a)s :b"
    table = SourceTable("t", (SourceColumn(name, "int", pa.int32()),))
    statement = query.build_read(query.Relation(name, name), table, {}, None, None)
    quoted = "`x``; DROP TABLE y -- %s %(a)s :b`"
    assert one_line(bounds.compile_statement(statement)) == (
        f"SELECT {quoted}.{quoted}.{quoted} AS c0 FROM {quoted}.{quoted}"
    )


def test_keys_that_only_a_collation_takes_for_one_are_told_apart() -> None:
    code = SourceColumn("code", "varchar(9)", pa.string())
    table = SourceTable("t", (code, ID), key=("code", "id"))
    statement = bounds.build_duplicates(query.Relation("s", "t"), table, None)
    written = one_line(bounds.compile_statement(statement))
    assert "GROUP BY CAST(`s`.`t`.`code` AS BINARY), `s`.`t`.`id` HAVING count(*) > 1" in written


TYPES = [
    ("tinyint", "tinyint(1)", {}, pa.int8(), "exact"),
    ("int", "int(10) unsigned", {}, pa.int64(), "widened"),
    ("int", "int(8) unsigned zerofill", {}, pa.int64(), "widened"),
    ("bigint", "bigint(20) unsigned", {}, pa.decimal128(20, 0), "widened"),
    ("decimal", "decimal(38,10)", {"digits": 38, "scale": 10}, pa.decimal128(38, 10), "exact"),
    ("decimal", "decimal(65,30)", {"digits": 65, "scale": 30}, pa.string(), "text"),
    ("decimal", "decimal(9,2) unsigned", {"digits": 9, "scale": 2}, pa.decimal128(9, 2), "exact"),
    ("double", "double unsigned", {}, pa.float64(), "exact"),
    ("bit", "bit(1)", {"digits": 1}, pa.bool_(), "exact"),
    ("bit", "bit(9)", {"digits": 9}, pa.string(), "text"),
    ("year", "year(4)", {}, pa.int16(), "exact"),
    ("time", "time(3)", {"second_digits": 3}, pa.string(), "text"),
    ("set", "set('a','b')", {"charset": "utf8mb4"}, pa.string(), "text"),
    ("longtext", "longtext", {"charset": "latin1"}, pa.string(), "exact"),
    ("json", "json", {}, pa.string(), "text"),
    ("uuid", "uuid", {}, pa.string(), "text"),
    ("multipolygon", "multipolygon", {}, pa.string(), "text"),
    ("longblob", "longblob", {}, pa.binary(), "exact"),
]


@pytest.mark.parametrize(
    ("name", "declared", "more", "arrow_type", "fidelity"), TYPES, ids=[case[1] for case in TYPES]
)
def test_every_type_has_its_home(
    name: str, declared: str, more: dict[str, str], arrow_type: pa.DataType, fidelity: str
) -> None:
    mapped = map_type(Shown(name, declared, **more))  # type: ignore[arg-type]
    assert (mapped.arrow_type, mapped.fidelity) == (arrow_type, fidelity)


UNFIT = [
    ("date", "", True),
    ("datetime", "", True),
    ("timestamp", "", True),
    ("varchar", "utf8mb4", True),
    ("enum", "utf8mb3", True),
    ("text", "ascii", True),
    ("varchar", "latin1", False),
    ("uuid", "", False),
    ("time", "", False),
    ("decimal", "", False),
    ("int", "", False),
    ("double", "", False),
    ("geometry", "", False),
    ("blob", "", False),
]


@pytest.mark.parametrize(("name", "charset", "may_be_unfit"), UNFIT)
def test_only_dates_and_texts_as_they_are_stored_may_not_fit(
    name: str, charset: str, may_be_unfit: bool
) -> None:
    mapped = map_type(Shown(name, name, digits=9, charset=charset))
    assert mapped.always_fits is not may_be_unfit


@pytest.mark.parametrize(
    ("charset", "is_converted"),
    [("utf8mb4", False), ("utf8mb3", False), ("ascii", False), ("latin1", True), ("sjis", True)],
)
def test_only_texts_that_are_not_utf8_are_converted_by_the_server(
    charset: str, is_converted: bool
) -> None:
    mapped = map_type(Shown("varchar", "varchar(9)", charset=charset))
    assert (mapped.form is not None) == is_converted


def test_a_name_can_mean_a_table_here_or_in_a_database_before_any_dot() -> None:
    assert split_names("a.b.c", "erp") == [("erp", "a.b.c"), ("a", "b.c"), ("a.b", "c")]
    assert split_names(".x", "erp") == [("erp", ".x")]


def test_a_grant_names_the_account_with_its_host() -> None:
    grant = build_grant(query.Relation("e`rp", "order"), "read'er@10.0.%")
    assert grant == "GRANT SELECT ON `e``rp`.`order` TO 'read''er'@'10.0.%';"


@pytest.mark.parametrize("product", ["MariaDB", "MySQL"])
def test_nothing_that_a_server_is_set_to_cuts_a_read_short(product: str) -> None:
    settings = dict(build_settings(product, Limits(statement_seconds=60, idle_seconds=9)))  # type: ignore[arg-type]
    assert settings["sql_select_limit"] == str(2**64 - 1)
    assert settings["time_zone"] == "'+00:00'"
    assert (settings["net_write_timeout"], settings["wait_timeout"]) == ("9", "9")
    own = {"MariaDB": ("max_statement_time", "60"), "MySQL": ("max_execution_time", "60000")}
    name, value = own[product]
    assert settings[name] == value


@pytest.mark.parametrize(
    ("mode", "verify_mode", "checks_name"),
    [
        ("VerifyFull", ssl.CERT_REQUIRED, True),
        ("VerifyCa", ssl.CERT_REQUIRED, False),
        ("Require", ssl.CERT_NONE, False),
    ],
)
def test_tls_trusts_as_far_as_its_mode_says(
    mode: str, verify_mode: ssl.VerifyMode, checks_name: bool
) -> None:
    context = build_tls(mode, None)["ssl"]
    assert (context.verify_mode, context.check_hostname) == (verify_mode, checks_name)


def test_disabled_tls_is_really_off() -> None:
    assert build_tls("Disable", None) == {"ssl_disabled": True}


def test_a_ca_file_that_is_not_there_is_refused_by_name() -> None:
    with pytest.raises(SpecError, match=r"missing\.pem"):
        build_tls("VerifyFull", "missing.pem")
