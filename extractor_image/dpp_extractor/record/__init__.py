"""Stage 7, after the commit: what happened, as documents for the bucket and for the index."""
