"""Stage 3: rows that break a rule leave the stream for quarantine; tables that break a guard are blocked."""
