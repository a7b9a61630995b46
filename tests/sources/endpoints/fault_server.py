"""A server on 127.0.0.1 that speaks the three protocols and misbehaves on demand; it keeps a log of what it was asked."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


def answer_to(prompt: str) -> str:
    """What a healthy server says."""
    return f"An answer to: {prompt}"


def chat_body(prompt: str) -> bytes:
    message = {"role": "assistant", "content": answer_to(prompt)}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return json.dumps({"object": "chat.completion", "model": "small-1", "choices": [choice]}).encode()


def text_body(prompt: str) -> bytes:
    choice = {"index": 0, "text": answer_to(prompt), "finish_reason": "stop", "logprobs": None}
    return json.dumps({"object": "text_completion", "model": "small-1", "choices": [choice]}).encode()


def message_body(prompt: str) -> bytes:
    content = [{"type": "text", "text": answer_to(prompt)}]
    made = {"type": "message", "role": "assistant", "model": "small-1", "content": content, "stop_reason": "end_turn"}
    return json.dumps(made).encode()


BODIES = {"/v1/chat/completions": chat_body, "/v1/completions": text_body, "/v1/messages": message_body}


def stream_pieces(prompt: str) -> list[bytes]:
    """The events of a chat stream, the last one [DONE]."""
    made: list[dict[str, Any]] = [{"delta": {"role": "assistant", "content": ""}}]
    made += [{"delta": {"content": word}} for word in answer_to(prompt).partition(" ")]
    made += [{"delta": {}, "finish_reason": "stop"}]
    chunks = [{"object": "chat.completion.chunk", "model": "small-1", "choices": [{"index": 0} | c]} for c in made]
    return [b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks] + [b"data: [DONE]\n\n"]


class Server:
    """How the server misbehaves, and what it saw. `faults`: for each prompt, how many of its first requests go wrong."""

    def __init__(self) -> None:
        self.url = ""
        self.misbehave: Callable[[Handler, str], None] = Handler.well
        self.faults: Callable[[str], int] = lambda _prompt: 0
        self.delay = 0.0
        self.asked: list[str] = []
        self.arrivals: list[float] = []
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.under_way = self.most_under_way = 0
        self.lock = threading.Lock()
        self.closing = threading.Event()

    @property
    def times(self) -> Counter[str]:
        """How often each prompt was asked."""
        return Counter(self.asked)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        state = self.server.state
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        prompt = body["messages"][-1]["content"] if "messages" in body else body["prompt"]
        with state.lock:
            state.asked.append(prompt)
            state.arrivals.append(time.monotonic())
            state.bodies.append(body)
            state.headers.append(dict(self.headers.items()))
            state.paths.append(self.path)
            faulty = state.times[prompt] <= state.faults(prompt)
            state.under_way += 1
            state.most_under_way = max(state.most_under_way, state.under_way)
        try:
            if state.delay:
                state.closing.wait(state.delay)
            (state.misbehave if faulty else Handler.well)(self, prompt)
        finally:
            with state.lock:
                state.under_way -= 1

    def say(self, status: int, body: bytes, kind: str = "application/json", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def begin(self, length: int | None, kind: str = "application/json") -> None:
        """Status and headers of a body that will not be what they promise."""
        self.send_response(200)
        self.send_header("Content-Type", kind)
        if length is not None:
            self.send_header("Content-Length", str(length))
        else:
            self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True

    def well(self, prompt: str) -> None:
        self.say(200, BODIES[self.path](prompt))


def too_many_with_seconds(handler: Handler, _prompt: str) -> None:
    handler.say(429, b'{"error": {"message": "slow down", "code": "rate_limit_exceeded"}}', Retry_After="1")


def too_many_with_a_date(handler: Handler, _prompt: str) -> None:
    until = format_datetime(datetime.now(UTC) + timedelta(seconds=1), usegmt=True)
    handler.say(429, b"{}", Retry_After=until)


def status(code: int) -> Callable[[Handler, str], None]:
    def respond(handler: Handler, _prompt: str) -> None:
        handler.say(code, b'{"error": {"type": "some_error", "message": "something went wrong"}}')

    return respond


def hangs(handler: Handler, _prompt: str) -> None:
    handler.server.state.closing.wait(5)
    handler.close_connection = True


def half_a_body(handler: Handler, prompt: str) -> None:
    body = chat_body(prompt)
    handler.begin(len(body))
    handler.wfile.write(body[: len(body) // 2])


def half_a_body_of_unknown_length(handler: Handler, prompt: str) -> None:
    body = chat_body(prompt)
    handler.begin(None)
    handler.wfile.write(body[: len(body) // 2])


def half_a_stream(handler: Handler, prompt: str) -> None:
    handler.begin(None, "text/event-stream")
    handler.wfile.write(b"".join(stream_pieces(prompt)[:2]))


def half_an_event(handler: Handler, prompt: str) -> None:
    handler.begin(None, "text/event-stream")
    handler.wfile.write(b"".join(stream_pieces(prompt)[:-1])[:-30])


def whole_stream(handler: Handler, prompt: str) -> None:
    handler.begin(None, "text/event-stream; charset=utf-8")
    for piece in stream_pieces(prompt):
        handler.wfile.write(piece)
        handler.wfile.flush()


def html(handler: Handler, _prompt: str) -> None:
    handler.say(200, b"<!doctype html><html><body>Please log in</body></html>", "text/html; charset=utf-8")


def wrong_json(handler: Handler, prompt: str) -> None:
    handler.say(200, chat_body(prompt)[:-1] + b",}")


def another_shape(handler: Handler, _prompt: str) -> None:
    handler.say(200, b'{"choices": [{"message": "a string where an object belongs"}]}')


def error_inside(handler: Handler, _prompt: str) -> None:
    handler.say(200, b'{"error": {"message": "the worker died", "code": 502}}')


def slow_drip(handler: Handler, prompt: str) -> None:
    body = chat_body(prompt)
    handler.begin(len(body))
    for byte in body:
        if handler.server.state.closing.wait(0.1):
            return
        try:
            handler.wfile.write(bytes([byte]))
            handler.wfile.flush()
        except OSError:
            return


def huge_body(handler: Handler, _prompt: str) -> None:
    handler.begin(None)
    try:
        for _ in range(64):
            handler.wfile.write(b" " * (1 << 16))
    except OSError:
        return


def closed_connection(handler: Handler, _prompt: str) -> None:
    """A reset: the connection is gone without a word."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.close_connection = True
    handler.connection.close()


def wrong_content_type(handler: Handler, prompt: str) -> None:
    handler.say(200, chat_body(prompt), "image/png")


def not_text(handler: Handler, _prompt: str) -> None:
    handler.say(200, bytes(range(256)), "application/octet-stream")


def redirect(handler: Handler, _prompt: str) -> None:
    handler.say(307, b"", Location="http://127.0.0.2:9/v1/chat/completions")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    state: Server

    def handle_error(self, *_: object) -> None:
        """A client that hangs up in the middle is what these tests are about."""


@contextmanager
def fault_server() -> Iterator[Server]:
    """The server while the context lasts; healthy until told otherwise."""
    state = Server()
    server = _Server(("127.0.0.1", 0), Handler)
    server.state = state
    state.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        state.closing.set()
        server.shutdown()
        server.server_close()
