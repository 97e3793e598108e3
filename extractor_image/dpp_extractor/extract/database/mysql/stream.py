"""Take the rows of a running statement off the wire, one after the other, and cut them into cells.

Called by `snapshot`. The driver's own unbuffered cursor makes three method calls a cell, and, when
it is given up, reads all the rest of the table. This one cuts a row in one loop, and ends the
statement at the server instead. It rests on what the driver keeps under a leading underscore:
`_result`, `_rfile` and `_force_close`; the lock file holds the version.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from typing import Any, Final

import pymysql

_LARGEST_PACKET_BYTES: Final = 0xFFFFFF
_ERROR: Final = 0xFF
_END: Final = 0xFE
_END_BYTES: Final = 9
_NULL: Final = 0xFB
_SHORT: Final = 0xFB
_WIDTHS: Final = {0xFC: 2, 0xFD: 3, 0xFE: 8}
_LOST: Final = 2013

Cells = Sequence[bytes | None]


def read_blocks(
    connection: Any, statement: str, block_bytes: int, end: Callable[[], None]
) -> Generator[list[Cells], None, None]:
    """Run a statement and give its rows in lists of about `block_bytes`; a greater row is alone.

    Left before its last row, `end` is called to end the statement at the server, and the few rows
    that are under way are thrown away, so that the connection can be used again.
    """
    connection.query(statement, unbuffered=True)
    result = connection._result
    count = result.field_count
    packets = _read_packets(connection, result)
    try:
        block: list[Cells] = []
        size = 0
        for packet in packets:
            block.append(cut_row(packet, count))
            size += len(packet)
            if size >= block_bytes:
                yield block
                block, size = [], 0
        if block:
            yield block
    finally:
        if result.unbuffered_active:
            _give_up(connection, packets, end)


def cut_row(packet: bytes, count: int) -> list[bytes | None]:
    """Cut a row into its cells: each a length of one to nine bytes and so many bytes, or NULL."""
    cells: list[bytes | None] = []
    place = 0
    for _ in range(count):
        size = packet[place]
        place += 1
        if size >= _SHORT:
            if size == _NULL:
                cells.append(None)
                continue
            width = _WIDTHS[size]
            size = int.from_bytes(packet[place : place + width], "little")
            place += width
        cells.append(packet[place : place + size])
        place += size
    return cells


def _read_packets(connection: Any, result: Any) -> Iterator[bytes]:
    """Give the rows' packets up to the last one; an error packet is raised as the driver does."""
    read = connection._rfile.read
    try:
        while True:
            packet = _read_packet(read)
            if packet[0] == _ERROR:
                result.unbuffered_active = False
                pymysql.err.raise_mysql_exception(packet)
            if packet[0] == _END and len(packet) < _END_BYTES:
                result.unbuffered_active = False
                return
            yield packet
    except OSError as error:
        result.unbuffered_active = False
        connection._force_close()
        raise pymysql.err.OperationalError(_LOST, f"connection lost ({error})") from error


def _read_packet(read: Callable[[int], bytes]) -> bytes:
    header = read(4)
    size = int.from_bytes(header[:3], "little")
    packet = read(size)
    if len(header) < 4 or len(packet) < size or not size:
        raise ConnectionResetError("the server ended it in the middle of a row")
    if size < _LARGEST_PACKET_BYTES:
        return packet
    parts = [packet]
    while size == _LARGEST_PACKET_BYTES:
        header = read(4)
        size = int.from_bytes(header[:3], "little")
        parts.append(read(size))
        if len(header) < 4 or len(parts[-1]) < size:
            raise ConnectionResetError("the server ended it in the middle of a row")
    return b"".join(parts)


def _give_up(connection: Any, packets: Iterator[bytes], end: Callable[[], None]) -> None:
    try:
        end()
    except (pymysql.err.Error, OSError):
        # Nobody can be told to stop; without this connection the server stops at its next row.
        connection._force_close()
        return
    with suppress(pymysql.err.Error):
        for _ in packets:
            pass
