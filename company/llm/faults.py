"""What an exception from the chat client means: one `EndpointError`, retryable or not, with a way out.

Who tries again: `client.py`. Text from a server is shown cut, on one line, and never with the key in it.
"""

from __future__ import annotations

import math
import re
import ssl
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime

from company.credentials import hide
from company.endpoints import Rung
from company.errors import EndpointError
from company.llm.pacing import reset_after

_RETRYABLE = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 507, 520, 521, 522, 523, 524, 529})
_FORM = re.compile(
    r"response_?format|json_?(schema|object|mode)|schema|grammar|\btools?\b|tool_?(choice|call|use)", re.IGNORECASE
)
"""What an endpoint speaks of that does not take the way in which a reply is asked for."""
_REFUSES = re.compile(
    r"(not|n't) (be )?(support|accept|allow|permit|recogni)|unsupported|unrecogni|unknown|unexpected|deprecated|may only",
    re.IGNORECASE,
)
_TOO_LONG = re.compile(r"context.{0,20}(length|size|window)|(prompt|input).{0,20}too (long|large)", re.IGNORECASE)
_FILTERS = re.compile(
    r"content.{0,3}(filter|management policy)|responsible.{0,3}ai|safety (system|filter)", re.IGNORECASE
)
_FIELDS = re.compile(r"\b(temperature|max_tokens|max_completion_tokens|random_seed|seed|stream_options)\b")
_SETTINGS = {
    "temperature": "temperature = false",
    "max_tokens": 'max_tokens_as = "max_completion_tokens"',
    "max_completion_tokens": 'max_tokens_as = "max_tokens"',
    "seed": 'seed_as = ""',
    "random_seed": 'seed_as = ""',
    "stream_options": "stream_options = false",
}
"""By the first field of a request that a refusal names: what is set so that it is not sent."""
_EXCERPT = 300
_NO_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG")


@dataclass(frozen=True)
class Where:
    """What was asked and how the operator names it, for places and hints."""

    url: str
    """The endpoint's address without user, password and query."""
    name: str
    """Provider and model."""
    key_name: str
    """Where the key is set, for instance ``OPENAI_API_KEY``."""
    url_name: str
    """Where the address is set, for instance ``OPENAI_BASE_URL``."""
    secrets: tuple[str, ...] = field(repr=False)
    """What no message may hold, the key above all."""
    rung: Rung | None = None
    """How a reply that fits a schema was asked for; None where the request held nothing about that."""


