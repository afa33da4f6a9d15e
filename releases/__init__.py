"""Versions and release notes: `python -m releases version|prepare|check|notes`. Needs nothing but Python and git."""
