"""Read databases: one consistent snapshot, exact values, bounded memory.

Called by `wiring` (opens a source) and by `unit.py` (describes, decides the window, reads). It is
the only home of sqlalchemy, psycopg and sqlite3; it never writes to a source, and never returns a
value that was changed silently: what the standard type cannot hold comes back as `Rejected`.

What the stages use:

`engine.open_database(source, secret, *, run_id, limits=Limits(), ca_file=None, retrying=run_once)`
    Context manager of a `ports.Source`. `source` is a `handover.DatabaseSource`; `secret` has
    `username`, `password` and optionally `hosts` (neither is needed for a file). `retrying(connect)`
    calls `connect()` until its patience ends: the caller's retry policy for connecting; the default
    tries once. Errors: SpecError 20 (TLS), TenancyError 20 (host not in the secret's list),
    CredentialsMissingError 21, CredentialsRefusedError 22, SourceUnavailableError 23,
    SourceObjectError 31 (no such database).

`Source.ping() -> str`
    One line for a person: product, version, and whether a horizon is to be had.
`Source.snapshot() -> AbstractContextManager[Snapshot]`
    Takes clock and horizon, then opens the view. May be called again after it was closed: a new
    view.

`Snapshot.clocks`, `.snapshot_at`, `.snapshot_id`
    `clocks.zone` is the source's own time zone, in which timestamps without zone are written.
`Snapshot.describe(unit) -> SourceTable`
    Must be called before the other methods get that table. SourceObjectError 31 or SpecError 20.
`Snapshot.max_cursor(table, column) -> int | None`
`Snapshot.count_null_cursor(table, column) -> int`
    Rows that no window would ever bring: NULL, and in SQLite also a value of another form.
`Snapshot.count_future(table, column) -> tuple[int, str]`
    Rows whose cursor is more than one day after the source's clock, and the first one's key as text
    (`id=7`).
`Snapshot.duplicate_keys(table, window) -> tuple[str, ...]`
    Up to three keys that occur twice in what would be read; () at once where the source enforces it.
`Snapshot.read(table, window, limit_rows) -> Iterator[RawBatch]`
    SourceUnavailableError 23 when the source goes away in between; TemporaryFailure 75 when the
    table was truncated or rewritten under the snapshot (its rows would silently be missing).

`window.decide_window(incremental, column, low, clocks, max_cursor=None) -> Window | None`
    Pure. `column` is the cursor's SourceColumn, `low` the watermark of the last commit (None: first
    run). None means that nothing is new since `low`; a first run always gets a window.
`window.cursor_kind(column) -> "timestamp" | "date" | "integer"`
    SpecError for a column that cannot be a cursor. `describe` has already asked it.
"""
