"""Programs that are measured, or that those need beside them; each runs in a process of its own."""
