"""Read Delta tables with Spark and leave their rows in a file; run by `spark.py` in Spark's own venv.

`spark_rows.py OUT TABLE...` writes one pickled list of rows a table. Instants come back aware (UTC),
timestamps without zone naive, as the other readers give them.
"""

import os
import pickle
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


def main(target: str, tables: list[str]) -> None:
    os.environ["TZ"] = "UTC"
    session = open_session()
    read = [read_rows(session, table) for table in tables]
    session.stop()
    Path(target).write_bytes(pickle.dumps(read))


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
    main(sys.argv[1], sys.argv[2:])
