"""Failures of a request to an upstream, by what is known about the request."""


class UpstreamError(Exception):
    """A request to an upstream failed."""


class NotConnectedError(UpstreamError):
    """There was no connection, so nothing was sent."""


class CertificateRejectedError(NotConnectedError):
    """The upstream's certificate is not trusted; another attempt meets the same one."""


class DisconnectedError(UpstreamError):
    """The connection ended before the head of the reply; the request may have been carried out."""


class TruncatedReplyError(UpstreamError):
    """The connection ended in the body of the reply."""


class MalformedReplyError(UpstreamError):
    """The reply is not valid HTTP/1.1, or exceeds a limit."""


class SilentError(UpstreamError):
    """The upstream neither sent nor took anything for too long."""


class NotTakenError(SilentError):
    """The upstream stopped reading the body of the request."""


class DeadlineError(UpstreamError):
    """The exchange took too long as a whole."""


class RequestBodyError(UpstreamError):
    """The body of the request contradicts its length."""
