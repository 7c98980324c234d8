"""Commands of `pitboard` in processes that start in an instant: forked from one that has imported everything.

An interpreter that imports torch and transformers takes 6 s of CPU, most of what a tiny run costs. Here the
standard library's fork server imports them once for each worker of pytest, before any test's environment is
known; a command is then a process of its own like any other (its own arguments, environment, folder, output,
signals and exit code), less the imports. Ranks that a command launches with torchrun are forked from it too.
A test that is about starting an interpreter starts one.
"""

import io
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from multiprocessing import connection, forkserver, get_context
from pathlib import Path

import pytest

_CONTEXT = get_context("forkserver")

# Read by torch when it is imported, which has happened: told to it again.
_DYNAMO = "TORCHDYNAMO_DISABLE"
# Read by other libraries when they are imported or first compute: the server has to have the same.
_FIXED = ("OMP_NUM_THREADS", "ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA")


def serve(sources: Path) -> None:
    """Start this process's fork server, which imports pitboard from `sources`; nothing where it runs."""
    _CONTEXT.set_forkserver_preload(["forked_imports"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(map(str, (sources, Path(__file__).parent))))
        forkserver.ensure_running()


class Started:
    """An interpreter that runs `-m` a module or `-c` a text: what `subprocess.Popen` offers of it."""

    def __init__(
        self,
        arguments: list[str],
        *,
        env: Mapping[str, str],
        cwd: Path | str | None = None,
        start_new_session: bool = False,
    ) -> None:
        for name in _FIXED:
            assert env.get(name) == os.environ.get(name), f"{name} is read before this process is forked"
        self.args = arguments
        self._folder = tempfile.TemporaryDirectory(prefix="pitboard-command-")
        self._files = [Path(self._folder.name, name) for name in ("out", "err")]
        for file in self._files:
            file.touch()
        self._process = _CONTEXT.Process(
            target=_command,
            args=(arguments, dict(env), cwd or Path.cwd(), self._files, start_new_session),
        )
        self._process.start()
        self.pid: int = self._process.pid or 0

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Wait for the end; give what was written to standard output and error."""
        self.wait(timeout)
        out, err = (file.read_text() for file in self._files)
        return out, err

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Door:
    """Starts what programs outside the tests ask for: its `executable` stands in for the interpreter.

    Each use of it is a small process that gives its arguments, environment, folder, output and the signals
    that it gets to a forked one, and ends as that does; where it is killed, so is the other. `pitboard` lies
    beside it; `code`, for `-c`, is that command in an interpreter that takes itself for the `executable`.
    """

    def __init__(self, folder: Path) -> None:
        self.executable = folder / "python"
        address = str(folder / "door")
        self.executable.write_text(_VISITOR.format(python=sys.executable, address=address))
        command = folder / "pitboard"
        command.write_text(f'#!/bin/sh\nexec {self.executable} -m pitboard "$@"\n')
        for file in (self.executable, command):
            file.chmod(0o755)
        self.code = (
            f"import sys; sys.executable = {str(self.executable)!r}; sys.argv[0] = 'pitboard';"
            " from pitboard.cli import main; main()"
        )
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(address)
        self._socket.listen(64)
        threading.Thread(target=self._open, daemon=True).start()

    def close(self) -> None:
        """Let nobody in any more."""
        self._socket.close()

    def _open(self) -> None:
        while True:
            try:
                visitor, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(visitor,), daemon=True).start()

    def _serve(self, visitor: socket.socket) -> None:
        with visitor:
            text = visitor.makefile("rb").readline()
            pid, arguments, env, folder = json.loads(text)
            files = [Path(f"/proc/{pid}/fd/{descriptor}") for descriptor in (1, 2)]
            process = _CONTEXT.Process(target=_command, args=(arguments, env, folder, files, True))
            process.start()
            while process.sentinel not in connection.wait([visitor.fileno(), process.sentinel]):
                signals = visitor.recv(16)
                for number in signals or [signal.SIGKILL]:
                    os.kill(process.pid or 0, number)
                if not signals:
                    process.join()
                    return
            process.join()
            visitor.sendall(f"{process.exitcode}\n".encode())


_VISITOR = """#!{python} -SE
import json, os, signal, socket, sys
door = socket.socket(socket.AF_UNIX)
door.connect("{address}")
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, lambda number, _: door.send(bytes([number])))
door.sendall(json.dumps([os.getpid(), sys.argv[1:], dict(os.environ), os.getcwd()]).encode() + b"\\n")
code = int(door.makefile("rb").readline())
if code < 0:
    signal.signal(-code, signal.SIG_DFL) if -code != signal.SIGKILL else None
    os.kill(os.getpid(), -code)
os._exit(code)
"""


def _command(
    arguments: list[str], env: dict[str, str], cwd: Path | str, files: list[Path], session: bool
) -> None:
    for descriptor, file in zip((1, 2), files, strict=True):
        opened = os.open(file, os.O_WRONLY | os.O_APPEND)
        os.dup2(opened, descriptor)
        os.close(opened)
    if session:
        os.setsid()
    os.chdir(cwd)
    _become(arguments, env)


def _become(arguments: list[str], env: dict[str, str]) -> None:
    """Go on as `python <arguments>` would, and end; `arguments` begin with `-m` or `-c`."""
    from torch._dynamo import config
    from torch.distributed.elastic.multiprocessing.subprocess_handler import subprocess_handler
    from torch.distributed.elastic.rendezvous import dynamic_rendezvous

    os.environ.clear()
    os.environ.update(env)
    config.disable = env.get(_DYNAMO) == "1"
    subprocess_handler.Popen = _Rank  # type: ignore[attr-defined, assignment]
    # Names the events of a rendezvous that nobody hears of, by looking through every imported module: 1.5 s.
    dynamic_rendezvous.get_method_name = _unheard
    import forked_imports

    # As a new interpreter makes them of its descriptors: those of this one began with other files.
    sys.stdout, sys.stderr = (
        io.TextIOWrapper(io.FileIO(number, "w", closefd=False), "utf-8", errors, line_buffering=True)
        for number, errors in ((1, "strict"), (2, "backslashreplace"))
    )
    # What the imports said, each command would have said.
    sys.stderr.write(forked_imports.SAID)
    code: object = 0
    try:
        how, what, *rest = arguments
        sys.argv = [how, *rest]
        if how == "-c":
            exec(what, {"__name__": "__main__"})
        else:
            runpy.run_module(what, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = end.code
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    _exit(code)


def _unheard(depth: int = 2) -> str:
    return "rendezvous"


def _exit(code: object) -> None:
    """End as an interpreter ends: with what was registered `atexit` done and the output written."""
    import atexit
    import threading

    if isinstance(code, str):
        print(code, file=sys.stderr)
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code if isinstance(code, int) else 0 if code is None else 1)


class _Rank:
    """A rank of torchrun's, forked from the process that launches it: stands in for `subprocess.Popen`."""

    def __init__(self, args: tuple[str, ...], env: dict[str, str], **_: object) -> None:
        executable, *arguments = (each for each in args if each not in ("-u", "-P"))
        assert executable == sys.executable
        self.args = args
        self.returncode: int | None = None
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if not self.pid:
            os.setsid()
            for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
                signal.signal(number, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            _become(arguments, env)

    def poll(self) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        end = time.monotonic() + (timeout or 1e9)
        while self.poll() is None:
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            time.sleep(0.01)
        assert self.returncode is not None
        return self.returncode

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
