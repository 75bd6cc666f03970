"""A server for clients that are not ours. It prints its port and runs until its standard
input ends. With the argument "compress" it compresses messages."""

import asyncio
import sys

import websockets


async def handle(ws) -> None:
    path = ws.path if hasattr(ws, "path") else ws.request.path  # of older and newer versions
    if path == "/bye":
        await ws.close(4000, "bye")
        return
    if path == "/ping":
        await (await ws.ping("p"))
        await ws.send("pong p")
    async for message in ws:
        await ws.send(message)


async def main() -> None:
    compression = "deflate" if sys.argv[1:] == ["compress"] else None
    async with websockets.serve(handle, "127.0.0.1", 0, compression=compression, subprotocols=["chat"]) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        print(port, flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


asyncio.run(main())
