#!/usr/bin/env python3
"""Stands between an ACP client and an agent, and makes of an agent that behaves one that does not. Only the standard library is used.

  meddler.py [options] -- COMMAND ...

Beside its options there is the file `instead` in its working directory: a method and an error. The next request of this method is
answered with the error, and the agent does not hear of it.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time

arguments = argparse.ArgumentParser()
arguments.add_argument("--log", default=None, help="a file to which each message of the client is appended")
arguments.add_argument("--until", default=None, help="a method; from then on nothing passes")
arguments.add_argument("--version", type=int, default=None, help="the version that the agent is said to speak")
arguments.add_argument("--nonsense", action="store_true", help="puts nonsense before each line of the agent")
arguments.add_argument("--long", type=int, default=0, help="puts a text of so many bytes before the first of the agent")
arguments.add_argument("--repeat", type=int, default=1, help="says each text of the agent so many times")
arguments.add_argument("--stderr", type=int, default=0, help="writes so many MB to stderr with each prompt")
arguments.add_argument("--half", default=None, help="a method at which it writes half a line and ends")
arguments.add_argument("--request", action="store_true", help="asks the client for what does not exist, with each prompt")
arguments.add_argument("--children", action="store_true", help="has children that are hard to find or to stop")
arguments.add_argument("--stubborn", action="store_true", help="ignores the end of its input and SIGTERM")
arguments.add_argument("command", nargs="+")
args = arguments.parse_args()

NONSENSE = [b"Listening on nothing", b"\xff\xfe\xfd", b"[1, 2]", b"{}", b"", b'{"jsonrpc":"2.0","id":4711,"result":{"stray":true}}']

write_lock = threading.Lock()
muted = threading.Event()


def write(*lines):
    with write_lock:
        sys.stdout.buffer.write(b"".join(line + b"\n" for line in lines))
        sys.stdout.buffer.flush()


def send(**message):
    write(json.dumps({"jsonrpc": "2.0", **message}).encode())


def update(session, **fields):
    send(method="session/update", params={"sessionId": session, "update": fields})


def chunk(session, text):
    update(session, sessionUpdate="agent_message_chunk", content={"type": "text", "text": text})


def replace(path, text):
    with open(path + ".new", "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(path + ".new", path)


def start_children():
    deaf = "import signal,time; [signal.signal(s, signal.SIG_IGN) for s in (signal.SIGHUP, signal.SIGTERM)]; time.sleep(1000)"
    subprocess.Popen(["sleep", "1000"], stdin=subprocess.DEVNULL)
    for is_away in (False, True):
        subprocess.Popen([sys.executable, "-c", deaf], stdin=subprocess.DEVNULL, start_new_session=is_away)


def to_client(agent):
    """What the agent says, and more."""
    is_long = bool(args.long)
    for line in agent.stdout:
        line = line.rstrip(b"\n")
        if muted.is_set():
            continue
        params = json.loads(line).get("params") or {}
        session, is_text = params.get("sessionId"), b'"agent_message_chunk"' in line
        if args.nonsense:
            write(*NONSENSE)
            send(method="_auth/status_update", params={"loggedIn": False})
            if session:
                update(session, sessionUpdate="of_tomorrow", text="?")
                chunk("another session", "not yours")
        if is_text and is_long:
            is_long = False
            chunk(session, "x" * args.long)
        if args.version is not None:
            line = line.replace(b'"protocolVersion":1', b'"protocolVersion":%d' % args.version)
            line = line.replace(b'"protocolVersion": 1', b'"protocolVersion":%d' % args.version)
        for n in range(0, args.repeat if is_text else 1, 100):
            if args.repeat > 1 and is_text:
                replace("written", str(n))
            write(*[line] * (min(100, args.repeat) if is_text else 1))
    code = agent.wait()
    if args.stubborn:
        return
    if code < 0:
        signal.signal(-code, signal.SIG_DFL) if -code != signal.SIGKILL else None
        os.kill(os.getpid(), -code)
    os._exit(code)


def is_answered_here(message):
    """Answers what the file says; says whether it did."""
    if not os.path.exists("instead"):
        return False
    method, _, error = open("instead", encoding="utf-8").read().partition(" ")
    if message.get("method") != method:
        return False
    os.remove("instead")
    send(id=message["id"], error=json.loads(error))
    return True


def interfere(agent, message):
    """Does what is to happen with a message of the client."""
    method = message.get("method")
    if method is not None and method == args.until:
        muted.set()
    if method is not None and method == args.half:
        muted.set()
        with write_lock:
            sys.stdout.buffer.write(b'{"jsonrpc":"2.0","method":"session/up')
            sys.stdout.buffer.flush()
        agent.kill()
        agent.wait()
        os._exit(0)
    if method == "session/prompt":
        for _ in range(args.stderr):
            sys.stderr.write("y" * 1_000_000)
        if args.request:
            send(id="a text", method="craft/drain", params={})
            send(id=4711, method="fs/read_text_file", params={"path": "/etc/hostname"})


def from_client(agent):
    """What the client says, and less."""
    answers = []
    for line in sys.stdin.buffer:
        if args.log:
            with open(args.log, "ab") as log:
                log.write(line)
        message = json.loads(line)
        interfere(agent, message)
        if message.get("id") in ("a text", 4711) and "method" not in message:
            answers.append([message["id"], message.get("error", {}).get("code")])
            replace("answers", json.dumps(answers))
        elif not muted.is_set() and not is_answered_here(message):
            agent.stdin.write(line)
            agent.stdin.flush()


def main():
    if args.stubborn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if args.children:
        start_children()
    agent = subprocess.Popen(args.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    speaker = threading.Thread(target=to_client, args=(agent,), daemon=True)
    speaker.start()
    from_client(agent)
    while args.stubborn:
        time.sleep(1000)
    agent.stdin.close()
    speaker.join()


main()
