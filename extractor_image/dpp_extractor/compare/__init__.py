"""Rows that went away at the source: its keys held against those that live in the table.

`keys` says what a key is and which row of a key is the latest; `spill` keeps batches on disk, in ranges of keys;
`table` reads what the table holds; `difference` compares the two, a range at a time, in constant memory.
"""
