"""Runs `main.py` with functions-framework, as Knative expects of a container."""
