"""Error handlers of the application: rejections of the router and unhandled exceptions."""

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from gateway.errors import ErrorCode, GatewayError
from gateway.http.context import context_of
from gateway.http.respond import failure


def install_error_handlers(app: Starlette) -> None:
    """Installs both handlers; a path with a surplus slash is rejected, not redirected."""
    app.router.redirect_slashes = False
    app.add_exception_handler(HTTPException, route_refused)
    app.add_exception_handler(Exception, unhandled_error)


async def route_refused(request: Request, error: Exception) -> Response:
    """A rejection of the router, as one of our errors."""
    assert isinstance(error, HTTPException)
    context = context_of(request.scope)
    allow = {name: value for name, value in (error.headers or {}).items() if name == "Allow"}
    refusal = route_error(request.scope, error.status_code).with_headers(allow)
    return failure(context, refusal)


async def unhandled_error(request: Request, _error: Exception) -> Response:
    """What nobody foresaw; the traceback is in the log."""
    return failure(context_of(request.scope), GatewayError(ErrorCode.INTERNAL))


def route_error(scope: Scope, status: int) -> GatewayError:
    """The error for a status of the router."""
    if status == ErrorCode.METHOD_NOT_ALLOWED.status:
        return GatewayError(ErrorCode.METHOD_NOT_ALLOWED, method=scope["method"])
    return GatewayError(ErrorCode.ROUTE_NOT_FOUND)
