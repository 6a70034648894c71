"""The app of the benchmark in FastAPI, as its user would write it."""

import asyncio
import os

from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from work import FEW, HELLO, MANY, WAIT, chunks, work_now_and_then

app = FastAPI()


class Hello(BaseModel):
    hello: str


class Record(BaseModel):
    id: int
    name: str
    price: int
    isInStock: bool
    tags: list[str]
    owner: str


class Records(BaseModel):
    items: list[Record]


@app.get("/")
async def hello() -> Hello:
    return HELLO


@app.get("/json/1k")
async def few() -> Records:
    return FEW


@app.get("/json/100k")
async def many() -> Records:
    return MANY


@app.post("/upload")
async def upload(request: Request) -> dict[str, int]:
    return {"bytes": len(await request.body())}


@app.get("/download", response_class=StreamingResponse)
async def download():
    async def body():
        for chunk in chunks():
            yield chunk

    return StreamingResponse(body(), media_type="application/octet-stream")


@app.get("/wait")
async def wait() -> Hello:
    await asyncio.sleep(WAIT)
    return HELLO


@app.get("/mixed")
async def mixed() -> Hello:
    work_now_and_then()
    return HELLO


@app.get("/pid")
async def pid() -> dict[str, int]:
    return {"pid": os.getpid()}
