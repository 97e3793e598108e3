"""One module for each outside system; each is the only importer of its driver and translates its
errors.
"""
