"""Stage 2: the source's names and types become the table's, the original kept in field metadata."""
