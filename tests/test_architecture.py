"""The layers, proved from the source: an import never points left, and none hides inside a function."""

import ast
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = {
    "batchd_migrations": "migrations",
    "batchd_api": "batchd_api",
    "batchd_flows": "flows/batchd_flows",
    "batchd_infra": "infra/batchd_infra",
    "batchd_cli": "batchd_cli",
    "demo": "demo",
}
MAY_IMPORT = {
    "batchd_migrations": {"batchd_api"},
    "batchd_api": {"batchd_flows", "batchd_infra"},
    "batchd_flows": {"batchd_infra"},
    "batchd_infra": set[str](),
    "batchd_cli": set[str](),
    "demo": {"batchd_cli"},
}
SPEAKERS = ("orchestrator", "worker", "pool_flow", "dispatched_flow", "type_flow", "queue_window")
SPEAK_PREFECT = tuple(f"batchd_flows.{name}" for name in SPEAKERS)
MUST_START_WITHOUT_PREFECT = ("batchd_api.facade", "batchd_api.admin", "batchd_api.daemon", "batchd_cli.main")
# One more arrow: a job type's flow may enqueue instead of running, over the HTTP client alone.
SUBMITS, HTTP_CLIENT = "batchd_flows.type_flow", "batchd_cli.client"
ONE_WAY_ROUND = "the layers are migrations → batchd_api → flows → infra; batchd_cli imports nothing of ours"


def _modules() -> Iterator[tuple[str, ast.Module]]:
    for package, folder in FOLDERS.items():
        for file in sorted((ROOT / folder).rglob("*.py")):
            parts = file.relative_to(ROOT / folder).with_suffix("").parts
            name = ".".join((package, *(part for part in parts if part != "__init__")))
            yield name, ast.parse(file.read_text(), str(file))


TREES = dict(_modules())


def _imports(tree: ast.AST) -> set[str]:
    """Every module that may be meant: `from a import b` means `a`, and `a.b` where that is a module."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            found |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


IMPORTS = {name: _imports(tree) for name, tree in TREES.items()}


def _top(name: str) -> str:
    return name.partition(".")[0]


@pytest.mark.parametrize("package", FOLDERS)
def test_an_import_never_points_left(package: str) -> None:
    modules = [name for name in TREES if _top(name) == package]
    assert modules, f"{package} has no modules"
    wrong = [
        f"{name} imports {imported}"
        for name in modules
        for imported in sorted(IMPORTS[name])
        if _top(imported) in FOLDERS.keys() - MAY_IMPORT[package] - {package}
        and not (name == SUBMITS and f"{imported}.".startswith(f"{HTTP_CLIENT}."))
    ]
    assert wrong == [], ONE_WAY_ROUND


@pytest.mark.parametrize("package", FOLDERS)
def test_no_module_hides_an_import_in_a_function(package: str) -> None:
    functions = (
        (name, node)
        for name, tree in TREES.items()
        if _top(name) == package
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
    )
    hidden = {
        f"{name}:{node.lineno}"
        for name, function in functions
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    assert hidden == set()


def test_few_modules_speak_to_prefect() -> None:
    speaking = {name for name, found in IMPORTS.items() if "prefect" in map(_top, found)}
    assert speaking, "the orchestrator speaks to Prefect, or this test looks at the wrong files"
    assert [name for name in sorted(speaking) if not name.startswith(SPEAK_PREFECT)] == []


def test_modules_are_loaded_by_name_only_where_a_table_says_so() -> None:
    by_name = {name for name, found in IMPORTS.items() if "importlib.import_module" in found}
    assert by_name == {"batchd_cli", "batchd_cli.lazy", "batchd_flows"}


@pytest.mark.parametrize("start", MUST_START_WITHOUT_PREFECT)
def test_what_answers_at_once_does_not_load_prefect(start: str) -> None:
    """Its import takes seconds, and reads an environment that the daemon has to set before."""
    seen, coming = set[str](), [start]
    while coming:
        name = coming.pop()
        if name in TREES and name not in seen:
            seen.add(name)
            parents = [".".join(name.split(".")[:count]) for count in range(1, name.count(".") + 1)]
            coming += [*parents, *IMPORTS[name]]
    loaded = set(chain.from_iterable(IMPORTS[name] for name in seen))
    assert len(seen) > 3, f"{start} reaches almost nothing of ours: has it moved?"
    assert [name for name in loaded if _top(name) == "prefect"] == []
