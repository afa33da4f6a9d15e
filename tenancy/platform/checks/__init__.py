"""Checks of a cluster, one module per subject; each yields findings from the same facts."""
