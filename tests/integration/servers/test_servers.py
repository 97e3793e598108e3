"""The servers themselves: fresh state for each test, really checked passwords, stop and start."""

import signal
import subprocess
import sys
from pathlib import Path

import httpx
import hvac
import psycopg
import pymongo
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from servers.process import RECORDS, accepts, started_at

SUPPORT = Path(__file__).resolve().parents[2] / "support"


class TestPostgres:
    def test_owner_reads_and_writes_in_a_fresh_database(self, database):
        database.execute("CREATE TABLE orders (id int PRIMARY KEY)")
        database.execute("INSERT INTO orders VALUES (%s)", [7])

        assert database.execute("SELECT id FROM orders") == [(7,)]

    def test_reader_reads_tables_made_before_and_after_it_and_writes_none(self, postgres, database):
        database.execute("CREATE TABLE before (id int); INSERT INTO before VALUES (1)")
        reader = postgres.create_reader(database)
        database.execute("CREATE TABLE after (id int); INSERT INTO after VALUES (2)")

        assert reader.execute("SELECT * FROM before") == [(1,)]
        assert reader.execute("SELECT * FROM after") == [(2,)]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            reader.execute("INSERT INTO before VALUES (3)")

    def test_wrong_password_is_refused(self, database):
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(database.dsn.replace(database.password, "wrong"))

    def test_data_outlives_a_stop_and_a_crash(self, postgres, database, stopped):
        database.execute("CREATE TABLE orders (id int)")
        with stopped(postgres), pytest.raises(psycopg.OperationalError):
            psycopg.connect(database.dsn, connect_timeout=2)
        postgres.kill()
        postgres.start()

        assert database.execute("SELECT count(*) FROM orders") == [(0,)]

    def test_cut_sessions_are_seen_by_their_client(self, postgres, database):
        with psycopg.connect(database.dsn) as connection:
            postgres.end_sessions(database)
            with pytest.raises(psycopg.OperationalError):
                connection.execute("SELECT 1")


class TestS3:
    def test_second_conditional_put_is_refused_and_the_first_stays(self, s3_server, bucket):
        client = s3_server.client()
        client.put_object(Bucket=bucket, Key="a/b", Body=b"first", IfNoneMatch="*")

        with pytest.raises(ClientError) as refusal:
            client.put_object(Bucket=bucket, Key="a/b", Body=b"second", IfNoneMatch="*")

        assert refusal.value.response["ResponseMetadata"]["HTTPStatusCode"] == 412
        assert client.get_object(Bucket=bucket, Key="a/b")["Body"].read() == b"first"

    def test_objects_outlive_a_stop(self, s3_server, bucket, stopped):
        s3_server.client().put_object(Bucket=bucket, Key="kept", Body=b"1")
        with stopped(s3_server), pytest.raises(EndpointConnectionError):
            s3_server.client().head_object(Bucket=bucket, Key="kept")

        assert s3_server.client().head_object(Bucket=bucket, Key="kept")["ContentLength"] == 1


class TestFerret:
    def test_unique_index_refuses_a_second_document_also_after_a_stop(self, ferret, stopped):
        name = ferret.fresh_name()
        with ferret.client() as client:
            client[name].runs.create_index([("run", 1), ("unit", 1)], unique=True)
            client[name].runs.insert_one({"run": "a", "unit": "b"})
        with stopped(ferret):
            assert not accepts(ferret.server.port)

        with ferret.client() as client, pytest.raises(pymongo.errors.DuplicateKeyError):
            client[name].runs.insert_one({"run": "a", "unit": "b"})


class TestVault:
    def test_approle_reads_its_own_secret_and_no_other(self, vault_server):
        vault_server.write_secret("distributors/acme/erp", {"password": "p"})
        vault_server.write_secret("distributors/other/erp", {"password": "q"})
        role = vault_server.create_approle("acme", ["distributors/acme/erp"])
        client = hvac.Client(url=vault_server.address)
        client.auth.approle.login(role_id=role.role_id, secret_id=role.secret_id)

        read = client.secrets.kv.v2.read_secret_version(
            path="distributors/acme/erp", raise_on_deleted_version=True
        )

        assert read["data"]["data"] == {"password": "p"}
        with pytest.raises(hvac.exceptions.Forbidden):
            client.secrets.kv.v2.read_secret_version(
                path="distributors/other/erp", raise_on_deleted_version=True
            )

    def test_token_reads_its_secret(self, vault_server):
        vault_server.write_secret("distributors/beta/erp", {"password": "p"})
        token = vault_server.create_token("beta", ["distributors/beta/erp"])

        answer = httpx.get(
            f"{vault_server.address}/v1/secret/data/distributors/beta/erp",
            headers={"X-Vault-Token": token},
        )

        assert answer.json()["data"]["data"] == {"password": "p"}

    def test_sealed_server_answers_503_until_it_is_unsealed(self, vault_server):
        vault_server.write_secret("kept", {"a": "b"})
        vault_server.seal()
        try:
            assert httpx.get(f"{vault_server.address}/v1/sys/health").status_code == 503
        finally:
            vault_server.unseal()

        assert vault_server.client().secrets.kv.v2.read_secret_version(
            path="kept", raise_on_deleted_version=True
        )


class TestLeftovers:
    def test_servers_of_a_killed_run_are_ended_by_the_next_sweep(self):
        script = (
            "import sys, time; sys.path.insert(0, sys.argv[1])\n"
            "from servers.vault import start_vault\n"
            "print(start_vault().server.process.pid, flush=True); time.sleep(60)\n"
        )
        run = subprocess.Popen(
            [sys.executable, "-c", script, str(SUPPORT)], stdout=subprocess.PIPE, text=True
        )
        assert run.stdout is not None
        server_pid = int(run.stdout.readline())
        assert (RECORDS / f"{server_pid}.json").exists()
        run.send_signal(signal.SIGKILL)
        run.wait()
        assert started_at(server_pid) is not None

        sweep = "import sys; sys.path.insert(0, sys.argv[1])\nfrom servers.process import sweep\n"
        subprocess.run([sys.executable, "-c", sweep + "sweep()", str(SUPPORT)], check=True)

        assert started_at(server_pid) is None
        assert not (RECORDS / f"{server_pid}.json").exists()
