"""MySQL and MariaDB: clock and horizon, catalogue, types, and a reader that takes the server's own
text of every value.
"""
