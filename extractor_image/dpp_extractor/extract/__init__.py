"""Stage 1: bring rows in from a source, exactly and in bounded memory, one package per kind of source."""
