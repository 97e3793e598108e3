"""The extractor: one process that runs the seven stages for each dataset of a RunRequest.

Start reading at `unit.py` (one dataset, seven stages), then `run.py` (the loop over datasets).
"""
