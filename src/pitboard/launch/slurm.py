"""Runs as jobs of Slurm: the batch script, its submission, and what becomes of the job.

OUTPUT/slurm/job.sh      the script, to be read, changed and submitted again by hand
OUTPUT/slurm/job-7.log   what job 7 printed; of an array job-7_0.log, job-7_1.log …

Light to import: a login node need not have torch.
"""

import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from pitboard.errors import PitboardError
from pitboard.files import write_atomically
from pitboard.text import printable

_WAIT_FIRST, _WAIT_LONGEST = 0.5, 5.0
_NOTICE_SECONDS = 90
# From the first rank that ends to the last: they end together, but for one that hangs.
_SECONDS_TO_END = 120
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.,:@+-]*")
_TIME = re.compile(r"(\d+-)?\d+(:\d+){0,2}|UNLIMITED")
_OPTION = re.compile(r"--[a-z][a-z-]*(=[A-Za-z0-9_.,:;@+*/%&|()\[\]-]+)?")
_RUNNING = frozenset(
    {"RUNNING", "COMPLETING", "CONFIGURING", "SUSPENDED", "STAGE_OUT", "SIGNALING", "RESIZING"}
)
_WAITING = frozenset({"PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT"})
# Of a user's or a scheduler's making: a run stopped as SIGTERM stops one, and can be resumed.
_STOPPED = frozenset({"CANCELLED", "TIMEOUT", "PREEMPTED", "DEADLINE"})
_EXITS_STOPPED = frozenset(128 + each for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP))

Outcome = Literal["reached", "not reached", "stopped", "failed"]
"""How the runs of a job ended, from the best to the worst."""


@dataclass(frozen=True, kw_only=True)
class SlurmJob:
    """A run as a job: `run` are the arguments of `pitboard run`, without its `--output`.

    Without `gpus_per_node` each node has one task, on its CPUs. `array` jobs do one of as many runs each. A
    container sees the output, the folder `cache` of what is prepared once, and `mounts`.
    """

    benchmark: str
    run: tuple[str, ...]
    output: Path
    nodes: int
    gpus_per_node: int | None = None
    array: int | None = None
    per_node: bool = False
    checkpoints: bool = False
    container: str | None = None
    mounts: tuple[str, ...] = ()
    cache: Path | None = None
    account: str | None = None
    partition: str | None = None
    time: str | None = None
    options: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for option, value, pattern in (
            ("The benchmark", self.benchmark, _NAME),
            ("--account", self.account, _NAME),
            ("--partition", self.partition, _NAME),
            ("--time", self.time, _TIME),
        ):
            if value is not None and not pattern.fullmatch(value):
                expected = (
                    "minutes, or [days-]hours:minutes:seconds" if option == "--time" else "a plain name"
                )
                raise PitboardError(f"{option} {printable(value)!r}: expected {expected}.")
        for option in self.options:
            if not _OPTION.fullmatch(option):
                raise PitboardError(
                    f"--sbatch {printable(option)!r}: expected one option of sbatch, as --sbatch=--qos=high."
                )
        if not re.fullmatch(r"[^\"'\\%\x00-\x1f\x7f]+", str(self.output)):
            raise PitboardError(
                f"--output {printable(str(self.output))!r}: Slurm's file names take no quotes, backslashes or"
                " %."
            )
        if self.mounts and self.container is None:
            raise PitboardError("--container-mounts says what a container sees: give --container, too.")

    @property
    def ranks(self) -> int:
        """How many ranks the job has."""
        return self.nodes * (self.gpus_per_node or 1)

    @property
    def script(self) -> Path:
        """Where the batch script lies."""
        return self.output / "slurm" / "job.sh"

    def log(self, job: str) -> Path:
        """Return where a job, such as `7` or `7_0`, prints to."""
        return self.output / "slurm" / f"job-{job}.log"


def batch_script(job: SlurmJob) -> str:
    """Return the text of the batch script: readable, and safe whatever the values are."""
    return "\n".join([*_head(job), "", *_body(job), ""])


def _head(job: SlurmJob) -> list[str]:
    tasks = 1 if job.per_node else job.gpus_per_node or 1
    what = "one torchrun on each" if job.per_node else f"{tasks} rank{'s' if tasks > 1 else ''} on each"
    nodes = f"{job.nodes} node{'s' if job.nodes > 1 else ''}"
    yours = {"account": job.account, "partition": job.partition, "time": job.time}
    lines = [
        "#!/bin/bash",
        f"# Written by `pitboard launch slurm`: {job.benchmark} on {nodes}, {what}.",
        f"#SBATCH --job-name=pitboard-{job.benchmark}",
        f"#SBATCH --nodes={job.nodes}",
        f"#SBATCH --ntasks-per-node={tasks}",
    ]
    if job.gpus_per_node:
        lines.append(f"#SBATCH --gpus-per-node={job.gpus_per_node}")
    lines += [
        "# A race shares its nodes with nobody.",
        "#SBATCH --exclusive",
        *(f"#SBATCH --{name}={value}" for name, value in yours.items() if value is not None),
        *(f"#SBATCH {option}" for option in job.options),
        f'#SBATCH --output="{job.log("%A_%a" if job.array else "%j")}"',
        "#SBATCH --open-mode=append",
    ]
    if job.array:
        lines += [
            "# One job a run, on as many nodes as are free; all write into one folder.",
            f"#SBATCH --array=0-{job.array - 1}",
        ]
    if job.checkpoints:
        return [
            *lines,
            f"# {_NOTICE_SECONDS} seconds before the time limit the ranks are told to checkpoint and stop.",
            f"#SBATCH --signal=TERM@{_NOTICE_SECONDS}",
            "# After a lost node or a preemption the job starts again, and goes on from its last checkpoint.",
            "#SBATCH --requeue",
        ]
    return [
        *lines,
        "# Without --checkpoint-every a job that starts again would begin with the first sample.",
        "#SBATCH --no-requeue",
    ]


