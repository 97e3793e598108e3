"""The DistributorExtraction: what people commit, as frozen models with every bound and rule beside
its field.
"""
