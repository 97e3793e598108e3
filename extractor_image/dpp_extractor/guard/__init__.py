"""What keeps a run polite and bounded: one retry layer, one deadline, one stop, one table of
failures.
"""