def _body(job: SlurmJob) -> list[str]:
    output = shlex.quote(str(job.output))
    python = "python" if job.container else shlex.quote(sys.executable)
    lines = [
        "# On the file system that all nodes share; rank 0 alone writes the log there.",
        f"output={output}",
    ]
    if not job.array:
        lines += [
            "# Submitted again it goes on with what it has begun, as where Slurm starts it again.",
            'export SLURM_RESTART_COUNT="${SLURM_RESTART_COUNT:-1}"',
        ]
    if job.checkpoints:
        lines += ['begun="$output/slurm/.begun-$SLURM_JOB_ID"', 'touch "$begun"']
    srun = ["srun", "--kill-on-bad-exit=0", f"--wait={_SECONDS_TO_END}"]
    if job.container:
        seen = [job.output, *([job.cache / "pitboard"] if job.cache else [])]
        mounts = dict.fromkeys([*(f"{folder}:{folder}" for folder in seen), *job.mounts])
        if job.cache:
            lines += [
                "",
                "# What is prepared once, such as tokenizers, is kept for every job.",
                f"export XDG_CACHE_HOME={shlex.quote(str(job.cache))}",
                'mkdir -p "$XDG_CACHE_HOME/pitboard"',
            ]
        lines += [
            "",
            "# Pyxis starts each task in the container, whose PATH must have a python with Pitboard.",
        ]
        srun += [f"--container-image={shlex.quote(job.container)}"]
        srun += [f"--container-mounts={shlex.quote(','.join(mounts))}"]
    if job.per_node:
        lines += [
            "",
            "# This script runs on the job's first node, where the agents meet.",
            "head=$(hostname)",
            "port=$((20000 + SLURM_JOB_ID % 10000))",
        ]
        command = [
            f"{python} -m torch.distributed.run",
            f"--nnodes={job.nodes} --nproc-per-node={job.gpus_per_node or 1}",
            '--rdzv-id="$SLURM_JOB_ID" --rdzv-backend=c10d --rdzv-endpoint="$head:$port"',
            "-m pitboard run",
        ]
    else:
        lines += ["", "# Each task is a rank, which it learns from Slurm's variables."]
        command = [f"{python} -m pitboard run"]
    command[-1] += f' {shlex.quote(job.benchmark)} --output "$output"'
    if job.array:
        command[-1] += f' --runs {job.array} --only "$SLURM_ARRAY_TASK_ID"'
    if job.run:
        command.append(shlex.join(job.run))
    lines += [" \\\n    ".join([" ".join(srun), *command]), "code=$?"]
    return [*lines, *(_requeueing(job) if job.checkpoints else []), "", 'exit "$code"']


def _requeueing(job: SlurmJob) -> list[str]:
    id = '"${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID"' if job.array else '"$SLURM_JOB_ID"'
    which = '"$SLURM_ARRAY_TASK_ID"' if job.array else "*"
    log = f'"$output"/results/*/*/result_{which}.txt'
    return [
        "",
        "# A run whose log has no end was stopped, or lost a rank. Unless the job was cancelled, it starts",
        "# again from its checkpoint, if this start has written one: else another would come no further.",
        'if [ "$code" -ne 0 ] &&',
        f'    [ -n "$(grep --no-messages --files-without-match run_stop {log})" ] &&',
        f'    [ "$(squeue --noheader --format=%T --jobs={id})" = RUNNING ] &&',
        '    [ -n "$(find "$output/checkpoints" -name .metadata -newer "$begun" -print -quit)" ]; then',
        f"    scontrol requeue {id}",
        "fi",
    ]


def write_script(job: SlurmJob) -> None:
    """Write the batch script into the output folder, whole or not at all."""
    write_atomically(job.script, batch_script(job).encode())


def submit(job: SlurmJob, after: str | None = None) -> str:
    """Submit the batch script that was written, and return the job's number.

    It begins when the job `after` has ended, however that did. Raises `PitboardError` where there is no
    Slurm, or it refuses.
    """
    order = [] if after is None else [f"--dependency=afterany:{after}"]
    done = _ask(["sbatch", "--parsable", *order, str(job.script)])
    if done.returncode:
        raise PitboardError(f"Slurm refused the job ({_reason(done)}); its script is {job.script}.")
    return done.stdout.strip().partition(";")[0]


