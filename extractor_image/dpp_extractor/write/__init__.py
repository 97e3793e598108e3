"""Stage 5: batches become Parquet parts with exact or absent statistics; rejected rows become quarantine lines."""
