"""The one error of this package."""


class ChartError(Exception):
    """The manifests and the chart do not fit each other; the message says where."""
