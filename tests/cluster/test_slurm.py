"""Jobs of a real Slurm, of one host that passes for four: raced, lost, stopped, requeued, and in an array.

The tasks are forked as all commands under test are (`forked.Door`).
"""

import json
import os
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import forked
from forked import Door
from local_slurm import LocalSlurm
from pitboard.events import read_events
from support import Command, Python, command_environment, curve, near, the_log, the_run, tiny, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("slurm")]

RUN = [*tiny("llama31_8b")[2:], "--seed", "7", "--precision", "fp32", "--set", "target=0"]
LONG = [*RUN, "--set", "evaluation_interval=40", "--set", "max_samples=480"]


@pytest.fixture
def environment(slurm: LocalSlurm, cache: Path) -> dict[str, str]:
    return command_environment(cache) | slurm.environment


@pytest.fixture
def launch(door: Door, python: Python, environment: dict[str, str]) -> Callable[..., forked.Started]:
    """Return a function that starts `pitboard launch slurm llama31_8b`."""

    def start(*arguments: object) -> forked.Started:
        return python("-c", door.code, "launch", "slurm", "llama31_8b", *arguments, env=environment)

    return start


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def newest(folder: Path) -> int:
    """Return at which sample the last whole checkpoint is, or 0."""
    whole = folder.glob("checkpoints/*/run_0/samples_*/.metadata")
    return max((int(path.parent.name.removeprefix("samples_")) for path in whole), default=0)


def keys(folder: Path) -> list[str]:
    return [event.key for event in read_events(the_log(folder))]


