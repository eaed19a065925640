"""Making what jobs and users wrote safe to store: whole texts, literal parameters, few log records."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from batchd_flows.orchestrator_records import LogBlock

RECORD_CHARACTERS = 64 * 1024  # 20 records of this size take 0.3 s, the same in lines about 70 times as long
REQUEST_CHARACTERS = 1_000_000
EVALUATED_KEY = "__prefect_kind"


def storable(text: str) -> str:
    """Without what JSON (lone surrogates) or PostgreSQL (NUL) cannot hold."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")


def literal_parameters(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters that arrive as they are: Prefect evaluates objects with a `__prefect_kind` (jinja!)."""
    return {storable(name): _literal(_storable_value(value)) for name, value in parameters.items()}


def log_records(blocks: Sequence[LogBlock]) -> Iterator[LogBlock]:
    """The same text in as few records as its levels and the size of a record allow."""
    current: LogBlock | None = None
    for block in blocks:
        for piece in _pieces(storable(block.text)):
            if current is not None and _fits(current, block, piece):
                current = replace(current, text=f"{current.text}\n{piece}")
                continue
            if current is not None:
                yield current
            current = replace(block, text=piece)
    if current is not None:
        yield current


def requests_of(records: Iterator[LogBlock]) -> Iterator[list[LogBlock]]:
    batch: list[LogBlock] = []
    size = 0
    for record in records:
        if batch and size + len(record.text) > REQUEST_CHARACTERS:
            yield batch
            batch, size = [], 0
        batch.append(record)
        size += len(record.text)
    if batch:
        yield batch


def _literal(value: Any) -> Any:
    if not _is_evaluated(value):
        return value
    # What comes out of Prefect's own JSON reader is not looked at again.
    return {EVALUATED_KEY: "json", "value": json.dumps(value)}


def _is_evaluated(value: Any) -> bool:
    if isinstance(value, Mapping):
        return EVALUATED_KEY in value or any(_is_evaluated(inner) for inner in value.values())
    return isinstance(value, list | tuple) and any(_is_evaluated(inner) for inner in value)


def _storable_value(value: Any) -> Any:
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, Mapping):
        return {storable(str(name)): _storable_value(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_storable_value(inner) for inner in value]
    return value


def _fits(current: LogBlock, block: LogBlock, piece: str) -> bool:
    return current.level == block.level and len(current.text) + len(piece) < RECORD_CHARACTERS


def _pieces(text: str) -> Iterator[str]:
    """The text in parts of a record's size, cut at line ends where there are any."""
    text = text.removesuffix("\n")
    while len(text) > RECORD_CHARACTERS:
        cut = text.rfind("\n", 1, RECORD_CHARACTERS)
        if cut == -1:
            yield text[:RECORD_CHARACTERS]
            text = text[RECORD_CHARACTERS:]
        else:
            yield text[:cut]
            text = text[cut + 1 :]
    yield text
