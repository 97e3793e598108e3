"""One Spark with Delta that does what it is told until its input ends; run by `spark.py` in Spark's own venv.

Takes pickled pairs (verb, text) from its input and answers each with a pickled pair (problem, answer): `read` gives
the rows of a table, `sql` carries out a statement. Instants come back aware (UTC), timestamps without zone naive, as
the other readers give them. Whatever Spark and Java print goes to the error stream: the output is for answers alone.
"""

import os
import pickle
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any


def main() -> None:
    os.environ["TZ"] = "UTC"
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    session = open_session()
    verbs: dict[str, Callable[[Any, str], Any]] = {"read": read_rows, "sql": carry_out}
    while True:
        try:
            verb, text = pickle.load(sys.stdin.buffer)
        except EOFError:
            break
        pickle.dump(answer(session, verbs[verb], text), answers)
        answers.flush()
    session.stop()


def answer(session: Any, act: Callable[[Any, str], Any], text: str) -> tuple[str, Any]:
    """Do one thing; a failure is an answer too, so that the next test still has its Spark."""
    try:
        return "", act(session, text)
    except Exception as error:  # noqa: BLE001 - Spark's errors are of many trees; all are told
        return f"{type(error).__name__}: {error}"[:3000], None


def open_session() -> Any:
    """Start Spark on two cores with Delta; the first time this brings Delta's jars (about 90 MB)."""
    from delta import configure_spark_with_delta_pip
    from pyspark.sql import SparkSession

    settings = {
        "spark.ui.enabled": "false",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": "2",
        "spark.databricks.delta.snapshotPartitions": "2",
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    }
    builder = SparkSession.builder.master("local[2]").appName("dpp-tests")
    for name, value in settings.items():
        builder = builder.config(name, value)
    return configure_spark_with_delta_pip(builder).getOrCreate()


def carry_out(session: Any, statement: str) -> None:
    session.sql(statement).collect()


def read_rows(session: Any, table: str) -> list[dict[str, Any]]:
    frame = session.read.format("delta").load(table)
    instants = {field.name for field in frame.schema if field.dataType.typeName() == "timestamp"}
    return [
        {name: aware(cell, name in instants) for name, cell in row.asDict(recursive=True).items()}
        for row in frame.collect()
    ]


def aware(cell: Any, is_instant: bool) -> Any:
    if isinstance(cell, datetime) and is_instant:
        return cell.replace(tzinfo=UTC)
    return bytes(cell) if isinstance(cell, bytearray) else cell


if __name__ == "__main__":
    main()
