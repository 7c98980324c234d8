"""The batch script: what it says, and that nothing a user gives can become a command of it."""

import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from pitboard.errors import PitboardError
from pitboard.launch import slurm
from pitboard.launch.slurm import Follower, SlurmJob, State, batch_script, submit, write_script
from support import Command, command_environment

JOB = SlurmJob(benchmark="llama31_8b", run=("--preset", "full"), output=Path("/shared/out"), nodes=4)
# Stands for Slurm's commands: notes how it was called; `srun` ends as it is told to.
STUB = """#!/bin/bash
{ basename "$0"; printf '%s\\n' "$@"; echo --; } >>"$CALLS"
[ "$(basename "$0")" = squeue ] && echo "${STATE:-RUNNING}"
[ "$(basename "$0")" = srun ] && { touch "$WRITES"; exit "$CODE"; }
exit 0
"""


def run(job: SlurmJob, folder: Path, **variables: str) -> tuple[int, list[list[str]]]:
    """Run the job's script with stubs for Slurm's commands; return its exit code, and their calls."""
    for name in ("srun", "scontrol", "squeue"):
        (folder / name).write_text(STUB)
        (folder / name).chmod(0o755)
    write_script(job)
    calls = folder / "calls"
    calls.unlink(missing_ok=True)
    environment = {
        "PATH": f"{folder}:/usr/bin:/bin",
        "CALLS": str(calls),
        "SLURM_JOB_ID": "7",
        "SLURM_ARRAY_JOB_ID": "7",
        "SLURM_ARRAY_TASK_ID": "2",
        "CODE": "0",
        "WRITES": str(folder / "nothing"),
        **variables,
    }
    done = subprocess.run(["bash", job.script], env=environment, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.returncode, [call.split("\n")[:-1] for call in calls.read_text().split("--\n")[:-1]]


def test_what_a_user_gives_reaches_the_command_as_it_is(tmp_path: Path) -> None:
    hostile = ("--submitter", "it's $(touch /tmp/x) `id` \"\\", "--set", "data=/a b/*;rm -rf ~")
    job = replace(
        JOB,
        run=hostile,
        output=tmp_path / "a b $(id) ; &",
        container="reg#img:1; id",
        mounts=("/data dir:/data", "$HOME:/h"),
        cache=tmp_path / "c $(id)",
    )
    with pytest.raises(PitboardError, match="take no quotes"):
        replace(job, output=tmp_path / 'a"b')

    code, ((name, *arguments),) = run(job, tmp_path, CODE="1")

    assert (code, name) == (1, "srun")
    at = arguments.index("python")
    assert arguments[at:] == [
        "python",
        "-m",
        "pitboard",
        "run",
        "llama31_8b",
        "--output",
        str(job.output),
        *hostile,
    ]
    assert "--container-image=reg#img:1; id" in arguments[:at]
    kept = f"{job.cache}/pitboard"
    mounts = f"{job.output}:{job.output},{kept}:{kept},/data dir:/data,$HOME:/h"
    assert f"--container-mounts={mounts}" in arguments[:at]
    assert Path(kept).is_dir()


@pytest.mark.parametrize(
    "wrong",
    [
        {"account": "me\nrm -rf ~"},
        {"account": "me #"},
        {"partition": "$(id)"},
        {"partition": "gpu\n#SBATCH --uid=0"},
        {"time": "1:00\nid"},
        {"options": ("--qos=high\nid",)},
        {"options": ("high",)},
        {"benchmark": "x\nid"},
        {"output": Path("/shared/a\nid")},
        {"mounts": ("/data:/data",)},
    ],
)
def test_what_could_not_be_a_line_of_the_script_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(PitboardError) as error:
        replace(JOB, **wrong)  # type: ignore[arg-type]
    assert str(error.value).isprintable()


def test_the_script_says_what_slurm_has_to_know(tmp_path: Path) -> None:
    job = replace(
        JOB,
        gpus_per_node=8,
        array=10,
        checkpoints=True,
        account="mlperf",
        partition="gpu,big",
        time="1-02:00:00",
        options=("--qos=high", "--constraint=[a|b]"),
    )
    directives = [line for line in batch_script(job).splitlines() if line.startswith("#SBATCH ")]
    assert directives == [
        "#SBATCH --job-name=pitboard-llama31_8b",
        "#SBATCH --nodes=4",
        "#SBATCH --ntasks-per-node=8",
        "#SBATCH --gpus-per-node=8",
        "#SBATCH --exclusive",
        "#SBATCH --account=mlperf",
        "#SBATCH --partition=gpu,big",
        "#SBATCH --time=1-02:00:00",
        "#SBATCH --qos=high",
        "#SBATCH --constraint=[a|b]",
        '#SBATCH --output="/shared/out/slurm/job-%A_%a.log"',
        "#SBATCH --open-mode=append",
        "#SBATCH --array=0-9",
        "#SBATCH --signal=TERM@90",
        "#SBATCH --requeue",
    ]
    assert "#SBATCH --no-requeue" in batch_script(JOB), "from the first sample on, a requeue is no use"
    per_node = batch_script(replace(job, per_node=True))
    assert "#SBATCH --ntasks-per-node=1" in per_node
    assert "--nnodes=4 --nproc-per-node=8" in per_node


@pytest.mark.parametrize("per_node", [False, True])
def test_a_job_is_requeued_where_its_run_has_not_ended_and_has_come_further(
    per_node: bool, tmp_path: Path
) -> None:
    job = replace(JOB, output=tmp_path / "out", array=3, checkpoints=True, per_node=per_node)
    checkpoint = job.output / "checkpoints" / "llama31_8b" / "run_2" / "samples_000000000016" / ".metadata"
    log = job.output / "results" / "system" / "llama31_8b" / "result_2.txt"
    for path in (checkpoint, log):
        path.parent.mkdir(parents=True)
    log.write_text('"key": "run_start"\n')
    further = {"WRITES": str(checkpoint)}
    requeue = ["scontrol", "requeue", "7_2"]

    for stopped in ("143", "2", "1"):
        code, (srun, squeue, last) = run(job, tmp_path, CODE=stopped, **further)
        assert (code, last) == (int(stopped), requeue)
    assert srun[-6:] == ["--runs", "3", "--only", "2", "--preset", "full"]
    assert squeue[-1] == "--jobs=7_2"

    assert requeue not in run(job, tmp_path, CODE="143", STATE="CANCELLED", **further)[1]
    assert requeue not in run(job, tmp_path, CODE="143")[1], "no checkpoint of this start"
    (log.parent / "result_1.txt").write_text('"key": "run_start"\n')
    log.write_text('"key": "run_stop"\n')
    assert requeue not in run(job, tmp_path, CODE="1", **further)[1], "the run has ended"
    log.unlink()
    assert requeue not in run(job, tmp_path, CODE="2", **further)[1], "it has not begun"


def test_a_dry_run_shows_the_script_and_where_there_is_no_slurm_one_sentence_says_so(
    pitboard: Command, cache: Path, tmp_path: Path
) -> None:
    environment = command_environment(cache) | {"PATH": "/nowhere"}
    folder = tmp_path / "out"
    command = ["launch", "slurm", "llama31_8b", "--nodes", 2, "--output", folder]
    shown = pitboard(*command, "--dry-run", "--", "--seed", 7, env=environment)
    assert shown.returncode == 0, shown.stderr
    assert f"{shlex.quote(sys.executable)} -m pitboard run llama31_8b" in shown.stdout
    assert shown.stdout.endswith('--seed 7\ncode=$?\n\nexit "$code"\n')
    for wrong, said in (
        (["--"], "There is no `sbatch` here"),
        (["--", "--nproc", 2], "--nproc cannot be given to a job"),
        (["--", "--sed", 7], "No such option: --sed"),
        (["--", "--set", "learning_rat=1"], "Did you mean 'learning_rate'"),
        (["--", "--set", "replicas=3"], "2 ranks cannot be divided"),
        (["--array", 2, "--", "--runs", 3], "leave out --runs"),
        (["--", "--output", "x"], "--output is given twice"),
    ):
        done = pitboard(*command, *wrong, env=environment)
        assert (done.returncode, done.stdout) == (2, ""), wrong
        assert said in done.stderr
        assert "Traceback" not in done.stderr
    assert not folder.exists()


def test_a_refusal_of_slurm_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sbatch = tmp_path / "sbatch"
    sbatch.write_text("#!/bin/sh\necho 'sbatch: error: invalid partition\x1b[31m' >&2; exit 1\n")
    sbatch.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    with pytest.raises(PitboardError, match=r"refused the job \(invalid partition\\x1b"):
        submit(JOB)


@pytest.mark.parametrize(
    ("name", "code", "outcome"),
    [
        ("COMPLETED", 0, "reached"),
        ("FAILED", 1, "not reached"),
        ("FAILED", 143, "stopped"),
        ("FAILED", 137, "failed"),
        ("CANCELLED", 0, "stopped"),
        ("TIMEOUT", 0, "stopped"),
        ("NODE_FAIL", 1, "failed"),
        ("OUT_OF_MEMORY", 0, "failed"),
    ],
)
def test_the_state_of_a_job_says_how_its_runs_ended(name: str, code: int, outcome: str) -> None:
    state = State("7", name, code=code)
    assert (state.ended, state.outcome) == (True, outcome)


def test_a_job_is_followed_through_a_silence_of_the_controller_until_it_is_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter(
        [
            "echo 'JobId=7 JobState=PENDING Reason=Resources NodeList= ExitCode=0:0'",
            "echo 'Unable to contact slurm controller' >&2; exit 1",
            "echo 'JobId=7 JobState=RUNNING Reason=None NodeList=n[1-4] ExitCode=0:0'",
            "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1",
        ]
    )
    job = replace(JOB, output=tmp_path / "out")
    write_script(job)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")

    def answer(_seconds: float = 0) -> None:
        (tmp_path / "scontrol").write_text(f"#!/bin/sh\n{next(answers)}\n")
        (tmp_path / "scontrol").chmod(0o755)
        job.log("7").write_bytes(b"loss 5.7\x1b[31m\nhalf a li")

    # Of that module alone: where a process is slow, `subprocess` sleeps, too.
    monkeypatch.setattr(slurm, "time", SimpleNamespace(sleep=answer))
    answer()
    said: list[str] = []
    with pytest.raises(PitboardError, match="forgotten job 7, last known as running: its log in"):
        Follower(job, "7", said.append).follow()
    assert said == ["loss 5.7\\x1b[31m", "Job 7: pending (Resources)", "Job 7: running (on n[1-4])"]
