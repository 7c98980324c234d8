"""A command that needs a package of an extra says which, and is no traceback."""

import sys

import pytest

import pitboard
from pitboard.cli import main


@pytest.mark.parametrize(
    ("command", "package", "extra"),
    [
        ("run llama31_8b", "torch", "train"),
        ("precision llama31_8b", "torch", "train"),
        ("serve", "uvicorn", "web"),
        ("site build pages", "fastapi", "web"),
    ],
)
def test_the_extra_is_named(
    command: str,
    package: str,
    extra: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["pitboard", *command.split()])
    rooms = ("training", "launch", "web")
    for name in [
        name for name in sys.modules if name.startswith(tuple(f"pitboard.{room}" for room in rooms))
    ]:
        monkeypatch.delitem(sys.modules, name)
    for room in rooms:  # the package's attribute is put back with its module
        monkeypatch.setattr(pitboard, room, vars(pitboard).get(room), raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    said = f"This needs the package '{package}', which is not installed: pip install 'pitboard[{extra}]'"
    assert capsys.readouterr().err == f"Error: {said}\n"
