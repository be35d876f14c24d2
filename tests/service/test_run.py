import asyncio
import socket

from service.run import listen


def test_the_parts_of_a_reply_do_not_wait_for_each_other() -> None:
    """A connection that was accepted sends at once what it is given."""

    async def option_of_an_accepted_connection() -> int:
        found: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def accepted(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connection = writer.get_extra_info("socket")
            found.set_result(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        server_socket = listen("127.0.0.1", 0)
        server = await asyncio.start_server(accepted, sock=server_socket)
        _, writer = await asyncio.open_connection(*server_socket.getsockname())
        try:
            return await found
        finally:
            writer.close()
            await writer.wait_closed()
            server.close()
            await server.wait_closed()

    assert asyncio.run(option_of_an_accepted_connection()) != 0
