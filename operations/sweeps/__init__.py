"""Integrity sweeps: how a worker does them."""
