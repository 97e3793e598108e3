"""The breakers that fault tests stand on break what they say and nothing else."""

import boto3
import httpx
import psycopg
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from servers.careless_s3 import open_careless_s3, open_moto
from servers.proxy import Mode, open_proxy


def put(endpoint: str, bucket: str, body: bytes, keys=("any", "any")) -> None:
    boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=keys[0],
        aws_secret_access_key=keys[1],
        config=Config(
            retries={"total_max_attempts": 1}, read_timeout=5, s3={"addressing_style": "path"}
        ),
    ).put_object(Bucket=bucket, Key="a", Body=body, IfNoneMatch="*")


def test_moto_honours_conditional_writes():
    with open_moto() as server:
        bucket = server.make_bucket()
        put(server.endpoint, bucket, b"1")

        with pytest.raises(ClientError):
            put(server.endpoint, bucket, b"2")


def test_careless_server_takes_the_second_conditional_write():
    with open_careless_s3() as server:
        bucket = server.make_bucket()
        put(server.endpoint, bucket, b"1")

        put(server.endpoint, bucket, b"2")


def test_lost_answer_leaves_the_write_done(s3_server, bucket):
    keys = (s3_server.access_key, s3_server.secret_key)
    with open_proxy(s3_server.server.port) as proxy:
        proxy.mode = Mode.LOSE_ANSWERS

        with pytest.raises(Exception, match=r"(?i)connection|closed|reset"):
            put(proxy.endpoint, bucket, b"written", keys)

    stored = s3_server.client().get_object(Bucket=bucket, Key="a")["Body"].read()
    assert stored == b"written"


def test_refusing_proxy_refuses_and_passes_again(vault_server):
    with open_proxy(vault_server.server.port) as proxy:
        proxy.mode = Mode.REFUSE
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{proxy.endpoint}/v1/sys/health")
        proxy.mode = Mode.PASS

        assert httpx.get(f"{proxy.endpoint}/v1/sys/health").status_code == 200
        assert proxy.accepted == 2


def test_hanging_proxy_answers_nothing(vault_server):
    with open_proxy(vault_server.server.port) as proxy:
        proxy.mode = Mode.HANG

        with pytest.raises(httpx.ReadTimeout):
            httpx.get(f"{proxy.endpoint}/v1/sys/health", timeout=0.3)


def test_connection_is_cut_in_the_middle_of_an_answer(postgres, database):
    dsn = database.dsn
    with open_proxy(postgres.port) as proxy:
        through = dsn.replace(f":{postgres.port}/", f":{proxy.port}/")
        with psycopg.connect(through) as connection:
            proxy.cut_after_bytes = proxy.answered_bytes + 200_000

            with pytest.raises(psycopg.OperationalError):
                connection.execute("SELECT repeat('x', 100) FROM generate_series(1, 100000)")