def task(slurm: LocalSlurm, rank: int) -> int:
    """Return the process of a rank of the step that runs."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            variables = (entry / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        mine = f"SLURM_CONF={slurm.folder}/slurm.conf".encode() in variables
        if mine and f"SLURM_PROCID={rank}".encode() in variables and b"SLURM_STEP_NUM_TASKS=2" in variables:
            return int(entry.name)
    raise AssertionError(f"no task {rank}")


def node_of(process: int) -> str:
    """Return the node that a task believes to be on."""
    variables = Path(f"/proc/{process}/environ").read_bytes().split(b"\0")
    (name,) = (each for each in variables if each.startswith(b"SLURMD_NODENAME="))
    return name.partition(b"=")[2].decode()


def test_two_nodes_and_srun_by_hand_race_as_one_process(
    slurm: LocalSlurm,
    launch: Callable[..., forked.Started],
    door: Door,
    environment: dict[str, str],
    pitboard: Command,
    tmp_path: Path,
) -> None:
    assert pitboard("run", "llama31_8b", *RUN, "--output", tmp_path / "one").returncode == 1
    one = curve(tmp_path / "one")

    folder = tmp_path / "two nodes"  # a name that the script has to quote
    followed = launch("--nodes", 2, "--time", 5, "--output", folder, "--wait", "--", *RUN)
    # By hand, meanwhile, and dealt to the nodes in turn: replicas are sharded inside a node all the same.
    command = ["srun", "--nodes=2", "--ntasks=4", "--distribution=cyclic", str(door.executable)]
    settings = [*RUN, "--set", "replicas=2", "--format", "json", "--output", str(tmp_path / "by hand")]
    by_hand = subprocess.run(
        [*command, "-m", "pitboard", "run", "llama31_8b", *settings],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    out, errors = followed.communicate(120)

    assert followed.returncode == 1, out + errors  # the target is not reached
    assert curve(folder) == near(one, 1e-5)
    assert re.search(r"^Job \d+: running \(on n\[?\d", out, re.MULTILINE), out
    assert re.search(r"^Job \d+: failed \(on n", out, re.MULTILINE)
    assert "llama31_8b (smoke) on 2 × " in out
    (log,) = (folder / "slurm").glob("job-*.log")
    assert "Time-to-train" in log.read_text()
    assert the_log(folder).parents[1].name.startswith("2n-")
    assert by_hand.returncode == 1, by_hand.stderr
    assert json.loads(by_hand.stdout)["runs"][0]["ranks"] == 4
    assert "is sharded over" not in by_hand.stderr
    assert curve(tmp_path / "by hand") == near(one, 1e-5)


def test_the_same_runs_on_one_node_and_on_two_are_raced_one_after_another_and_set_side_by_side(
    launch: Callable[..., forked.Started], pitboard: Command, tmp_path: Path
) -> None:
    folder = tmp_path / "scaled"
    followed = launch("--scale", "1,2", "--per-node", "--output", folder, "--wait", "--", *RUN)
    out, errors = followed.communicate(180)

    assert followed.returncode == 1, out + errors  # the target is not reached
    submitted = re.findall(r"^Job (\d+): submitted", out, re.MULTILINE)
    # The second waits for the first, so that neither disturbs the other.
    assert out.index(f"Job {submitted[0]}: failed") < out.index(f"Job {submitted[1]}: running")
    assert curve(folder / "1") == near(curve(folder / "2"), 1e-5)
    shown = pitboard("results", "ranks", folder, "--format", "json")
    assert shown.returncode == 0, shown.stderr
    answer = json.loads(shown.stdout)
    assert answer["title"] in out
    rows = answer["rows"]
    assert [(row["ranks"], row["nodes"]) for row in rows] == [(1, 1), (2, 2)]
    assert rows[1]["acts_like"] == pytest.approx(rows[0]["minutes"] / rows[1]["minutes"])


def test_a_job_that_loses_a_node_and_a_rank_and_is_stopped_and_cancelled_ends_as_if_nothing_had_been(
    slurm: LocalSlurm,
    launch: Callable[..., forked.Started],
    python: Python,
    environment: dict[str, str],
    tmp_path: Path,
) -> None:
    folder = tmp_path / "out"
    script = folder / "slurm" / "job.sh"
    followed = launch("--nodes", 2, "--output", folder, "--wait", "--", *LONG, "--checkpoint-every", 16)
    # Meanwhile, in one process that nobody disturbs.
    whole = python("-m", "pitboard", "run", "llama31_8b", *LONG, "--output", tmp_path / "whole")
    wait_until(lambda: newest(folder) > 0, followed)
    (job,) = (folder / "slurm").glob("job-*.log")
    id = job.stem.removeprefix("job-")

    def go_on(starts: int) -> None:
        """Have a requeued job begin at once, and wait until it has written a checkpoint."""

        def has_begun() -> bool:
            # Slurm lets it rest two minutes; two seconds suffice for its nodes to take the job for a new one.
            if "Reason=BeginTime" in slurm.ask("scontrol", "show", "job", id):
                time.sleep(2.5)
                slurm.ask("scontrol", "update", f"JobId={id}", "StartTime=now")
            return keys(folder).count("pitboard_resumed") == starts

        wait_for(has_begun)
        assert the_run(folder).run_stop_ms is None
        before = newest(folder)
        wait_for(lambda: newest(folder) > before)

    away = node_of(task(slurm, 1))
    slurm.lose(away)
    wait_for(lambda: "lost contact" in job.read_text())
    # What Slurm finds by itself after its SlurmdTimeout, as a rule five minutes.
    slurm.ask("scontrol", "update", f"NodeName={away}", "State=DOWN", "Reason=lost")
    go_on(1)
    slurm.bring_back(away)
    os.kill(task(slurm, 1), 9)
    go_on(2)
    slurm.ask("scancel", "--signal=TERM", id)  # as before its time limit
    go_on(3)
    # What its user cancels stays so.
    slurm.ask("scancel", id)
    out, errors = followed.communicate(60)
    assert followed.returncode == 143, out + errors
    assert f"\nJob {id}: cancelled" in out
    assert "Restarts=3" in slurm.ask("scontrol", "show", "job", id)
    assert the_run(folder).run_stop_ms is None
    # The rank may be lost while the run is evaluated.
    contact = (
        r"^Error: Rank 0 on (n\d) lost contact with rank 1 on (n\d) after step (\d+) \(sample (\d+)\)"
        r"(?: and \d+ batch(?:es)? of the evaluation)?: it has ended"
    )
    told = re.findall(contact, out, re.MULTILINE)
    assert len(told) == 2, out
    for mine, other, step, sample in told:
        assert mine != other
        assert int(sample) == 8 * int(step)
    assert told[0][1] == away
    assert f"srun: error: {told[1][1]}: task 1: Killed" in out

    # Submitted again, on as many nodes as are left, it goes on to its end.
    sbatch = ["sbatch", "--parsable", "--nodes=1", str(script)]
    again = subprocess.run(sbatch, env=environment, capture_output=True, text=True, check=True).stdout.strip()
    wait_for(lambda: "JobState=FAILED" in slurm.ask("scontrol", "show", "job", again))
    assert "ExitCode=1:0" in slurm.ask("scontrol", "show", "job", again), "the target is not reached"
    assert keys(folder).count("run_start") == 1
    assert keys(folder).count("pitboard_resumed") == 4
    assert whole.wait(60) == 1
    expected = dict(curve(tmp_path / "whole"))
    assert curve(folder)[-1:] == near([(480, expected[480])], 1e-5)
    assert dict(curve(folder)) == dict(near(((at, expected[at]) for at, _ in curve(folder)), 1e-5))


def test_an_array_gathers_its_runs_in_one_folder(
    launch: Callable[..., forked.Started], pitboard: Command, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    followed = launch("--array", 3, "--output", folder, "--wait", "--", *RUN)
    out, errors = followed.communicate(120)
    assert followed.returncode == 1, out + errors
    assert [the_run(folder, number).seed for number in range(3)] == [7, 8, 9]
    assert len(list(folder.glob("results/*/llama31_8b/result_*.txt"))) == 3
    assert len(list((folder / "slurm").glob("job-*_[012].log"))) == 3
    assert "3 runs" in out, "the last one shows the table"
    assert "Nothing to resume" in pitboard("run", "--resume", folder).stdout
