"""Language models for tests: a server that says what a test wants, and a tiny model with its real server."""

import contextlib
import json
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import urllib3

from tests.s3 import free_port

RESET = 0  # in place of a status: the connection is cut in the middle of the answer
Answer = tuple[int, Any]  # status, what stands in the body
WORDS = ["a", "the", "red", "green", "blue", "yellow", "black", "box", "small", "large", "round", "bright", "white"]


def said(text: str | None, reason: str = "stop", **message: Any) -> Answer:
    """A chat completion."""
    return 200, {"choices": [{"message": {"content": text, **message}, "finish_reason": reason}]}


def caption(body: dict[str, Any]) -> str:
    """The text of a prompt that ends with it, as the project's template has it."""
    return str(body["messages"][0]["content"]).rsplit("Caption: ", 1)[-1]


class Server(ThreadingHTTPServer):
    """Answers POST /v1/chat/completions as `answer` says; remembers what it was asked."""

    daemon_threads = True

    def __init__(self, answer: Callable[[dict[str, Any]], Answer]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer = answer
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []

    @property
    def endpoint(self) -> str:
        """As enrich.endpoint takes it."""
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.bodies.append(body)
        self.server.headers.append(dict(self.headers))
        status, content = self.server.answer(body)
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status or 200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if status == RESET:
            self.wfile.write(data[: len(data) // 2])
            self.wfile.flush()
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            self.close_connection = True
        else:
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def serving(answer: Callable[[dict[str, Any]], Answer]) -> Iterator[Server]:
    """A server on loopback while the block runs."""
    with Server(answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def folder(place: Path) -> Path:
    """A random Llama of a few words, which ends a sentence after about as many, with its tokenizer."""
    import torch
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    vocabulary = {word: i for i, word in enumerate(["<pad>", "<end>", "<unk>", *WORDS])}
    split = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    split.pre_tokenizer = Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=split,
        pad_token="<pad>",
        eos_token="<end>",
        unk_token="<unk>",
        chat_template="{% for m in messages %}{{ m['content'] }} {% endfor %}",
    )
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=512,
        bos_token_id=None,
        pad_token_id=0,
        eos_token_id=1,
    )
    model = LlamaForCausalLM(config)
    own = model.generation_config
    own.do_sample, own.min_new_tokens, own.suppress_tokens = True, 1, [0, 2]  # a word at least, and known ones only
    model.save_pretrained(place)
    tokenizer.save_pretrained(place)
    return place


@contextlib.contextmanager
def transformers_serve(model: Path) -> Iterator[str]:
    """The endpoint of `transformers serve` with a model, while the block runs."""
    port = free_port()
    command = [str(Path(sys.executable).with_name("transformers")), "serve", "--host", "127.0.0.1", "--port", str(port)]
    with subprocess.Popen([*command, "--device", "cpu", str(model)], stderr=subprocess.DEVNULL) as process:
        try:
            _wait(process, f"http://127.0.0.1:{port}/health")
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.kill()


def _wait(process: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + 180
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(urllib3.exceptions.HTTPError):
            if urllib3.request("GET", url, retries=False, timeout=1).status == 200:
                return
        time.sleep(0.1)
    raise RuntimeError("transformers serve does not start")
