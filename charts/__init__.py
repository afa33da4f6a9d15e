"""Makes the Helm chart out of the manifests: `python -m charts FOLDER`, or `make chart`.

The bases in `manifests/` are rendered with kustomize, and the places that differ between sites become template
expressions (`bindings`). Whatever else is in the chart is written by hand in `source/`.
"""
