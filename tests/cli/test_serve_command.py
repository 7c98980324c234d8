"""`pitboard serve` and `pitboard site` as processes of their own."""

import http.client
import signal
import socket
import subprocess
import sys
from pathlib import Path

from support import Command, command_environment


def test_a_port_in_use_is_an_error_of_one_sentence(pitboard: Command) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = pitboard("serve", "--port", taken.getsockname()[1])
    assert done.returncode == 2
    assert "already in use" in done.stderr
    assert done.stderr.count("\n") == 1


def test_it_listens_on_loopback_and_ctrl_c_ends_it_quietly(cache: Path) -> None:
    command = [sys.executable, "-m", "pitboard", "serve", "--port", "0"]
    environment, pipe = command_environment(cache), subprocess.PIPE
    with subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True) as server:
        assert server.stdout is not None
        assert server.stderr is not None
        address = server.stdout.readline().split()[2]
        assert address.startswith("http://127.0.0.1:")
        connection = http.client.HTTPConnection("127.0.0.1", int(address.rstrip("/").rpartition(":")[2]))
        connection.request("GET", "/")
        assert connection.getresponse().status == 200
        connection.close()
        server.send_signal(signal.SIGINT)
        assert server.wait(timeout=30) == 0
        assert server.stderr.read() == ""


def test_a_site_is_not_written_over_another_s_folder(pitboard: Command, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    done = pitboard("site", "build", tmp_path)
    assert done.returncode == 2
    assert "not written by `pitboard site build`" in done.stderr
