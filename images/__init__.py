"""Builds the images of a release from the Dockerfiles: `python -m images FOLDER --python IMAGE`, or `make images`."""
