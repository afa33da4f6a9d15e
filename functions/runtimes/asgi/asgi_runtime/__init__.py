"""Runs `func.py` with the conventions of Knative's func, as Knative expects of a container."""
