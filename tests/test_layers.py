"""Imports go one way: from a module's own folder and from what the README lists above it, never in a ring."""

import ast
import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "mxqvae"

# The README's list, in its order: `data/` and `report.py` are the layers data and report.
README = (PACKAGE.parents[1] / "README.md").read_text(encoding="utf-8")
LAYERS = [Path(name).stem for name in re.findall(r"^\| `([\w./]+)` \|", README, re.MULTILINE)]

# The front door and `python -m mxqvae` stand outside: the first names everything, the second is two lines.
MODULES = {
    ".".join(("mxqvae", *path.relative_to(PACKAGE).with_suffix("").parts)): path
    for path in sorted(PACKAGE.rglob("*.py"))
    if path.parent != PACKAGE or not path.name.startswith("__")
}


def imports(module: str) -> Iterator[str]:
    """Every module of ours that `module` imports, anywhere in its text."""
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("mxqvae."))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "mxqvae":
            names = (f"{node.module}.{alias.name}" for alias in node.names)
            yield from (name if name in MODULES else str(node.module) for name in names)


def layer(module: str) -> str:
    return module.split(".")[1]


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_one_way(module: str):
    assert layer(module) in LAYERS, f"{layer(module)} has no line in the README's layout yet"
    allowed = LAYERS[: LAYERS.index(layer(module)) + 1]
    for imported in imports(module):
        assert imported == "mxqvae" or layer(imported) in allowed, (
            f"{module} imports {imported}, which the README's layout lists below it"
        )


@pytest.mark.parametrize("module", MODULES)
def test_imports_are_absolute(module: str):
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level]


def test_no_modules_import_each_other_in_a_ring():
    graph = {module: set(imports(module)) & MODULES.keys() for module in MODULES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as ring:
        pytest.fail(" → ".join(ring.args[1]))


@pytest.mark.parametrize("module", MODULES)
def test_modules_stay_short(module: str):
    assert len(MODULES[module].read_text(encoding="utf-8").splitlines()) <= 400
