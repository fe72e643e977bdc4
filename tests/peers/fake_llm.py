#!/usr/bin/env python3
"""A language model that is none: it speaks Anthropic's and OpenAI's HTTP APIs on 127.0.0.1 and answers by rules. Only the standard
library is used.

Words in the last message of the user say what it does:

  SLOW      forty small pieces, half a second apart
  SILENT    nothing for a long time
  TOOL      it calls the shell tool that it is offered, to make a file
  MCPCALL   it calls the tool named `post` of the MCP server `slack`
  FULL      it answers that it can hardly remember more, so that its agent shortens the history
  FAIL401   it answers with this HTTP status (also 400, 429, 500)

anything else is repeated. After a tool's result it always answers with text. It prints `port: N` when it listens.
"""

import argparse
import json
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

arguments = argparse.ArgumentParser()
arguments.add_argument("--port", type=int, default=0)
args = arguments.parse_args()

SHELLS = ["bash", "shell", "run_shell_command", "execute_command"]
POSTS = ["slack_post", "mcp__slack__post"]


def words_of(content):
    """The text of a message, which may be given in blocks."""
    if isinstance(content, str):
        return content
    blocks = content if isinstance(content, list) else []
    return " ".join(block.get("text") or "" for block in blocks if isinstance(block, dict))


def is_result(message):
    """Whether a message holds a tool's result."""
    content = message.get("content")
    blocks = content if isinstance(content, list) else []
    return message.get("role") == "tool" or any(block.get("type") == "tool_result" for block in blocks)


class Request:
    """What a model is asked, in either of the two forms."""

    def __init__(self, body):
        messages = body.get("messages") or []
        said = [words_of(m.get("content")) for m in messages if m.get("role") == "user"]
        self.said = next((text for text in reversed(said) if text.strip()), "")
        self.model = body.get("model")
        self.streams = bool(body.get("stream"))
        self.has_result = bool(messages) and is_result(messages[-1])
        tools = [tool.get("function", tool).get("name", "") for tool in body.get("tools") or []]
        self.tools = {name.lower(): name for name in tools}

    def failure(self):
        return next((code for code in (400, 401, 429, 500) if f"FAIL{code}" in self.said), None)

    def call(self):
        """The tool to call, and with what; None when it is to answer."""
        if self.has_result:
            return None
        for word, names, given in [
            ("MCPCALL", POSTS, {"text": "hello from agent"}),
            ("TOOL", SHELLS, {"command": "touch made_by_tool", "description": "Make a file"}),
        ]:
            tool = next((self.tools[name] for name in names if name in self.tools), None)
            if word in self.said and tool:
                return tool, given
        return None

    def pieces(self):
        if "SILENT" in self.said and not self.has_result:
            time.sleep(1000)
        if "SLOW" in self.said and not self.has_result:
            for n in range(40):
                time.sleep(0.5)
                yield f"tick {n} "
            return
        answer = "You said: " + self.said.strip()[-60:]
        yield from (answer[at : at + 12] for at in range(0, len(answer), 12))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.answer(200, {"object": "list", "data": [{"id": "mock-1", "object": "model"}]})

    def do_HEAD(self):
        self.answer(200, {})

    def do_POST(self):
        request = Request(json.loads(self.body() or b"{}"))
        path = self.path.split("?")[0]
        try:
            if request.failure():
                code = request.failure()
                self.answer(code, {"type": "error", "error": {"type": "api_error", "message": f"mock {code}"}})
            elif path.endswith("/count_tokens"):
                self.answer(200, {"input_tokens": 10})
            elif path.endswith("/messages"):
                self.anthropic(request)
            elif path.endswith("/chat/completions"):
                self.openai(request)
            else:
                self.answer(404, {"error": {"message": f"no such path: {path}"}})
        except (BrokenPipeError, ConnectionResetError):
            pass

    def body(self):
        if "chunked" not in (self.headers.get("transfer-encoding") or ""):
            return self.rfile.read(int(self.headers.get("content-length") or 0))
        body = b""
        while size := int(self.rfile.readline().strip() or b"0", 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def answer(self, code, value):
        body = json.dumps(value).encode()
        self.send_response(code)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def stream(self):
        self.close_connection = True
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()

    def event(self, value, name=None):
        head = f"event: {name}\n" if name else ""
        data = value if isinstance(value, str) else json.dumps(value)
        self.wfile.write(f"{head}data: {data}\n\n".encode())
        self.wfile.flush()

    def anthropic(self, request):
        usage = {"input_tokens": 10, "output_tokens": 1}
        message = {"id": "msg_1", "type": "message", "role": "assistant", "model": request.model, "usage": usage}
        if not request.streams:
            content = [{"type": "text", "text": "".join(request.pieces())}]
            return self.answer(200, {**message, "content": content, "stop_reason": "end_turn"})
        self.stream()

        def send(kind, **fields):
            self.event({"type": kind, **fields}, kind)

        def block(index, start, deltas):
            send("content_block_start", index=index, content_block=start)
            for delta in deltas:
                send("content_block_delta", index=index, delta=delta)
            send("content_block_stop", index=index)

        send("message_start", message={**message, "content": [], "stop_reason": None})
        call = request.call()
        pieces = ["Let me see. "] if call else request.pieces()
        block(0, {"type": "text", "text": ""}, ({"type": "text_delta", "text": piece} for piece in pieces))
        if call:
            tool, given = call
            start = {"type": "tool_use", "id": f"toolu_{time.time_ns()}", "name": tool, "input": {}}
            block(1, start, [{"type": "input_json_delta", "partial_json": json.dumps(given)}])
        delta = {"stop_reason": "tool_use" if call else "end_turn", "stop_sequence": None}
        send("message_delta", delta=delta, usage={"output_tokens": 20})
        send("message_stop")

    def openai(self, request):
        used = 1_000_000 if "FULL" in request.said else 10
        usage = {"prompt_tokens": used, "completion_tokens": 5, "total_tokens": used + 5}
        head = {"id": "c1", "created": int(time.time()), "model": request.model}
        if not request.streams:
            message = {"role": "assistant", "content": "".join(request.pieces())}
            choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
            return self.answer(200, {**head, "object": "chat.completion", "choices": choices, "usage": usage})
        self.stream()

        def send(delta, finish=None, **fields):
            choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
            self.event({**head, "object": "chat.completion.chunk", "choices": choices, **fields})

        send({"role": "assistant", "content": ""})
        call = request.call()
        if call:
            send({"content": "Let me see. "})
            tool, given = call
            function = {"name": tool, "arguments": json.dumps(given)}
            calls = [{"index": 0, "id": f"call_{time.time_ns()}", "type": "function", "function": function}]
            send({"tool_calls": calls})
        else:
            for piece in request.pieces():
                send({"content": piece})
        send({}, "tool_calls" if call else "stop", usage=usage)
        self.event("[DONE]")


server = ThreadingHTTPServer(("127.0.0.1", args.port), Handler)
server.daemon_threads = True
print(f"port: {server.server_address[1]}", flush=True)
server.serve_forever()
