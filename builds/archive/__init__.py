"""Reads archives of unknown origin: zip and tar.gz, and of both only what a folder of code needs.

The readers are our own because they are stricter than those of the standard library, which keep whole headers and
directories in memory and accept what this package refuses. Nothing here follows a name out of the destination, and no
archive costs more memory, time or disk than `ArchiveLimits` says.
"""
