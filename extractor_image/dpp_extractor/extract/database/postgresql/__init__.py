"""PostgreSQL: clock and horizon, catalogue, types, and a reader that leaves parsing to Arrow."""
