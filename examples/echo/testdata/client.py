"""A client of the echo that is not ours. It prints what does not hold and ends with status 1,
or prints "ok"."""

import asyncio
import os
import sys

import websockets


async def echoes(url: str, compression) -> None:
    async with websockets.connect(url, compression=compression, max_size=None) as ws:
        for message in ["", "x", "hello, wörld 👋", "ä" * 30_000, b"", bytes(range(256)) * 200, os.urandom(50_000)]:
            await ws.send(message)
            assert await ws.recv() == message
        await ws.send(["in ", "three ", "parts"])
        assert await ws.recv() == "in three parts"
        await asyncio.wait_for(await ws.ping("p"), 20)
        await ws.close(4000, "mine")
        assert ws.close_code == 4000, ws.close_code


async def main(url: str) -> None:
    for compression in ["deflate", None]:
        await echoes(url, compression)
    print("ok")


asyncio.run(asyncio.wait_for(main(sys.argv[1]), 60))
