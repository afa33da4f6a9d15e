"""A WebSocket of a caller: a tunnel to the function, once the function has accepted the handshake."""

from starlette.types import Send

from gateway.http.disconnect import CallerGoneError
from gateway.http.tunnel import Tunnel
from gateway.http.websocket import SWITCHING_PROTOCOLS, TUNNEL_END
from gateway.invoke.recheck import ReplyBrokenError
from gateway.upstream.reply import Fields, Reply


async def carry_websocket(reply: Reply, fields: Fields, send: Send) -> None:
    """Sends the head of a 101 to the caller, and passes bytes both ways until both connections are closed.

    Args:
        reply: of the function, with the status 101.
        fields: for the caller.
        send: the channel to the caller, on which nothing has been sent.

    Raises:
        UpstreamError: the function's connection is closed already; nothing has been sent to the caller.
        ReplyBrokenError: the function's connection was lost, or a timeout ended the tunnel.
        CallerGoneError: the caller's connection was lost.
    """
    tunnel = Tunnel()
    surplus = reply.switch(tunnel.function)
    try:
        head = {"type": "http.response.start", "status": SWITCHING_PROTOCOLS, "headers": fields}
        await send({**head, TUNNEL_END: tunnel.caller})
        if not tunnel.caller.connected:
            raise CallerGoneError
        if surplus:
            tunnel.function.data_received(surplus)
        tunnel.function.resume_reading()
        await tunnel.ended
    finally:
        tunnel.abort()
        await tunnel.ended
    if tunnel.failure is not None:
        end, error = tunnel.failure
        raise (CallerGoneError if end is tunnel.caller else ReplyBrokenError) from error