def from_status(status: int, text: str, headers: Mapping[str, str], where: Where) -> EndpointError:
    """An HTTP status of 300 or more, or an error inside a stream that names one. `text` is safe to show."""
    retryable = status in _RETRYABLE
    provider, _, model = where.name.partition(":")
    hint, refused = "", False
    too_long = status == 413 or bool(_TOO_LONG.search(text))
    filtered = status in (400, 422) and bool(_FILTERS.search(text))
    if status in (401, 403):
        hint = f"set {where.key_name} to a key that this endpoint accepts"
    elif status == 404:
        hint = f"check that the model is called `{model}` there, and {where.url_name}, which usually ends in /v1"
    elif status == 429 and re.search(r"insufficient_quota|billing|credit", text, re.IGNORECASE):
        retryable, hint = False, "the account has no credit left; mend that, then run `company resume`"
    elif status == 429:
        hint = "the endpoint asks for a pause; run `company resume` later"
    elif 300 <= status < 400:
        hint = f"the endpoint sends us elsewhere; set {where.url_name} to the address that answers itself"
    elif too_long:
        hint = "the prompt is too long for this model: use a larger context, or a procedure with smaller steps"
    elif filtered:
        hint = (
            "a filter of the service takes offence at the prompt: say the requirement otherwise, or ask another service"
        )
    elif refused := bool(where.rung) and status in (400, 422) and bool(_FORM.search(text)):
        hint = f'`structured = "{where.rung}"` is set for it: without that, the best that it takes is found'
    elif status in (400, 422) and _REFUSES.search(text) and (named := _FIELDS.search(text)):
        hint = f"set `{_SETTINGS[named[1]]}` under [providers.{provider}] in company.toml"
    elif retryable:
        hint = "the endpoint is in trouble; run `company resume` later"
    return EndpointError(
        f"HTTP {status}: {text}" if text else f"HTTP {status}",
        retryable=retryable,
        retry_after=retry_after(headers) or (reset_after(headers) if status in (429, 503) else None),
        place=where.url,
        hint=hint,
        refused=refused,
        is_of_request=status < 500 and (too_long or filtered),
    )


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server asks us to wait; None when it says nothing that can be understood."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        value = headers.get(name, "").strip()
        try:
            seconds = float(value) * unit
        except ValueError:
            continue
        if math.isfinite(seconds):
            return max(0.0, seconds)
    try:
        moment = parsedate_to_datetime(headers.get("retry-after", ""))
        return max(0.0, moment.timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None


def chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what caused it, outermost first."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def excerpt(text: str | bytes, secrets: tuple[str, ...]) -> str:
    """Foreign text made fit for a message: one line, printable, short, without the secrets."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    text = " ".join("".join(letter if letter.isprintable() else " " for letter in hide(text, secrets)).split())
    return text if len(text) <= _EXCERPT else text[:_EXCERPT] + " …"


def classify(error: Exception, head: bytes, where: Where) -> EndpointError:
    """What went wrong with one request, from the exception and the first bytes of the answer."""
    import openai

    for cause in chain(error):
        if isinstance(cause, EndpointError):
            cause.place = where.url
            return cause
    if isinstance(error, openai.APIStatusError):
        text = excerpt(_server_text(error.body) or head, where.secrets)
        return from_status(error.status_code, text, error.response.headers, where)
    if isinstance(error, openai.APIConnectionError):
        return _connection(list(chain(error)), where)
    if isinstance(error, openai.APIError):
        code = error.body.get("code") if isinstance(error.body, dict) else None
        text = excerpt(_server_text(error.body) or error.message, where.secrets)
        return from_status(code if isinstance(code, int) and 300 <= code < 600 else 500, text, {}, where)
    shown = excerpt(head, where.secrets)
    return EndpointError(
        f"the answer is no chat completion: {shown}" if shown else "the answer is empty",
        retryable=True,
        place=where.url,
        hint=f"see what answers there; {where.url_name} usually ends in /v1",
    )


def _connection(causes: list[BaseException], where: Where) -> EndpointError:
    import httpx

    detail = next((excerpt(str(cause), where.secrets) for cause in reversed(causes) if str(cause)), "")
    tls = next((cause for cause in causes if isinstance(cause, ssl.SSLError)), None)
    if isinstance(tls, ssl.SSLCertVerificationError):
        return EndpointError(
            f"its certificate is not trusted: {excerpt(tls.verify_message, where.secrets)}",
            place=where.url,
            hint=f"check {where.url_name}; for an authority of your own set SSL_CERT_FILE to its certificate",
        )
    if tls and tls.reason in _NO_TLS:
        hint = f"it may speak plain HTTP: write http:// in {where.url_name}"
        return EndpointError("what answers there speaks no TLS", place=where.url, hint=hint)
    if any(isinstance(cause, httpx.ProxyError) for cause in causes):
        message, hint = f"the proxy does not let us through: {detail}", "check HTTPS_PROXY, or ALL_PROXY"
    elif any(isinstance(cause, httpx.ConnectError | httpx.ConnectTimeout) for cause in causes):
        message, hint = f"cannot connect: {detail}", f"start the server, or set {where.url_name} to where it is"
    elif any(isinstance(cause, httpx.UnsupportedProtocol | httpx.LocalProtocolError) for cause in causes):
        return EndpointError(f"cannot be asked: {detail}", place=where.url, hint=f"check {where.url_name}")
    elif any(isinstance(cause, httpx.TimeoutException) for cause in causes):
        message, hint = "the endpoint went silent", "it may be overloaded; run `company resume` to go on"
    elif "illegal status line" in detail:
        message, hint = "the answer is no HTTP", f"if it speaks TLS, write https:// in {where.url_name}"
    else:
        message, hint = f"the connection broke: {detail}", "run `company resume` to go on"
    return EndpointError(message, retryable=True, place=where.url, hint=hint)


def _server_text(body: object) -> str:
    """The message inside a JSON error body, whatever shape the server gives it."""
    while isinstance(body, dict):
        code = body.get("code") or body.get("type")
        inner = body.get("error") or body.get("message") or body.get("detail")
        if isinstance(inner, str):
            return f"{inner} ({code})" if isinstance(code, str) else inner
        body = inner
    return body if isinstance(body, str) else ""
