"""SQLite: a file, its own clock, declared types, and a reader that takes no stored value on
trust.
"""
