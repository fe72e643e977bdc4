#!/usr/bin/env python3
"""An agent that speaks ACP over its standard streams and misbehaves on request.

Arguments change how it starts and ends; the first word of a prompt says what the turn does. Only the standard library is used.
"""

import argparse
import json
import os
import queue
import resource
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

arguments = argparse.ArgumentParser()
arguments.add_argument("--version", type=int, default=1)
arguments.add_argument("--silent", default="", help="a method that is never answered")
arguments.add_argument("--auth", action="store_true", help="refuse sessions until authenticated")
arguments.add_argument("--exit", type=int, default=None, help="exit at once with this code")
arguments.add_argument("--die", default=None, help="die of this signal at once")
arguments.add_argument("--caps", default="close,load,resume,list,http", help="what is offered")
arguments.add_argument("--offers", default="options", choices=["options", "modes", "nothing"], help="what can be chosen")
arguments.add_argument("--string-ids", action="store_true")
arguments.add_argument("--stubborn", action="store_true", help="ignore the end of input and SIGTERM")
arguments.add_argument("--children", action="store_true", help="start children that are hard to find or to stop")
arguments.add_argument("--log", default=None, help="a file to which each message received is appended")
args = arguments.parse_args()

# The sessions that were made in this directory, by whichever process, one a line.
LEDGER = "sessions"
PAGE = 2

write_lock = threading.Lock()
replies = {}
sessions = {}
tool_servers = {}
chosen = {"llm": "small", "how": "code"}
signed_in = not args.auth
next_id = 0


def write(line):
    with write_lock:
        sys.stdout.buffer.write(line + b"\n")
        sys.stdout.buffer.flush()


def send(**message):
    write(json.dumps({"jsonrpc": "2.0", **message}).encode())


def update(session, kind, **fields):
    send(method="session/update", params={"sessionId": session, "update": {"sessionUpdate": kind, **fields}})


def say(session, text, kind="agent_message_chunk", **fields):
    update(session, kind, content={"type": "text", "text": text}, **fields)


def new_id():
    global next_id
    with write_lock:
        next_id += 1
        return f"request {next_id}" if args.string_ids else next_id - 1


def request(method, params, wait=True):
    """Asks the client; returns its whole answer and the id."""
    id = new_id()
    replies[id] = queue.Queue()
    send(id=id, method=method, params=params)
    return replies[id].get() if wait else id


OPTIONS = [
    {"optionId": "always", "name": "Always", "kind": "allow_always"},
    {"optionId": "yes", "name": "Yes", "kind": "allow_once"},
    {"optionId": "cancel", "name": "No", "kind": "reject_once"},
]


def ask(session, wait=True, options=OPTIONS, command="rm file"):
    call = {"toolCallId": "t1", "title": "Remove a file", "kind": "execute", "status": "pending"}
    call["rawInput"] = {"command": command}
    return request("session/request_permission", {"sessionId": session, "toolCall": call, "options": options}, wait)


def ask_and_count(session):
    """Asks for a decision; returns all answers that came."""
    id = ask(session, wait=False)
    answers = [replies[id].get()["result"]]
    # Whatever was sent before the next answer has been read by then.
    request("craft/drain", {"sessionId": session})
    while not replies[id].empty():
        answers.append(replies[id].get())
    return json.dumps(answers)


def config_options():
    """Every option, as it is now."""
    small, large = {"value": "small", "name": "Small"}, {"value": "large", "name": "Large", "description": "Slow"}
    model = {"id": "llm", "name": "Model", "category": "model", "type": "select", "currentValue": chosen["llm"]}
    model["options"] = [{"group": "ours", "name": "Ours", "options": [small, large]}]
    return [model, {"id": "web", "name": "Search", "type": "boolean", "currentValue": True}]


def opened():
    """What the answer to a new or restored session says about what can be chosen."""
    if args.offers == "options":
        return {"configOptions": config_options()}
    if args.offers == "modes":
        modes = [{"id": "code", "name": "Code"}, {"id": "plan", "name": "Plan", "description": "Only thinks"}]
        return {"modes": {"currentModeId": chosen["how"], "availableModes": modes}}
    return {}


def announce(session, *names):
    commands = [{"name": name, "description": f"Does {name}", "input": {"hint": "what"}} for name in names]
    update(session, "available_commands_update", availableCommands=commands)


