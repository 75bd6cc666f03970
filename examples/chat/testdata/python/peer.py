"""A client of exampletest.PeerServer that is not ours. Prints "ok", or fails."""

import asyncio
import sys

import websockets


async def main(url: str) -> None:
    async with websockets.connect(url) as ws:
        # Pings are answered by websockets itself.
        await ws.send("ping")
        assert await ws.recv() == "pinged"

        # Messages in many fragments.
        text = "a\u00e9\u20ac\U0001f600"
        await ws.send(text for _ in range(1000))
        assert await ws.recv() == text * 1000
        await ws.send(bytes([i]) for i in range(50))
        assert await ws.recv() == bytes(range(50))

    # The end of the identity.
    async with websockets.connect(url + "/?expires") as ws:
        try:
            await ws.recv()
            raise AssertionError("a message arrived")
        except websockets.ConnectionClosed as closed:
            assert (closed.rcvd.code, closed.rcvd.reason) == (1008, "expired"), closed
    print("ok")


asyncio.run(asyncio.wait_for(main(sys.argv[1]), 20))
