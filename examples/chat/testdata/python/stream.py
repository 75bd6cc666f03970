"""A client that gives up on a server that does not answer its pings within 2 seconds."""

import asyncio
import sys

import websockets


async def main(url: str) -> None:
    async with websockets.connect(url, ping_interval=1, ping_timeout=2) as ws:
        await ws.send("stream")
        parts = 0
        async for part in ws:
            if part == "end":
                break
            parts += 1
    print(parts)


asyncio.run(main(sys.argv[1]))