def open_session(id, session, **answer):
    """Answers a request that made or restored a session, and announces its commands: some agents do so first, some last."""
    if args.offers == "modes":
        announce(session, "web")
    send(id=id, result={**answer, **opened()})
    if args.offers == "options":
        announce(session, "web")


def make_session(id, session):
    """Answers a request for a new session, as soon as nobody holds it up."""
    while os.path.exists("hold"):
        time.sleep(0.01)
    open_session(id, session, sessionId=session)


def page(cursor):
    """One page of the sessions of this directory, with the newest on the first; on each, the oldest comes first."""
    known = open(LEDGER, encoding="utf-8").read().split() if os.path.exists(LEDGER) else []
    begin = int(cursor or 0)
    sessions = [
        {"sessionId": session, "cwd": os.getcwd(), "title": f"Number {n}", "updatedAt": f"1970-01-01T00:00:{n:02}Z"}
        for n, session in enumerate(known)
    ]
    end = len(known) - begin
    more = {"nextCursor": str(begin + PAGE)} if begin + PAGE < len(known) else {}
    return {"sessions": sessions[max(end - PAGE, 0) : end], **more}


def die(name):
    """Dies of a signal, without a memory image."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.kill(os.getpid(), getattr(signal, "SIG" + name))
    time.sleep(1000)


def children():
    """Starts children that are hard to find or to stop; returns their ids."""
    script = "import signal,time; signal.signal(signal.SIGHUP, signal.SIG_IGN); signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(1000)"
    plain = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
    deaf = subprocess.Popen([sys.executable, "-c", script])
    away = subprocess.Popen([sys.executable, "-c", script], start_new_session=True)
    return f"{plain.pid} {deaf.pid} {away.pid}"


def call_tool(server, name, tool_arguments):
    """Calls a tool of an MCP server; returns what it says, or how the server refuses."""
    params = {"name": name, "arguments": tool_arguments}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()
    if "url" in server:
        headers = {header["name"]: header["value"] for header in server["headers"]}
        headers |= {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
        asked = urllib.request.Request(server["url"], body, headers)
        try:
            # Not by a proxy: it is on this machine.
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            answer = opener.open(asked).read()
        except urllib.error.HTTPError as refused:
            return f"refused: {refused.code}"
    else:
        env = {variable["name"]: variable["value"] for variable in server["env"]}
        shim = subprocess.run([server["command"], *server["args"]], input=body + b"\n", env=env, stdout=subprocess.PIPE)
        answer = shim.stdout
    answer = json.loads(answer)
    if "error" in answer:
        return f"refused: {answer['error']['message']}"
    said = answer["result"]["content"][0]["text"]
    return f"failed: {said}" if answer["result"].get("isError") else said


def daemons():
    """Starts a process that forks itself away, and one that forgets our variables; returns their ids."""
    ignore = "import os,signal,sys,time; [signal.signal(s, signal.SIG_IGN) for s in (signal.SIGHUP, signal.SIGTERM)]\n"
    away = "if os.fork(): os._exit(0)\nos.setsid()\nif os.fork(): os._exit(0)\nopen('daemon.new', 'w').write(str(os.getpid()))\n"
    subprocess.run([sys.executable, "-c", ignore + away + "os.replace('daemon.new', 'daemon'); time.sleep(1000)"], check=True)
    forgetful = subprocess.Popen([sys.executable, "-c", ignore + "time.sleep(1000)"], env={}, start_new_session=True)
    while not os.path.exists("daemon"):
        time.sleep(0.01)
    return f"{open('daemon', encoding='utf-8').read()} {forgetful.pid}"


def turn(session, text, cancelled):
    """Plays one turn; returns its stop reason, or an error."""
    word, _, rest = text.partition(" ")
    if word == "chunks":
        for n in range(int(rest)):
            say(session, f"{n} ")
    elif word == "texts":
        for piece in json.loads(rest):
            say(session, piece)
    elif word == "count":
        for n in range(20):
            say(session, f"{int(rest) + n} ")
    elif word in ("wait", "silent"):
        if word == "wait":
            say(session, "waiting")
        while not cancelled.wait(0.01):
            pass
        return "cancelled"
    elif word == "deaf":
        say(session, "waiting")
        time.sleep(1000)
    elif word == "deaf-held":
        # A child without our variables is nobody's, and it holds our stderr.
        holder = subprocess.Popen(["sleep", "30"], env={"PATH": os.environ["PATH"]}, start_new_session=True)
        say(session, f"{os.getpid()} {holder.pid}")
        time.sleep(1000)
    elif word == "ask":
        say(session, "before ")
        answer = ask(session)
        say(session, json.dumps(answer["result"]))
        if answer["result"]["outcome"]["outcome"] == "cancelled":
            return "cancelled"
    elif word == "propose":
        say(session, json.dumps(ask(session, command=rest)["result"]))
    elif word == "ask-late":
        say(session, "waiting")
        cancelled.wait()
        say(session, ask_and_count(session))
        return "cancelled"
    elif word == "ask-offering":
        say(session, json.dumps(ask(session, options=json.loads(rest))["result"]))
    elif word == "flood-ask":
        chunk = {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": "x"}}
        params = {"sessionId": session, "update": chunk}
        lines = json.dumps({"jsonrpc": "2.0", "method": "session/update", "params": params}).encode() + b"\n"
        for n in range(0, int(rest), 100):
            with open("written", "w", encoding="utf-8") as written:
                written.write(str(n))
            sys.stdout.buffer.write(100 * lines)
            sys.stdout.buffer.flush()
        say(session, json.dumps(ask(session)["result"]))
    elif word == "withdraw":
        id = ask(session, wait=False)
        send(method="$/cancel_request", params={"requestId": id})
        say(session, json.dumps(replies[id].get()["result"]))
    elif word == "unknown":
        answer = request("craft/drain", {"sessionId": session})
        say(session, str(answer["error"]["code"]))
        answer = request("fs/read_text_file", {"sessionId": session, "path": "/etc/hostname"})
        say(session, " " + str(answer["error"]["code"]))
    elif word == "crash":
        say(session, "last words")
        sys.stderr.write("something broke, token xoxb-1-secret\n")
        sys.stderr.flush()
        os._exit(3)
    elif word == "die":
        say(session, "last words")
        die(rest)
    elif word == "noise":
        count = 0
        while not cancelled.wait(0.01):
            count += 1
            sys.stderr.write(f"still at it, number {count}\n")
            sys.stderr.flush()
        with open("noise", "w", encoding="utf-8") as noise:
            noise.write(str(count))
        return "cancelled"
    elif word == "crash-asking":
        ask(session, wait=False)
        while not os.path.exists("crash-now"):
            time.sleep(0.01)
        os._exit(4)
    elif word == "garbage":
        write(b"Listening on nothing")
        write(b"\xff\xfe\xfd")
        write(b"[1, 2]")
        write(b"{}")
        write(b"")
        send(method="_auth/status_update", params={"loggedIn": False})
        update(session, "of_tomorrow", text="?")
        update("another session", "agent_message_chunk", content={"type": "text", "text": "not yours"})
        send(id=4711, result={"stray": True})
        say(session, "")
        say(session, "still here")
    elif word == "long":
        say(session, "x" * int(rest))
    elif word == "half":
        sys.stdout.buffer.write(b'{"jsonrpc":"2.0","method":"session/up')
        sys.stdout.buffer.flush()
        os._exit(0)
    elif word == "stderr":
        for _ in range(int(rest)):
            sys.stderr.write("y" * 1_000_000)
        say(session, "done")
    elif word == "children":
        say(session, children())
    elif word == "crash-parent":
        say(session, children())
        os._exit(6)
    elif word == "daemons":
        say(session, daemons())
    elif word == "stubborn":
        # Signals are the main thread's, so it takes SIGTERM from the beginning and only now passes over it.
        args.stubborn = True
    elif word == "env":
        say(session, json.dumps({"env": dict(os.environ), "cwd": os.getcwd(), "group": os.getpgid(0) == os.getpid()}))
    elif word == "error":
        code, _, message = rest.partition(" ")
        return {"code": int(code), "message": message}
    elif word == "announce":
        announce(session, *rest.split())
        update(session, "current_mode_update", modeId="plan")
        announce("another session", "not-yours")
    elif word == "tool":
        name, _, tool_arguments = rest.partition(" ")
        say(session, "before\n")
        servers = tool_servers[session]
        say(session, call_tool(servers[0], name, json.loads(tool_arguments)) if servers else "no tools")
    elif word == "chosen":
        say(session, f"{chosen['llm']} {chosen['how']}")
    elif word == "everything":
        say(session, "hm", "agent_thought_chunk")
        update(session, "plan", entries=[{"content": "one", "priority": "high", "status": "in_progress"}])
        update(session, "tool_call_update", toolCallId="t9", title="Look", status="in_progress")
        update(session, "notice", severity="info", title="Careful")
        say(session, "one", messageId="m1")
    else:
        say(session, f"you said: {text}; before: {len(sessions[session])}")
        sessions[session].append(text)
    return "end_turn"


def run_turn(id, session, text, cancelled):
    end = turn(session, text, cancelled)
    if isinstance(end, dict):
        send(id=id, error=end)
    elif text == "answer-unclear":
        send(id=id, result={"stopReason": end}, error={"message": "and an error beside it"})
    else:
        send(id=id, result={"stopReason": end})
    if text == "answer-twice":
        send(id=id, result={"stopReason": "refusal"})
        send(id=id, error={"code": -32603, "message": "and once more"})
    if text == "crash-after":
        os._exit(5)
    if text.startswith("die-after "):
        die(text.removeprefix("die-after "))
    if text == "announce-after":
        # More than may be inside at once.
        for n in range(200):
            announce(session, f"command-{n}")
        update(session, "usage_update", used=1, size=2)
        chosen["llm"] = "large"
        update(session, "config_option_update", configOptions=config_options())
    if text == "ask-after":
        answers = ask_and_count(session)
        with open("answers.new", "w", encoding="utf-8") as file:
            file.write(answers)
        os.replace("answers.new", "answers")


def handle(message, turns):
    global signed_in
    method, id, params = message.get("method"), message.get("id"), message.get("params", {})
    if method is None:
        if id in replies:
            replies[id].put(message)
    elif method == args.silent:
        pass
    elif method == "initialize":
        offered = args.caps.split(",")
        capabilities = {"loadSession": "load" in offered}
        capabilities["sessionCapabilities"] = {name: {} for name in ("close", "resume", "list") if name in offered}
        capabilities["mcpCapabilities"] = {"http": "http" in offered}
        capabilities["promptCapabilities"] = {"image": "image" in offered, "embeddedContext": "context" in offered}
        methods = [{"id": "key", "name": "A key"}] if args.auth else []
        send(id=id, result={"protocolVersion": args.version, "agentCapabilities": capabilities, "authMethods": methods})
    elif method == "authenticate":
        signed_in = True
        send(id=id, result={})
    elif method == "session/new" and not signed_in:
        send(id=id, error={"code": -32000, "message": "Authentication required"})
    elif method == "session/new":
        session = f"s-{os.getpid()}-{len(sessions)}"
        sessions[session] = []
        tool_servers[session] = params["mcpServers"]
        with open(LEDGER, "a", encoding="utf-8") as ledger:
            ledger.write(session + "\n")
        threading.Thread(target=make_session, args=(id, session), daemon=True).start()
    elif method in ("session/load", "session/resume"):
        session = params["sessionId"]
        if session.startswith("lost"):
            send(id=id, error={"code": -32603, "message": "Internal error", "data": {"details": "no such thing"}})
            return
        sessions[session] = ["earlier"]
        tool_servers[session] = params["mcpServers"]
        if method == "session/load":
            say(session, "what was said earlier")
            say(session, "earlier", "user_message_chunk")
            announce(session, "of-the-past")
        open_session(id, session)
    elif method == "session/list":
        send(id=id, result=page(params.get("cursor")))
    elif method == "session/set_config_option" and args.offers == "options":
        chosen[params["configId"]] = params["value"]
        send(id=id, result={"configOptions": config_options()})
    elif method == "session/set_mode" and args.offers == "modes":
        chosen["how"] = params["modeId"]
        send(id=id, result={})
    elif method == "session/prompt":
        turns[params["sessionId"]] = cancelled = threading.Event()
        text = params["prompt"][0]["text"]
        threading.Thread(target=run_turn, args=(id, params["sessionId"], text, cancelled), daemon=True).start()
    elif method == "session/cancel":
        turns.get(params["sessionId"], threading.Event()).set()
    elif method == "session/close" and not args.stubborn:
        send(id=id, result={})
    elif id is not None:
        send(id=id, error={"code": -32601, "message": "Method not found"})


def main():
    if args.exit is not None:
        sys.stderr.write("it would not start\n")
        sys.exit(args.exit)
    if args.die is not None:
        die(args.die)
    signal.signal(signal.SIGTERM, lambda *_: None if args.stubborn else os._exit(143))
    if args.children:
        children()
    turns = {}
    for line in sys.stdin:
        if args.log:
            with open(args.log, "a", encoding="utf-8") as log:
                log.write(line)
        handle(json.loads(line), turns)
    while args.stubborn:
        time.sleep(1000)


main()
