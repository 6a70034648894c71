"""What the Python apps answer with and do: the same as `work.mjs` has for those in Node."""

import itertools
import random
import time


def records(count):
    return {
        "items": [
            {
                "id": index,
                "name": f"item {index}",
                "price": 100 + index,
                "isInStock": index % 3 == 0,
                "tags": ["small", "green"],
                "owner": "somebody",
            }
            for index in range(count)
        ]
    }


HELLO = {"hello": "world"}
FEW = records(10)
MANY = records(1000)

# As long as a database takes, in seconds.
WAIT = 0.01


def chunks():
    """10 MB, chunk by chunk."""
    return itertools.repeat(bytes(65_536), 160)


def work_now_and_then():
    """Burns 20 ms of CPU time for 5 % of the requests, at random: two in a row have to be possible."""
    if random.random() >= 0.05:
        return
    # Its own time, not the clock's: two threads or processes on one CPU burn no less.
    end = time.thread_time() + 0.02
    while time.thread_time() < end:
        pass
