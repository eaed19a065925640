"""Request bodies: JSON objects, read with a limit and taken strictly."""

from __future__ import annotations

import asyncio
import json
import math
from typing import Any, NoReturn

from starlette.requests import Request

from batchd_api.errors import BodyTooLarge, Invalid

MAX_NUMBER_LENGTH = 100
MAX_STRING_LENGTH = 256 * 1024
MAX_ENTRIES = 1000  # of one list or object
# A client that is cut off while it sends sees a broken connection, not our answer: hear out what is bearable.
MAX_HEARD_OUT_BYTES = 16 * 1024 * 1024
BODY_SECONDS = 60.0


async def read_body(request: Request, limit_bytes: int, *, limit_seconds: float = BODY_SECONDS) -> bytes:
    """The whole body, counted while it comes. Never more than the limit is kept, nor waited for longer."""
    try:
        async with asyncio.timeout(limit_seconds):
            return await _read(request, limit_bytes)
    except TimeoutError:
        raise Invalid(f"The request body did not come within {limit_seconds:g} seconds.") from None


async def _read(request: Request, limit_bytes: int) -> bytes:
    kept, size = bytearray(), 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= limit_bytes:
            kept += chunk
        elif size > MAX_HEARD_OUT_BYTES:
            break
    if size > limit_bytes:
        raise BodyTooLarge(limit_bytes)
    return bytes(kept)


def parse_object(body: bytes) -> dict[str, Any]:
    """A JSON object; anything else is Invalid, with a sentence that says where."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Invalid("The request body is not UTF-8 text.") from None
    if not text.strip():
        raise Invalid("The request has no body; a JSON object is expected.")
    try:
        value = _decoder.decode(text)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise Invalid(f"The request body is not JSON: {error.msg} at {place}.") from None
    except RecursionError:
        raise Invalid("The request body is nested too deeply.") from None
    if not isinstance(value, dict):
        raise Invalid("The request body must be a JSON object.")
    _check_sizes(value)
    return value


def _check_sizes(body: dict[str, Any]) -> None:
    left: list[Any] = [body]
    while left:
        value = left.pop()
        if isinstance(value, str) and len(value) > MAX_STRING_LENGTH:
            raise Invalid(f"The request body has a string of more than {MAX_STRING_LENGTH} characters.")
        if isinstance(value, list | dict):
            if len(value) > MAX_ENTRIES:
                raise Invalid(f"The request body has a list or object of more than {MAX_ENTRIES} entries.")
            left += value.values() if isinstance(value, dict) else value


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise Invalid(f'The request body has the key "{twice[:100]}" twice.')
    return found


def _no_constant(word: str) -> NoReturn:
    raise Invalid(f"The request body has {word}, which is no JSON number.")


def _integer(digits: str) -> int:
    if len(digits) > MAX_NUMBER_LENGTH + 1:
        raise Invalid("The request body has a number that is too large.")
    return int(digits)


def _float(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise Invalid("The request body has a number that is too large.")
    return value


_decoder = json.JSONDecoder(
    object_pairs_hook=_no_duplicates, parse_constant=_no_constant, parse_int=_integer, parse_float=_float
)
