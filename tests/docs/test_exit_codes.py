"""Every command and every exit code stands in docs/index.md."""

import ast
import inspect
import re
import sys
from pathlib import Path
from types import ModuleType

import typer

from pitboard import cli

_PAGE = Path(__file__).parents[2] / "docs" / "index.md"


def test_every_command_and_exit_code_is_described() -> None:
    prose, _, table = _PAGE.read_text(encoding="utf-8").partition("## Exit codes")[2].partition("| ---")
    finds = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", table, re.MULTILINE))
    group = typer.main.get_command(cli.app)
    modules: dict[str, list[str]] = {cli.__name__: []}
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        home = command.callback.__module__ if command.callback else cli.results.__name__
        modules.setdefault(home, []).append(name)

    assert sorted(finds) == sorted(group.commands)  # type: ignore[attr-defined]
    for module, names in modules.items():
        codes = _codes(sys.modules[module])
        assert codes <= {int(code) for code in re.findall(r"\b\d+\b", prose)}, module
        if names and module != cli.results.__name__:  # a question's codes are listed in docs/results.md
            assert (1 in codes) is any(finds[name] != "–" for name in names), module


def _codes(module: ModuleType) -> set[int]:
    """Return the numbers in the arguments of what ends a command."""
    tree = ast.parse(inspect.getsource(module))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    ends = [call for call in calls if re.search(r"\b[Ee]xit$", ast.unparse(call.func))]
    found = [node for call in ends for arg in call.args for node in ast.walk(arg)]
    written = {node.value for node in found if isinstance(node, ast.Constant) and isinstance(node.value, int)}
    tables = [getattr(module, node.id, None) for node in found if isinstance(node, ast.Name)]
    return written.union(*(table.values() for table in tables if isinstance(table, dict)))
