"""The HTTP client for an endpoint, which is somebody else's machine; it needs the optional extra `llm`.

The package `openai` words requests and repeats them; what leaves this machine and what is read of an answer
is decided here. Requests that fail for good are an `OpenAIError`, which the package does not repeat.
"""

import asyncio
from contextlib import aclosing
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpx2
from openai import DefaultAsyncHttpxClient, OpenAIError

from fpo_jax.experiments.judging.access import is_loopback

MOST_BYTES = 2**22
"""Bytes that are read of a reply."""
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
    """A client with one clock for an attempt and a cap on an answer, that follows and keeps nothing.

    Proxies and certificates are those of the environment, as usual, but a loopback host has no proxy.
    """

    def __init__(self, host: str, secret: str, seconds: float):
        self.secret, self.seconds = secret, seconds
        no_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
        address = f"[{host}]" if ":" in host else host
        direct = {f"all://{address}": None} if is_loopback(host) else None
        super().__init__(timeout=seconds, follow_redirects=False, cookies=no_cookies, mounts=direct)

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """Send a request, and return the answer with its whole body, as it came.

        Raises:
            httpx2.ReadTimeout: when it is not there in time, from the first byte sent to the last one read.
            OpenAIError: a redirect, or a reply that is encoded or too long.
        """
        self._strip(request)
        try:
            async with asyncio.timeout(self.seconds):
                response = await super().send(
                    request, **options | {"stream": True, "follow_redirects": False}
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

    def _strip(self, request: httpx2.Request) -> None:
        """Leave in a request what its host may see: the key that was named, and no other."""
        if request.url.scheme != "https" or request.url.host != ACCOUNTS:
            for name in {*request.headers} - SENT:
                del request.headers[name]
        request.headers["accept-encoding"] = "identity"
        request.headers.pop("authorization", None)
        if self.secret:
            request.headers["authorization"] = f"Bearer {self.secret}"


async def _body(response: httpx2.Response) -> bytes:
    """Return the body of an answer; of one that reports a failure, its beginning."""
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