def require_slurm() -> None:
    """Raise `PitboardError` where there is no `sbatch`."""
    _ask(["sbatch", "--version"])


def _ask(command: list[str]) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    except OSError as error:
        raise PitboardError(
            f"There is no `{command[0]}` here: run this on a login node of a Slurm cluster, or take there the"
            " script that --dry-run shows."
        ) from error
    except subprocess.TimeoutExpired as error:
        raise PitboardError(f"Slurm's controller does not answer `{command[0]}`: try again later.") from error


def _reason(done: "subprocess.CompletedProcess[str]") -> str:
    lines = done.stderr.strip().splitlines()
    return (
        printable(lines[-1].removeprefix(f"{done.args[0]}: error: ")) if lines else f"exit {done.returncode}"
    )


@dataclass(frozen=True)
class State:
    """What Slurm says of a job, or of one of an array: its id, state, reason or nodes, and exit code."""

    id: str
    name: str
    detail: str = ""
    code: int = 0

    @property
    def ended(self) -> bool:
        """Whether it neither runs nor waits to."""
        return self.name not in _RUNNING | _WAITING

    @property
    def outcome(self) -> Outcome:
        """How its runs ended, by its state and, where it ended by itself, its exit code."""
        if self.name == "COMPLETED":
            return "reached"
        if self.name in _STOPPED or (self.name == "FAILED" and self.code in _EXITS_STOPPED):
            return "stopped"
        return "not reached" if self.name == "FAILED" and self.code == 1 else "failed"

    def __str__(self) -> str:
        detail = f" ({self.detail})" if self.detail else ""
        return f"Job {self.id}: {self.name.lower().replace('_', ' ')}{detail}"


def states(id: str) -> list[State] | None:
    """Return the state of a job, or of each of an array: none where Slurm has forgotten it.

    `None` where the controller does not answer, as while it is started again.
    """
    done = _ask(["scontrol", "--oneliner", "show", "job", id])
    if done.returncode:
        return [] if "Invalid job id" in done.stderr else None
    return sorted(map(_state, done.stdout.splitlines()), key=lambda state: _natural(state.id))


def _state(line: str) -> State:
    values = dict(re.findall(r"(?:^|\s)(\w+)=(\S*)", line))
    id = values.get("JobId", "")
    if "ArrayJobId" in values:
        id = f"{values['ArrayJobId']}_{values.get('ArrayTaskId', '')}"
    name = values.get("JobState", "UNKNOWN")
    reason, nodes = values.get("Reason", "None"), values.get("NodeList", "(null)")
    detail = reason if name in _WAITING else f"on {nodes}"
    code, _, ended_by = values.get("ExitCode", "0:0").partition(":")
    return State(
        printable(id),
        printable(name),
        printable("" if detail in ("None", "on (null)", "on ") else detail),
        int(code) or (128 + int(ended_by) if int(ended_by or 0) else 0),
    )


def _natural(id: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", id)]


@dataclass
class Follower:
    """Follows a job: tells `say` each change of its state, and each line that it prints."""

    job: SlurmJob
    id: str
    say: Callable[[str], None]
    _known: dict[str, str] = field(default_factory=dict)
    _read: dict[Path, int] = field(default_factory=dict)

    def follow(self) -> Outcome:
        """Return how the job ended, once it has; the worst of an array's."""
        wait, last = _WAIT_FIRST, "unknown"
        while True:
            found = states(self.id)
            if found == []:
                raise PitboardError(
                    f"Slurm has forgotten job {self.id}, last known as {last}: its log in"
                    f" {self.job.script.parent} says how far it came."
                )
            changed = self._tell(found or [])
            if found:
                last = found[0].name.lower()
                if all(state.ended for state in found):
                    break
            wait = _WAIT_FIRST if changed else min(wait * 1.5, _WAIT_LONGEST)
            time.sleep(wait)
        self._tell(found)
        return max((state.outcome for state in found), key=get_args(Outcome).index)

    def _tell(self, found: Sequence[State]) -> bool:
        """Say what is new; returns whether anything was."""
        new = list(self._lines())
        for line in new:
            self.say(line)
        for state in found:
            if self._known.get(state.id) != str(state):
                self._known[state.id] = str(state)
                new.append(str(state))
                self.say(str(state))
        return bool(new)

    def _lines(self) -> Iterator[str]:
        """Yield the whole lines that the job's logs have more than when last looked at."""
        logs = sorted(self.job.script.parent.glob(f"job-{self.id}[._]*log"))
        for log in logs:
            label = f"{log.stem.removeprefix('job-')}: " if self.job.array else ""
            with log.open("rb") as file:
                file.seek(self._read.get(log, 0))
                text, newline, _ = file.read().rpartition(b"\n")
            self._read[log] = self._read.get(log, 0) + len(text) + len(newline)
            for line in text.decode("utf-8", "replace").splitlines():
                yield label + printable(line)
