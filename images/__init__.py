"""Builds the images of a release from the wheels of `make dist`: `python -m images FOLDER …`, or `make images`."""
