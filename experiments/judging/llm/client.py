"""The HTTP client for an endpoint, which is somebody else's machine; it needs the optional extra `llm`.

The package `openai` makes and repeats requests; this module decides what leaves the machine and how much of
an answer is read. A final failure is an `OpenAIError`, which the package does not repeat.
"""

import asyncio
from contextlib import aclosing
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpx2
from openai import DefaultAsyncHttpxClient, OpenAIError

from fpo_jax.experiments.judging.access import is_loopback

MOST_BYTES = 2**22
"""Maximum bytes to read from a reply."""
_MOST_OF_FAILURES = 2**16
ACCOUNTS = "api.openai.com"
"""The one host to which the package's own headers go: organization, project, custom headers, platform."""
SENT = {
    "accept",
    "accept-encoding",
    "authorization",
    "connection",
    "content-length",
    "content-type",
    "host",
    "idempotency-key",
    "user-agent",
}
"""Headers that go to every host."""
_OF_BODIES = {"content-encoding", "content-length", "transfer-encoding"}


class BoundedClient(DefaultAsyncHttpxClient):
    """A client with a time limit for an attempt and a size limit for an answer; no redirects, no cookies.

    Each request has its own connection, so that surplus data from a server cannot answer another question.
    Proxies and certificates come from the environment as usual, but a loopback host has no proxy.
    """

    def __init__(self, host: str, secret: str, seconds: float):
        self.secret, self.seconds = secret, seconds
        no_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
        address = f"[{host}]" if ":" in host else host
        direct = {f"all://{address}": None} if is_loopback(host) else None
        limits = httpx2.Limits(max_keepalive_connections=0)
        super().__init__(
            timeout=seconds, limits=limits, follow_redirects=False, cookies=no_cookies, mounts=direct
        )

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """Send a request, and return the answer with its whole body.

        Raises:
            httpx2.ReadTimeout: when it takes too long, from the first byte sent to the last one read.
            OpenAIError: a redirect, or a reply that is encoded or too long.
        """
        stripped = self._stripped(request)
        try:
            async with asyncio.timeout(self.seconds):
                response = await super().send(
                    stripped, **options | {"stream": True, "follow_redirects": False}
                )
                try:
                    content = await _body(response)
                finally:
                    await response.aclose()
        except TimeoutError as error:
            message = f"no whole answer within {self.seconds:g} s"
            raise httpx2.ReadTimeout(message, request=request) from error
        headers = [(name, x) for name, x in response.headers.multi_items() if name not in _OF_BODIES]
        return httpx2.Response(response.status_code, headers=headers, content=content, request=request)

    def _stripped(self, request: httpx2.Request) -> httpx2.Request:
        """Return a request with the named key and no other secrets."""
        account = request.url.scheme == "https" and request.url.host == ACCOUNTS
        kept = [(name, x) for name, x in request.headers.multi_items() if account or name in SENT]
        own = {"accept-encoding": "identity"} | (
            {"authorization": f"Bearer {self.secret}"} if self.secret else {}
        )
        headers = [(name, x) for name, x in kept if name not in ("accept-encoding", "authorization")]
        return httpx2.Request(
            request.method,
            request.url,
            headers=[*headers, *own.items()],
            stream=request.stream,
            extensions=request.extensions,
        )


async def _body(response: httpx2.Response) -> bytes:
    """Return the body of an answer, or the beginning of the body for a failure."""
    if response.is_redirect:
        to = response.next_request.url.host if response.next_request else "an address that it does not name"
        raise OpenAIError(f"HTTP {response.status_code}: a redirect to {to}, which is not followed")
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        if response.is_success:
            raise OpenAIError("a reply in an encoding that was not asked for")
        return b""
    content, most = bytearray(), MOST_BYTES if response.is_success else _MOST_OF_FAILURES
    async with aclosing(response.aiter_raw()) as parts:
        async for part in parts:
            content += part
            if len(content) > most:
                break
    if len(content) > most and response.is_success:
        raise OpenAIError(f"a reply of more than {most} bytes")
    return bytes(content[:most])
