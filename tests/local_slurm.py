"""A real Slurm on this one host: a controller and several node daemons, which end with the tests.

Run as a program it is the cluster's keeper: it starts the daemons of a prepared folder, then that of each
node that a line of its standard input names. Once that is closed, which the kernel does when the tests die,
it kills them and all that they have started.
"""

import ctypes
import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

_PROGRAMS = ("munged", "mungekey", "slurmctld", "slurmd", "sbatch", "scontrol")
_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
_PR_SET_CHILD_SUBREAPER = 36
# No accounting, no plugins that need cgroups, and nothing that waits for longer than it must.
_CONFIGURATION = """
ClusterName=pitboard
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/controller.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/controller.log
SlurmdLogFile={folder}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,sched_interval=1,bf_interval=1
ReturnToService=2
KillWait=4
SlurmdTimeout=8
MessageTimeout=5
InactiveLimit=0
MinJobAge=300
Waittime=0
"""


def missing() -> str | None:
    """Return why no Slurm can be started here; `None` where one can."""
    if sys.platform != "linux":
        return "Slurm needs Linux"
    lost = [name for name in _PROGRAMS if shutil.which(name, path=_PATH) is None]
    return f"not installed: {', '.join(lost)} (apt-get install slurm-wlm munge)" if lost else None


class LocalSlurm:
    """A cluster of so many nodes, called n1, n2, …, in a folder; `environment` makes commands speak to it."""

    def __init__(self, folder: Path, nodes: int) -> None:
        self.folder = folder
        self.nodes = [f"n{number}" for number in range(1, nodes + 1)]
        self.environment = {"SLURM_CONF": str(folder / "slurm.conf")}
        for name in ("munge", "state"):
            (folder / name).mkdir(mode=0o755)
        ports = _free_ports(nodes + 1)
        text = _CONFIGURATION.format(
            host=socket.gethostname().partition(".")[0],
            user=getpass.getuser(),
            folder=folder,
            controller_port=ports[0],
        )
        for name, port in zip(self.nodes, ports[1:], strict=True):
            text += f"NodeName={name} NodeHostname={socket.gethostname()} NodeAddr=127.0.0.1 Port={port}"
            text += " CPUs=2 State=UNKNOWN\n"
        text += f"PartitionName=main Nodes={','.join(self.nodes)} Default=YES MaxTime=INFINITE State=UP\n"
        (folder / "slurm.conf").write_text(text)
        _run(["mungekey", "--create", f"--keyfile={folder}/munge/key"])
        self._keeper = subprocess.Popen(
            [sys.executable, "-S", __file__, str(folder), *self.nodes],
            stdin=subprocess.PIPE,
            stdout=(folder / "keeper.log").open("w"),
            stderr=subprocess.STDOUT,
            env={**os.environ, **self.environment, "PATH": _PATH},
            start_new_session=True,
        )

    def wait_until_ready(self, seconds: float = 60) -> None:
        """Wait for all nodes to be idle. Raises `RuntimeError` with what the logs say where they are not."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and self._keeper.poll() is None:
            states = self.ask("sinfo", "--noheader", "--Node", "--format=%t").split()
            if states == ["idle"] * len(self.nodes):
                return
            time.sleep(0.1)
        logs = [path.read_text(errors="replace")[-2000:] for path in self.folder.glob("*.log")]
        self.stop()
        raise RuntimeError("Slurm did not start: " + "\n".join(logs))

    def ask(self, *command: str) -> str:
        """Return what one of Slurm's commands prints; nothing where the controller does not answer."""
        environment = {**os.environ, **self.environment, "PATH": _PATH}
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        return done.stdout

    def lose(self, node: str) -> None:
        """Kill a node's daemon and all that runs on it, as where its power fails."""
        daemon = [b"slurmd", b"-D", b"-N", node.encode()]
        here = f"SLURM_CONF={self.folder}/slurm.conf".encode()
        there = f"SLURMD_NODENAME={node}".encode()
        lost = []
        for process in _descendants(self._keeper.pid):
            with suppress(OSError):
                variables = Path(f"/proc/{process}/environ").read_bytes().split(b"\0")
                words = Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
                if here in variables and words[: len(daemon)] == daemon:
                    lost.append(process)
                if there in variables:  # a task, whose parent is the node's `slurmstepd`
                    parent = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1]
                    lost += [int(parent), process]
        assert lost
        for process in {*lost} - {self._keeper.pid}:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)

    def bring_back(self, node: str) -> None:
        """Start the daemon of a node that was lost."""
        assert self._keeper.stdin is not None
        self._keeper.stdin.write(f"{node}\n".encode())
        self._keeper.stdin.flush()

    def stop(self) -> None:
        """Kill the daemons and all that they have started, and wait until nothing of it is left."""
        assert self._keeper.stdin is not None
        self._keeper.stdin.close()
        self._keeper.wait(60)


def _free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on now, none of them twice."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]
    finally:
        for each in sockets:
            each.close()


def _run(command: list[str]) -> None:
    subprocess.run(command, env={**os.environ, "PATH": _PATH}, check=True, capture_output=True, timeout=60)


def _keep(folder: Path, nodes: list[str]) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        munge = folder / "munge"
        files = {
            "socket": "socket",
            "key-file": "key",
            "log-file": "log",
            "pid-file": "pid",
            "seed-file": "seed",
        }
        _start(
            "munged", "--foreground", "--force", *(f"--{key}={munge}/{name}" for key, name in files.items())
        )
        while not (munge / "socket").exists():
            time.sleep(0.01)
        _start("slurmctld", "-D", "-c")
        for name in nodes:
            _start("slurmd", "-D", "-N", name)
        for line in sys.stdin:
            _start("slurmd", "-D", "-N", line.strip())
    finally:
        _end_all()


def _start(*command: str) -> None:
    # Signals that the tests' own launcher had ignored would stay so for every job.
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)
    subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)


def _end_all() -> None:
    """Kill every descendant: what loses its parent becomes this process's child."""
    while True:
        children = _descendants(os.getpid())
        for pid in children:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.02)


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in map(int, task.read_text().split()):
                found += [child, *_descendants(child)]
    return found


if __name__ == "__main__":
    _keep(Path(sys.argv[1]), sys.argv[2:])
