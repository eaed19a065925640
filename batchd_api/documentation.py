"""What the API's description says of a route besides its path: bodies, answers and codes, with examples."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from starlette.responses import Response

from batchd_api.answers import PROBLEM, JsonAnswer
from batchd_api.documented_answers import MEDIA_TYPES, MORE_CODES, SENTENCES, answer_example, codes, is_json
from batchd_api.documented_fields import body_schema, parameters
from batchd_api.permissions import Access

PROBLEM_SCHEMA = {
    "type": "object",
    "properties": {"title": {"type": "string"}, "status": {"type": "integer"}, "detail": {"type": "string"}},
    "required": ["title", "status", "detail"],
}

EXAMPLES: dict[tuple[str, str], dict[str, Any]] = {
    ("POST", "/queue"): {"name": "night", "schedule_name": "anytime"},
    ("PUT", "/queue/{name}"): {"enabled": False},
    ("POST", "/queue/{name}"): {"type": "command", "params": {"command": "echo", "args": "hello"}},
    ("PUT", "/job/{job_id}"): {"priority": "first"},
    ("POST", "/attempt/{attempt_id}/output"): {"stream": "stdout", "offset": 0, "data": "aGVsbG8K"},
    ("POST", "/attempt/{attempt_id}/exit"): {"exit_code": 0},
    ("POST", "/schedule"): {"name": "night", "time": [{"begin": "22:00:00", "end": "06:00:00"}]},
    ("PUT", "/schedule/{name}"): {"weekdays": ["Monday", "Friday"]},
    ("POST", "/user"): {"name": "ann", "password": "correct horse"},
    ("PUT", "/user/{name}"): {"password": "correct horse"},
    ("POST", "/user/{name}/permissions"): {"permission": "ViewJobs", "queue_name": "night"},
}
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>batchd: the REST interface</title>
<style>body{font:1rem/1.5 system-ui;max-width:60rem;margin:2rem auto;padding:0 1rem}
pre{background:#8882;padding:.5rem;overflow:auto}</style>
<h1>batchd: the REST interface</h1><p>The same as a document: <a href="openapi.json">openapi.json</a>.</p>
<div id="paths"></div><script>
const add = (to, tag, text) => {
  const e = to.appendChild(document.createElement(tag)); e.textContent = text; return e;
};
fetch("openapi.json").then(answer => answer.json()).then(({paths}) => {
  const root = document.getElementById("paths");
  for (const [path, methods] of Object.entries(paths)) for (const [method, it] of Object.entries(methods)) {
    const box = add(root, "details", "");
    add(box, "summary", `${method.toUpperCase()} ${path}`);
    add(box, "p", it.description || it.summary || "");
    for (const {name, in: where, description} of it.parameters || [])
      add(box, "div", `${name} (${where}) ${description || ""}`);
    const body = it.requestBody && it.requestBody.content["application/json"];
    if (body) add(box, "pre", JSON.stringify(body.example, null, 2));
    for (const [code, {description, content}] of Object.entries(it.responses)) {
      add(box, "div", `${code}: ${description}`);
      for (const {example} of Object.values(content || {}))
        if (example !== undefined) add(box, "pre", JSON.stringify(example, null, 2));
    }
  }
});</script></html>"""


class Described(FastAPI):
    """Its description has no 422: what cannot be used is 400 here."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            document = super().openapi()
            for methods in document["paths"].values():
                for operation in methods.values():
                    operation["responses"].pop("422", None)
            document.get("components", {}).pop("schemas", None)  # of the 422 alone
        return self.openapi_schema or {}


def documented(method: str, path: str, access: Access) -> dict[str, Any]:
    """What FastAPI is told of a route beyond its function."""
    plain, problem = {"schema": {"type": "string"}}, {"schema": PROBLEM_SCHEMA}
    content = {"text/plain": plain, PROBLEM: problem}
    answers: dict[int | str, Any] = {
        code: {"description": SENTENCES[code], "content": content} for code in codes(method, path, access)
    }
    for code, text in MORE_CODES.get((method, path), {}).items():
        answers[code] = {"description": text}
    answers[200] = {"description": "As asked.", "content": _answer(method, path)}
    extra: dict[str, Any] = {"parameters": more} if (more := parameters(method, path)) else {}
    if (schema := body_schema(method, path)) is not None:
        body = {"application/json": {"schema": schema, "example": EXAMPLES[method, path]}}
        extra["requestBody"] = {"required": True, "content": body}
    answer_class = JsonAnswer if is_json(method, path) else Response
    return {"responses": answers, "openapi_extra": extra, "response_class": answer_class}


def _answer(method: str, path: str) -> dict[str, Any]:
    if not is_json(method, path):
        return {MEDIA_TYPES[method, path]: {"schema": {"type": "string"}}}
    return {str(JsonAnswer.media_type): {"example": answer_example(method, path)}}
