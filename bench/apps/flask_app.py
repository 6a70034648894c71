"""The app of the benchmark in Flask, as its user would write it."""

import os
import time

from flask import Flask, Response, request
from flask.json.provider import DefaultJSONProvider

from work import FEW, HELLO, MANY, WAIT, chunks, work_now_and_then


class Json(DefaultJSONProvider):
    """JSON as all others write it: keys in their order, and no line end after it."""

    sort_keys = False

    def response(self, value):
        return self._app.response_class(self.dumps(value, separators=(",", ":")), mimetype=self.mimetype)


Flask.json_provider_class = Json
app = Flask(__name__)


@app.get("/")
def hello():
    return HELLO


@app.get("/json/1k")
def few():
    return FEW


@app.get("/json/100k")
def many():
    return MANY


@app.post("/upload")
def upload():
    return {"bytes": len(request.get_data())}


@app.get("/download")
def download():
    return Response(chunks(), mimetype="application/octet-stream")


@app.get("/wait")
def wait():
    time.sleep(WAIT)
    return HELLO


@app.get("/mixed")
def mixed():
    work_now_and_then()
    return HELLO


@app.get("/pid")
def pid():
    return {"pid": os.getpid()}
