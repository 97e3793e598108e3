"""SQL for SQL Server, Oracle, Db2, HANA and whatever has an ODBC driver: written, never yet sent.

`dialects` writes the statements of `query` as each server's text, `bounds` a window's bounds in the
cursor's own type, `sessions` what a connection says and asks around a read. Nothing in here connects:
a reader of such an engine takes the text from here and sends it as it is, without parameters. Until
there is one, golden files hold the text (tests/unit/extractor/extract/golden), `dpp engines` calls
these engines compile-tested, and the kinds refuse them.
"""
