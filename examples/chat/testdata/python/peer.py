"""A client of exampletest.PeerServer that is not ours. Prints "ok", or fails."""

import asyncio
import hashlib
import sys

import websockets


async def main(base: str) -> None:
    text = "a\u00e9\u20ac\U0001f600"
    async with websockets.connect(base + "/messages") as ws:
        # Pings are answered by websockets itself.
        await ws.send("ping")
        assert await ws.recv() == "pinged"

        # Messages in many fragments.
        await ws.send(text for _ in range(1000))
        assert await ws.recv() == text * 1000
        await ws.send(bytes([i]) for i in range(50))
        assert await ws.recv() == bytes(range(50))

    # Messages that are bigger than a server collects, plain and compressed.
    for compression in (None, "deflate"):
        async with websockets.connect(base + "/pieces", compression=compression) as ws:
            part = text * 1000
            big = (part * 300).encode()
            digest = f"{len(big)} {hashlib.sha256(big).hexdigest()}"
            await ws.send(part for _ in range(300))
            assert await ws.recv() == "text " + digest
            await ws.send(part.encode() for _ in range(300))
            assert await ws.recv() == "binary " + digest
            await ws.send(big)
            assert await ws.recv() == "binary " + digest

    # The end of the identity.
    async with websockets.connect(base + "/expires") as ws:
        try:
            await ws.recv()
            raise AssertionError("a message arrived")
        except websockets.ConnectionClosed as closed:
            assert (closed.rcvd.code, closed.rcvd.reason) == (1008, "expired"), closed
    print("ok")


asyncio.run(asyncio.wait_for(main(sys.argv[1]), 60))
