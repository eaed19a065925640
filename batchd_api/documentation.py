"""What the API's description says of a route besides its path: bodies with examples, and every error code."""

from __future__ import annotations

from typing import Any

from batchd_api.documented_fields import body_schema, parameters

SENTENCES = {
    400: "A value that cannot be used, or a host name that is not ours.",
    401: "Not logged in, or slowed down after wrong passwords.",
    403: "The user lacks the permission, or the page that sent it is foreign.",
    404: "What the path names does not exist.",
    405: "The path is known, the method is not.",
    409: "It exists already, or the job's status does not allow it.",
    413: "The body is larger than the limit.",
    503: "The database cannot be reached or is busy; try again after Retry-After seconds.",
    507: "The disk that holds the database is full.",
}
EXAMPLES: dict[tuple[str, str], dict[str, Any]] = {
    ("POST", "/queue"): {"name": "night", "schedule_name": "anytime"},
    ("PUT", "/queue/{name}"): {"enabled": False},
    ("POST", "/queue/{name}"): {"type": "command", "params": {"command": "echo", "args": "hello"}},
    ("PUT", "/job/{job_id}"): {"priority": "first"},
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
    for (const [code, {description}] of Object.entries(it.responses))
      add(box, "div", `${code}: ${description}`);
  }
});</script></html>"""


def documented(method: str, path: str) -> dict[str, Any]:
    """What FastAPI is told of a route beyond its function."""
    errors = {code: {"description": text, "content": {"text/plain": {}}} for code, text in SENTENCES.items()}
    answers: dict[int, Any] = dict(errors)
    if path == "/queue/{name}/jobs":
        answers[304] = {"description": "Unchanged since the ETag in If-None-Match."}
    if path == "/job/{job_id}/output":
        answers[206] = {"description": "The range that was asked for."}
        answers[416] = {"description": "The range lies behind the end."}
    extra: dict[str, Any] = {"parameters": more} if (more := parameters(method, path)) else {}
    if (schema := body_schema(method, path)) is not None:
        content = {"application/json": {"schema": schema, "example": EXAMPLES[method, path]}}
        extra["requestBody"] = {"required": True, "content": content}
    return {"responses": answers, "openapi_extra": extra}
