"""What the operator reads from FerretDB: heartbeats of runs. pymongo's home in the operator."""
