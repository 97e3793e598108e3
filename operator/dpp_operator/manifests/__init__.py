"""Kubernetes objects as plain dicts, built from what was decided. Pure."""
