"""The app of the benchmark without a framework: an ASGI callable, about the least that a request costs in Python."""

import asyncio
import json
import os

from work import FEW, HELLO, MANY, WAIT, chunks, work_now_and_then

encode = json.JSONEncoder(separators=(",", ":")).encode


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await live(receive, send)
    elif scope["path"] == "/download":
        await start(send, 200, (b"content-type", b"application/octet-stream"))
        for chunk in chunks():
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body"})
    elif scope["path"] in ROUTES:
        body = encode(await ROUTES[scope["path"]](receive)).encode()
        length = (b"content-length", str(len(body)).encode())
        await start(send, 200, (b"content-type", b"application/json"), length)
        await send({"type": "http.response.body", "body": body})
    else:
        await start(send, 404, (b"content-length", b"0"))
        await send({"type": "http.response.body"})


async def start(send, status, *headers):
    await send({"type": "http.response.start", "status": status, "headers": headers})


async def live(receive, send):
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


async def hello(receive):
    return HELLO


async def few(receive):
    return FEW


async def many(receive):
    return MANY


async def upload(receive):
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return {"bytes": len(b"".join(parts))}


async def wait(receive):
    await asyncio.sleep(WAIT)
    return HELLO


async def mixed(receive):
    work_now_and_then()
    return HELLO


async def pid(receive):
    return {"pid": os.getpid()}


ROUTES = {
    "/": hello,
    "/json/1k": few,
    "/json/100k": many,
    "/upload": upload,
    "/wait": wait,
    "/mixed": mixed,
    "/pid": pid,
}
