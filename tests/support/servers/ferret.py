"""A real FerretDB for tests, with the SQLite handler, so that it needs no second server."""

import itertools
import os
from dataclasses import dataclass
from typing import Any

import pymongo

from servers.built import FERRETDB, require_binary
from servers.process import HOST, Server, accepts, free_port, make_folder

_numbers = itertools.count(1)


@dataclass(slots=True)
class Ferret:
    """The running server; what was written outlives a stop and start."""

    server: Server

    @property
    def uri(self) -> str:
        return f"mongodb://{HOST}:{self.server.port}/"

    def client(self) -> Any:
        """Give a plain client, for arranging and for looking."""
        return pymongo.MongoClient(self.uri, serverSelectionTimeoutMS=3000, tz_aware=True)

    def fresh_name(self) -> str:
        """Give a database name that nobody used yet; databases appear with their first write."""
        return f"dpp_{os.getpid()}_{next(_numbers)}"

    def stop(self) -> None:
        self.server.stop()

    def start(self) -> None:
        self.server.start()

    def kill(self) -> None:
        self.server.kill()

    def pause(self) -> None:
        self.server.pause()

    def resume(self) -> None:
        self.server.resume()


def start_ferret(port: int | None = None, owner_pid: int | None = None) -> Ferret:
    """Start FerretDB on an empty folder; raise `ServerMissingError` when it is not built."""
    binary = require_binary(FERRETDB)
    chosen = port or free_port()
    folder = make_folder("ferretdb")
    (folder / "databases").mkdir()
    server = Server(
        name="ferretdb",
        command=[str(binary), f"{HOST}:{chosen}", str(folder / "databases")],
        port=chosen,
        folder=folder,
        ready=lambda: accepts(chosen),
        owner_pid=os.getpid() if owner_pid is None else owner_pid,
    )
    server.start()
    return Ferret(server)
