#!/usr/bin/env python3
"""Says what an agent said once: the lines of a transcript, each when the client has said what it said before it.

A transcript has a line for each message: `>>> ` before those of the client, `<<< ` before those of the agent. The client's own ids are
used, and each of its messages must be of the method that stands there; otherwise the replay ends with a word about it. What the client
asks after the end is answered with nothing.
"""

import json
import sys


def hear(expected):
    """Reads what the client says, which must be what is expected; returns its id."""
    heard = json.loads(sys.stdin.readline() or sys.exit(0))
    if heard.get("method") != expected.get("method"):
        sys.exit(f"expected {expected.get('method')} and heard {heard.get('method')}")
    return heard.get("id")


def say(message):
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


ids = {}
for line in open(sys.argv[1], encoding="utf-8"):
    message = json.loads(line[4:])
    if line.startswith(">>> "):
        id = hear(message)
        if "method" in message and "id" in message:
            ids[message["id"]] = id
    elif "method" in message:
        say(message)
    else:
        say({**message, "id": ids[message["id"]]})
for line in sys.stdin:
    message = json.loads(line)
    if "id" in message:
        say({"jsonrpc": "2.0", "id": message["id"], "result": {}})
