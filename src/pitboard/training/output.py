"""Where a run writes: the official submission's layout, its plan for resuming, and its lock.

DIR/results/<system>/<benchmark>/result_0.txt …   the logs
DIR/systems/<system>.json                         the system description
DIR/run.json                                      what was asked for and the settings it came to, for --resume
DIR/summaries/run_0.json                          what a finished run came to, for --format json
DIR/checkpoints/<benchmark>/run_0/                where checkpoints were asked for
"""

import fcntl
import secrets
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import msgspec

from pitboard.errors import PitboardError
from pitboard.events import Run, read_events
from pitboard.files import NO_JSON, inside, read_plain, write_atomically

_PLAN = "run.json"
_MOST_BYTES = 1 << 20


class Plan(msgspec.Struct, kw_only=True):
    """What was asked for: the round and benchmark, its settings' overrides, one seed a run, and the launch.

    `settings` holds every setting as the runs use it, so that a later Pitboard, whose presets may differ,
    resumes or repeats the same run; `None` in an older `run.json`. `decisions` gives, by name, the reason for
    each setting that was left to the machine; `rcp` is the global batch size of the official reference
    convergence point that some of `overrides` come from; `timeout` is for how many
    seconds ranks wait for each other; `version` is the Pitboard that made the plan.
    `environment` is what else decided the runs when they were last started (`training.environment`).
    """

    benchmark: str
    preset: str
    overrides: dict[str, Any]
    seeds: list[int]
    system: str
    submitter: str
    # An older `run.json` does not say: there was no other to race.
    round: str = "5.1"
    checkpoint_interval: int | None = None
    nproc: int = 1
    samples_grid: str | None = None
    settings: dict[str, Any] | None = None
    decisions: dict[str, str] = {}
    rcp: int | None = None
    timeout: int | None = None
    version: str | None = None
    environment: dict[str, Any] = {}


class Output:
    """The output folder of one `pitboard run`; `is_ours` says whether its runs are this command's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.is_ours = False
        self._lock_file: IO[str] | None = None

    def lock(self, *, shared: bool = False) -> None:
        """Create the folder and lock it until this process ends; a second run in it is refused.

        A `shared` lock lets others in that have one too: the jobs of an array, each with runs of its own.
        Raises `PitboardError` when another process has locked it, or it cannot be written.
        """
        if self._lock_file is not None:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock_file = (self.folder / ".lock").open("w")
        except OSError as error:
            raise PitboardError(
                f"Cannot write the output folder {self.folder}: {error.strerror}."
                " Choose another with --output."
            ) from error
        try:
            fcntl.flock(lock_file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError as error:
            raise PitboardError(
                f"The output folder {self.folder} is in use by another run: wait for it, or choose another"
                " with --output."
            ) from error
        self._lock_file = lock_file
        self.is_ours = True

    def start(self, plan: Plan) -> None:
        """Record the plan of new runs. A folder in which an earlier run's clock has started is refused."""
        try:
            self.require_new()
        except PitboardError:
            self.is_ours = False
            raise
        self.record(plan)

    def claim(self, plan: Plan) -> None:
        """Record the plan, unless another process has recorded one."""
        path = self.folder / _PLAN
        own = path.with_name(f".{_PLAN}.{secrets.token_hex(8)}")
        write_atomically(own, msgspec.json.format(msgspec.json.encode(plan)))
        try:
            # Of several at once, on one file system of several nodes, one makes the link.
            with suppress(FileExistsError):
                path.hardlink_to(own)
        except OSError as error:
            raise PitboardError(f"Cannot write {path}: {error.strerror}.") from error
        finally:
            own.unlink()

    def require_new(self) -> None:
        """Raise `PitboardError` where an earlier run's clock has started in the folder."""
        if self.has_started():
            raise PitboardError(
                f"The output folder {self.folder} holds an earlier run: continue that with"
                f" `pitboard run --resume {self.folder}`, or choose another folder with --output."
            )

    def record_settings(
        self, plan: Plan, settings: dict[str, Any], decisions: dict[str, str], environment: dict[str, Any]
    ) -> None:
        """Record the settings as a run uses them, why the machine decided some, and what else decided it."""
        if (plan.settings, plan.decisions, plan.environment) != (settings, decisions, environment):
            plan.settings, plan.decisions, plan.environment = settings, decisions, environment
            self.record(plan)

    def record(self, plan: Plan) -> None:
        """Write the plan in place of what was recorded. Raises `OSError`."""
        write_atomically(self.folder / _PLAN, msgspec.json.format(msgspec.json.encode(plan)))

    def has_started(self) -> bool:
        """Whether a run's clock has started in the folder."""
        logs = self.folder.glob("results/*/*/result_*.txt")
        return any(read_run(log).run_start_ms is not None for log in logs)

    def plan(self) -> Plan:
        """Read the recorded plan. Raises `PitboardError` when there is none or it is damaged."""
        try:
            return read_plan(self.folder / _PLAN)
        except OSError as error:
            raise PitboardError(
                f"Nothing to resume in {self.folder}: it has no readable {_PLAN}, which"
                " `pitboard run --output` writes."
            ) from error

    def log(self, plan: Plan, index: int) -> Path:
        """Return the path of a run's log."""
        return inside(self.folder / "results", plan.system, plan.benchmark, f"result_{index}.txt")

    def checkpoints(self, plan: Plan, index: int) -> Path:
        """Return the folder of a run's checkpoints."""
        return inside(self.folder / "checkpoints", plan.benchmark, f"run_{index}")

    def summary(self, index: int) -> Path:
        """Return the path of what a finished run came to, as JSON."""
        return inside(self.folder / "summaries", f"run_{index}.json")

    def unfinished(self, plan: Plan) -> list[int]:
        """Return the runs of the plan whose log has no `run_stop`, in order."""
        return [
            index for index in range(len(plan.seeds)) if read_run(self.log(plan, index)).run_stop_ms is None
        ]

    def all_reached(self, plan: Plan, only: int | None = None) -> bool:
        """Whether every run, or `only` one, reached its target; a preset without one cannot miss it."""
        indices = range(len(plan.seeds)) if only is None else [only]
        runs = [read_run(self.log(plan, index)) for index in indices]
        return all(run.status == "success" or run.target is None for run in runs)


def read_plan(path: Path) -> Plan:
    """Read a `run.json`, or that of a run's folder. Raises `OSError`, or `PitboardError` if damaged."""
    path = path / _PLAN if path.is_dir() else path
    try:
        plan = msgspec.json.decode(read_plain(path, _MOST_BYTES), type=Plan)
    except NO_JSON as error:
        raise PitboardError(f"{path} is damaged ({error}); start the runs again in a new folder.") from error
    # The file may be another's, and what it names is shown on a terminal.
    texts = [plan.round, plan.benchmark, plan.preset, plan.system, plan.submitter, plan.version or ""]
    texts += [*plan.overrides, *(plan.settings or ()), *plan.decisions, *plan.decisions.values()]
    texts += [plan.samples_grid or ""]
    if not plan.seeds or not all(text.isprintable() for text in texts):
        raise PitboardError(f"{path} is damaged (no seeds, or text that cannot be shown).")
    if plan.samples_grid is not None and not plan.samples_grid.lower().endswith(".png"):
        raise PitboardError(f"{path} is damaged (samples_grid is not a .png file).")
    # Both become folders.
    inside(path.parent, plan.system)
    inside(path.parent, plan.benchmark)
    return plan


def read_run(path: Path) -> Run:
    """Return what a log says of its run so far; nothing, where there is no log yet."""
    return Run.from_events(read_events(path)) if path.exists() else Run()
