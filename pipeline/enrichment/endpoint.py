"""A language model behind an OpenAI-compatible server (vLLM, llama.cpp, transformers serve, …): POST /chat/completions.

Connections are pooled, `concurrency` requests are under way at a time. What may pass (no connection, a cut one, no
answer, 429, 5xx) is tried again, waiting longer each time, or as long as the server asks for, up to MOST_WAIT seconds.
The key comes from the variable OPENAI_API_KEY of the process that asks.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Any

import urllib3
from urllib3.exceptions import HTTPError

from pipeline.enrichment import Ask, RefusalError, usable
from pipeline.language import Enrich
from pipeline.patience import StorageError
from pipeline.settings import RunError

BUSY = (429, 500, 502, 503, 504)  # and others that may be other ones next time
OWN = (400, 413, 422)  # what a server says of one prompt
WAIT, MOST_WAIT = 0.5, 60.0  # seconds between two tries: doubled each time, up to the second


class Endpoint:
    """Callable as `Language` is. See the module."""

    def __init__(self, enrich: Enrich) -> None:
        self.settings = enrich
        self.url = f"{(enrich.endpoint or '').rstrip('/')}/chat/completions"
        retries = urllib3.Retry(
            total=enrich.tries - 1,
            redirect=False,
            allowed_methods=None,  # asking again changes nothing
            status_forcelist=BUSY,
            backoff_factor=WAIT,
            backoff_max=MOST_WAIT,
            backoff_jitter=WAIT,
            retry_after_max=int(MOST_WAIT),
            raise_on_status=False,
        )
        known = os.environ.get("OPENAI_API_KEY")
        headers = {"Authorization": f"Bearer {known}"} if known else {}
        self.pool = urllib3.PoolManager(
            maxsize=enrich.concurrency, retries=retries, timeout=enrich.timeout, headers=headers
        )

    def __call__(self, asks: Sequence[Ask]) -> list[str | RefusalError]:
        """See `Language`. The first fault of the server ends the others' waiting in line."""
        with ThreadPoolExecutor(self.settings.concurrency) as threads:
            return list(threads.map(self._ask, asks))

    def _ask(self, ask: Ask) -> str | RefusalError:
        enrich = self.settings
        body = {
            "model": enrich.model,
            "messages": [{"role": "user", "content": ask.prompt}],
            "temperature": enrich.temperature,
            "max_tokens": enrich.max_tokens,
            "seed": ask.seed,
            **enrich.options,
        }
        try:
            answer = self.pool.request("POST", self.url, json=body)
        except HTTPError as error:
            reason = getattr(error, "reason", None) or error  # of the last try
            raise StorageError(f"{self.url} does not answer, {enrich.tries} times: {reason}") from None
        if answer.status in OWN:
            return RefusalError(f"{answer.status}: {_said(answer)}")
        if answer.status in BUSY:
            raise StorageError(f"{self.url} answers {answer.status}, {enrich.tries} times: {_said(answer)}")
        if answer.status != HTTPStatus.OK:
            hint = "look at enrich.endpoint, enrich.model and OPENAI_API_KEY"
            raise RunError(f"{self.url} answers {answer.status} ({hint}): {_said(answer)}")
        return self._read(answer)

    def _read(self, answer: urllib3.BaseHTTPResponse) -> str | RefusalError:
        """The text of an answer; one that was cut, or that is none, is refused."""
        try:
            choice: dict[str, Any] = answer.json()["choices"][0]
            message, reason = choice["message"], choice.get("finish_reason")
        except (ValueError, LookupError, TypeError):
            raise RunError(f"{self.url} answers what is no chat completion: {_said(answer)}") from None
        if reason == "length":
            return RefusalError(f"an answer of more than enrich.max_tokens={self.settings.max_tokens} tokens")
        if reason == "content_filter" or message.get("refusal"):
            return RefusalError(f"the model declines: {message.get('refusal') or reason}")
        return usable(message.get("content") or "")


def _said(answer: urllib3.BaseHTTPResponse) -> str:
    """What a server says, in one short line."""
    return " ".join(answer.data.decode("utf-8", "replace").split())[:300]
