"""Writes docs/reference/rest.md from the API's own description; with --check it only says whether that is due.

python docs/make_rest_reference.py
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from reference_page import written_or_checked

from batchd_api.facade import described_routes
from batchd_api.permissions import Access, Scope
from batchd_api.routes.table import ROUTES, Route

PAGE = Path(__file__).parent / "reference" / "rest.md"
SAID_OF_MANY = ("400", "401", "403", "413", "503", "507")
LONGEST = 100  # characters of an example on one line

INTRODUCTION = """\
# The REST interface

<!-- Written by docs/make_rest_reference.py from the API's description; do not edit. -->

`http://HOST:9681`, without a version in the path. The same as a document: `GET /openapi.json`; to be clicked through:
`GET /docs`. Bodies are JSON, whatever their Content-Type says, and so are answers. Every success is 200; an action that has
nothing to say answers `"done"`. An error is one sentence of plain text, or an RFC 9457 object for
`Accept: application/problem+json`. Times are UTC, with six digits of a second and `Z`. A login is HTTP basic, or `X-Auth-User`
from a proxy that `manager.trusted_proxies` names.

"""

WHO = {
    Scope.OPEN: "anybody",
    Scope.USER: "whoever is logged in",
    Scope.ATTEMPT: "whoever shows the execution's token, as `Authorization: Bearer TOKEN`",
    Scope.SCRAPE: "whoever is logged in; anybody with `metrics.prometheus: open`",
    Scope.ANY: "{} that is not tied to a queue",
    Scope.QUEUE: "{} for the queue",
    Scope.JOB: "{} for the job's queue",
    Scope.CREATE: "{} for queue, type and host",
    Scope.SELF: "that user, or {}",
}


def page() -> str:
    paths = described_routes().openapi()["paths"]
    parts = [INTRODUCTION, *codes_of_many(paths)]
    noun = ""
    for route in ROUTES:
        if (first := noun_of(route.path)) != noun:
            noun = first
            parts.append(f"## {noun}\n")
        parts.append(entry(route, paths[route.path][route.method.lower()]))
    return "\n".join(parts)


def noun_of(path: str) -> str:
    return "/" + path.split("/")[1]


def codes_of_many(paths: Mapping[str, Any]) -> Iterator[str]:
    yield "Codes that mean the same everywhere; those of one path alone stand there.\n"
    yield "| code | when |\n|---|---|"
    for code in SAID_OF_MANY:
        found = (
            one["responses"][code]
            for ways in paths.values()
            for one in ways.values()
            if code in one["responses"]
        )
        yield f"| {code} | {next(found)['description']} |"
    yield ""


def entry(route: Route, told: Mapping[str, Any]) -> str:
    lines = [f"### {route.method} {route.path}", "", f"For {who(route.access)}."]
    if said := told.get("description"):
        lines[-1] += f" {' '.join(said.split())}"
    lines += [*asked(told), *body(told), *answers(told)]
    return "\n".join(lines) + "\n"


def who(access: Access) -> str:
    right = f"`{access.right.value}`" if access.right else ""
    return WHO[access.scope].format(right)


def asked(told: Mapping[str, Any]) -> Iterator[str]:
    for one in told.get("parameters", ()):
        if one["in"] != "path":
            name = f"`?{one['name']}=`" if one["in"] == "query" else f"`{one['name']}:`"
            said = one.get("description") or ""
            yield f"\n- {name}{': ' + said if said else ''}"


def body(told: Mapping[str, Any]) -> Iterator[str]:
    if "requestBody" not in told:
        return
    content = told["requestBody"]["content"]["application/json"]
    schema = content["schema"]
    required = set(schema.get("required", ()))
    rows = [
        f"| `{name}`{' (must)' if name in required else ''} | {kind(one)} | {one.get('description', '')} |"
        for name, one in schema.get("properties", {}).items()
    ]
    yield "\nBody, such as " + f"`{json.dumps(content['example'], ensure_ascii=False)}`:\n"
    yield "| key | is | |\n|---|---|---|\n" + "\n".join(rows)


def kind(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    kinds = schema.get("type", "anything")
    words = kinds if isinstance(kinds, list) else [kinds]
    if schema.get("format") == "date-time":
        words = ["time" if word == "string" else word for word in words]
    return " or ".join(words)


def answers(told: Mapping[str, Any]) -> Iterator[str]:
    ((media, content),) = told["responses"]["200"]["content"].items()
    if "example" in content:
        text = json.dumps(content["example"], ensure_ascii=False)
        whole = text if len(text) <= LONGEST else json.dumps(content["example"], ensure_ascii=False, indent=2)
        yield f"\nAnswer:\n\n```json\n{whole}\n```"
    else:
        yield f"\nAnswer: {media}."
    own = {code: one for code, one in told["responses"].items() if code not in ("200", *SAID_OF_MANY)}
    for code, one in sorted(own.items()):
        yield f"\n- {code}: {one['description']}"


def main(arguments: list[str]) -> int:
    return written_or_checked(PAGE, page(), arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
