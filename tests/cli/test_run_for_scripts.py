"""What a script gets from `pitboard run`: an object, a line, a dry run, and a run that can be repeated."""

import json
import signal
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from shutil import copytree
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.distributed as dist
import typer
from torch.distributed.tensor import DTensor
from torch.testing._internal.distributed.fake_pg import FakeStore

from pitboard import __version__, suite
from pitboard.cli.outcome import EndReport, report_at_end
from pitboard.cli.run import run
from pitboard.errors import PitboardError, Stopped
from pitboard.events import read_events
from pitboard.launch.plan import RunRequest, make_plan
from pitboard.training.distributed import World, data_ranks, make_meshes, prepare
from pitboard.training.forecast import forecast, schedule
from pitboard.training.loop import Race
from pitboard.training.output import Output
from pitboard.training.precision.products import Choice
from pitboard.training.protocol import benchmark_class
from pitboard.training.runner import settings_for
from support import Command, Python, command_environment, curve, the_log, the_run, tiny

PRESETS = [
    (name, preset.name)
    for name in ("llama31_8b", "flux1", "llama2_70b_lora", "retinanet", "rgat", "dlrm_dcnv2", "llama31_405b")
    for preset in suite.benchmark(name).presets
]
# One step of a tiny model: what is learned is not the matter here.
SETTINGS = [*tiny("llama31_8b")[3::2], "max_samples=16"]

TARGET = suite.benchmark("llama31_8b").preset("smoke").values["target"]


@pytest.fixture(autouse=True)
def at_home(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in command_environment(cache).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)


def called(*arguments: Any, **options: Any) -> int:
    """Run the command in this process and return its exit code."""
    try:
        run(*arguments, **options)
    except typer.Exit as ended:
        return ended.exit_code
    return 0


def tiny_run(folder: Path, **options: Any) -> int:
    """Train a tiny model for two steps."""
    return called("llama31_8b", assignments=SETTINGS, precision="fp32", seed=5, output=folder, **options)


@pytest.mark.slow
def test_one_object_on_stdout_holds_what_the_log_says(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert tiny_run(tmp_path / "out", format="json") == 1
    printed = capfd.readouterr()
    document, log = json.loads(printed.out), the_run(tmp_path / "out")
    assert "validation loss" in printed.err, "the progress is on stderr"
    assert document["exit_code"] == 1
    assert (document["reached"], document["time_to_train_minutes"], document["target"]) == (
        False,
        None,
        TARGET,
    )
    assert (document["benchmark"], document["preset"], document["seed"]) == ("llama31_8b", "smoke", 5)
    assert (document["quality"], document["samples"]) == (log.evaluations[-1].quality, 16)
    assert (document["precision"], document["emulated"], document["error"]) == ("fp32", False, None)
    assert document["log"] == str(the_log(tmp_path / "out"))
    assert document["output"] == str(tmp_path / "out")
    assert document["tokens_per_second"] == pytest.approx(32 * document["samples_per_second"])
    assert document["runs"][0]["minutes"] == log.minutes
    assert document["verdict"]["round"] == document["round"] == suite.NEWEST_RACED.version


@pytest.mark.slow
def test_quiet_prints_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert tiny_run(tmp_path / "out", quiet=True) == 1
    printed = capfd.readouterr()
    (line,) = printed.out.splitlines()
    assert line.startswith("llama31_8b (smoke): target not reached in 0.0")
    assert line.endswith(str(the_log(tmp_path / "out")))
    assert printed.err == ""


@pytest.mark.slow
def test_a_compiler_that_fails_is_one_sentence_and_what_to_do(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", (None, "/bin/false"))
    # Code of another test must not be found in place of a compiler.
    monkeypatch.setattr("torch._inductor.config.force_disable_caches", True)
    assignments = [*SETTINGS, "compile=true", "hidden_size=24"]
    with pytest.raises(PitboardError, match=r"^torch.compile failed \(.*/bin/false.*--set compile=false"):
        called(
            "llama31_8b", assignments=assignments, precision="fp32", output=tmp_path / "out", format="json"
        )
    assert "compile=false" in json.loads(capfd.readouterr().out)["error"]


@pytest.mark.slow
def test_what_could_not_run_is_an_object_with_its_error(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(PitboardError):
        called("lama31_8b", format="json")
    document = json.loads(capfd.readouterr().out)
    assert document == {"exit_code": 2, "error": document["error"]}
    assert "Did you mean 'llama31_8b'?" in document["error"]

    with pytest.raises(PitboardError):
        tiny_run(tmp_path / "out", format="json", nproc=1, checkpoint_every=None, layers=0)
    assert "layers" in json.loads(capfd.readouterr().out)["error"]

    with pytest.raises(PitboardError):
        called(
            "llama31_8b",
            assignments=[*SETTINGS, "learning_rate=1e30"],
            precision="fp32",
            output=tmp_path / "out",
            format="json",
        )
    document = json.loads(capfd.readouterr().out)
    assert document["exit_code"] == 2
    assert "training diverged" in document["error"]
    assert document["runs"][0]["status"] == "aborted"
    assert "training diverged" in document["runs"][0]["error"]

    copytree(tmp_path / "out", tmp_path / "earlier")
    with pytest.raises(PitboardError, match="holds an earlier run"):
        tiny_run(tmp_path / "earlier", format="json")
    document = json.loads(capfd.readouterr().out)
    assert document.keys() == {"exit_code", "error"}, "the earlier run is not this command's"


@pytest.mark.parametrize(
    ("signalled", "code"),
    [(Stopped(signal.SIGTERM), 143), (KeyboardInterrupt(), 130)],
    ids=["SIGTERM", "SIGINT"],
)
def test_a_stopped_run_is_an_object_too(
    signalled: BaseException, code: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    output = Output(tmp_path)
    output.lock()
    output.start(make_plan(RunRequest(benchmark="llama31_8b", seed=5, submitter="Us", system="here")))
    with pytest.raises(type(signalled)), report_at_end(EndReport(format="json", output=output)):
        raise signalled
    stopped = json.loads(capfd.readouterr().out)
    assert stopped["exit_code"] == code
    assert stopped["error"]
    assert (stopped["runs"][0]["status"], stopped["reached"], stopped["verdict"]) == (None, False, None)


@pytest.mark.slow
def test_run_json_holds_every_setting_as_it_is_used(tmp_path: Path) -> None:
    tiny_run(tmp_path / "out", layers=1)
    plan = Output(tmp_path / "out").plan()
    settings = settings_for("llama31_8b", "smoke", plan.overrides)
    assert plan.settings == settings.model_dump(mode="json") | {"layers": 1, "compile": False}
    assert plan.version == __version__


@pytest.mark.slow
def test_what_the_machine_decides_is_recorded_with_its_reason_and_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pitboard.training.runner.can_compile", lambda _: False)
    monkeypatch.setattr("pitboard.training.runner.choose_precision", lambda _: Choice("fp32", "BF16 is slow"))
    left = ["batch_follows_ranks=false", "activation_checkpointing=none"]
    settings = [text for text in SETTINGS if not text.startswith("compile")] + left
    called("llama31_8b", preset="sanity", assignments=settings, output=tmp_path / "out")
    plan = Output(tmp_path / "out").plan()
    assert plan.settings is not None
    assert (plan.settings["precision"], plan.settings["compile"]) == ("fp32", False)
    assert plan.decisions == {"precision": "BF16 is slow", "compile": "no compiler was found"}

    monkeypatch.setattr("pitboard.training.runner.choose_precision", lambda _: Choice("bf16", "BF16 is fast"))
    called(like=tmp_path / "out", output=tmp_path / "again")
    again = Output(tmp_path / "again").plan()
    assert again.settings == plan.settings
    assert again.decisions["precision"] == "as in the repeated run (BF16 is slow)"
    told = {event.key: event.value for event in read_events(the_log(tmp_path / "again"))}
    assert told["pitboard_precision_reason"] == again.decisions["precision"]


@pytest.mark.slow
def test_an_edited_preset_changes_neither_a_resumed_nor_a_repeated_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_run(tmp_path / "first")
    # What is left of a run that was killed before its clock started: a plan.
    for name in ("begun", "older"):
        (tmp_path / name).mkdir()
        plan = json.loads((tmp_path / "first" / "run.json").read_bytes())
        if name == "older":
            del plan["settings"], plan["decisions"], plan["version"]
        (tmp_path / name / "run.json").write_text(json.dumps(plan))
    whole = suite.benchmark("llama31_8b")
    smoke = whole.preset("smoke")
    rate = smoke.values["learning_rate"]
    edited = replace(smoke, values={**smoke.values, "weight_decay": 0.9, "learning_rate": 1e-9})
    monkeypatch.setattr(suite, "benchmark", lambda _, **__: replace(whole, presets=(edited,)))

    called(resume=tmp_path / "begun")
    called(like=tmp_path / "first", output=tmp_path / "again")
    called(like=tmp_path / "first" / "run.json", output=tmp_path / "changed", seed=6, runs=1, layers=1)
    called(resume=tmp_path / "older")

    first = curve(tmp_path / "first")
    assert curve(tmp_path / "begun") == curve(tmp_path / "again") == first
    assert the_run(tmp_path / "again").seed == 5
    assert Output(tmp_path / "again").plan().settings == Output(tmp_path / "first").plan().settings
    assert the_run(tmp_path / "changed").seed == 6
    changed = Output(tmp_path / "changed").plan()
    assert changed.settings is not None
    assert (changed.settings["layers"], changed.settings["learning_rate"]) == (1, rate)
    assert the_run(tmp_path / "older").settings["opt_base_learning_rate"] == 1e-9


PARAMETERS = {
    ("llama31_8b", "full"): (8_030_261_248, 8_030_261_248),
    ("llama2_70b_lora", "full"): (68_976_648_192 + 44_564_480, 44_564_480),
    ("llama31_405b", "full"): (402_699_272_192, 402_699_272_192),
}


@pytest.mark.parametrize(("benchmark", "preset"), PRESETS)
def test_a_dry_run_of_every_preset_writes_nothing(
    benchmark: str, preset: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert called(benchmark, preset, dry_run=True, nproc=2, format="json", output=tmp_path / "out") == 0
    document = json.loads(capfd.readouterr().out)
    assert list(tmp_path.iterdir()) == []
    values = suite.benchmark(benchmark).preset(preset).values
    assert document["settings"]["learning_rate"] == values["learning_rate"]
    assert document["settings"]["compile"] is not None
    assert document["writes"]["logs"] == [
        str(tmp_path / "out" / "results" / document["system"] / benchmark / "result_0.txt")
    ]
    expected = PARAMETERS.get((benchmark, preset))
    assert expected in (None, (document["parameters"], document["trainable_parameters"]))
    assert (document["evaluation"] is None) == (values["evaluation_interval"] is None)


def test_a_dry_run_is_shown_as_text(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert called("llama31_8b", "full", dry_run=True, layers=2, output=tmp_path / "out") == 0
    printed = capfd.readouterr().out
    assert "first after 12,288 samples, then every 12,288; at most 3,125" in printed
    assert "activations come on top" in printed
    assert "5.1, the newest that Pitboard can race" in printed
    assert str(tmp_path / "out" / "run.json") in printed
    (line,) = [line for line in printed.splitlines() if line.startswith("layers ")]
    assert line.split() == ["layers", "2", "asked", "for"]


def test_a_round_that_cannot_be_raced_is_refused_with_one_that_can(tmp_path: Path) -> None:
    assert called("llama31_8b", dry_run=True, round="v5.1", output=tmp_path / "out", layers=1) == 0
    for refused, why in (("6.1", "it can race 5.1"), ("5.2", "The nearest are 5.0 and 5.1")):
        with pytest.raises(PitboardError, match=why):
            called("llama31_8b", dry_run=True, round=refused, output=tmp_path / "out")


@pytest.mark.slow
def test_a_dry_run_refuses_what_a_run_would(tmp_path: Path) -> None:
    with pytest.raises(PitboardError, match="choose a multiple of 3"):
        called("llama31_8b", dry_run=True, nproc=3)
    staged = ["pipeline_parallel=4", "layers=4", "global_batch_size=8", "micro_batch_size=2"]
    with pytest.raises(PitboardError, match="needs 4 micro-batches a step, and"):
        called("llama31_8b", assignments=staged, dry_run=True, nproc=8)
    tiny_run(tmp_path / "out")
    with pytest.raises(PitboardError, match="holds an earlier run"):
        called("llama31_8b", dry_run=True, output=tmp_path / "out")


@pytest.mark.parametrize(
    ("interval", "skipped", "samples"),
    [
        (128, 0, 2560),
        (100, 0, 2560),
        (384, 2, 2048),
        (384, 2, 384),
        (384, 9, 1024),
        (5000, 0, 64),
        (8, 1, 60),
    ],
)
def test_the_forecast_evaluations_are_those_of_the_loop(interval: int, skipped: int, samples: int) -> None:
    overrides = {"evaluation_interval": interval, "evaluations_skipped": skipped, "max_samples": samples}
    settings = settings_for("llama31_8b", "smoke", overrides)
    rules = settings.rules(suite.benchmark("llama31_8b"))
    progress = SimpleNamespace(step=0, samples=0)
    race: Any = SimpleNamespace(settings=settings, rules=rules, progress=progress)
    due = []
    while progress.samples < settings.sample_limit:
        progress.step, progress.samples = progress.step + 1, progress.samples + settings.global_batch_size
        if Race._evaluation_due(race):
            due.append(progress.samples)
    expected = schedule(settings, rules)
    assert expected is not None
    assert (expected.first, expected.most) == (due[0], len(due))
    assert len(due) < 3 or expected.interval == due[1] - due[0]


@pytest.fixture
def one_of_four(spread: dict[str, int]) -> Iterator[None]:
    """Stand for the first rank of the last stage: it has the most."""
    rank = 4 - 4 // spread.get("pipeline_parallel", 1)
    dist.init_process_group("fake", store=FakeStore(), rank=rank, world_size=4)
    yield
    dist.destroy_process_group()


@pytest.mark.parametrize(
    ("benchmark", "spread"),
    [
        ("llama31_8b", {}),
        ("llama31_8b", {"replicas": 2}),
        ("llama31_8b", {"tensor_parallel": 2, "key_value_heads": 2}),
        ("llama31_8b", {"context_parallel": 2}),
        ("llama31_8b", {"pipeline_parallel": 2}),
        ("llama31_8b", {"pipeline_parallel": 2, "tensor_parallel": 2, "key_value_heads": 2}),
        ("flux1", {}),
        ("llama2_70b_lora", {}),
        ("retinanet", {}),
        ("rgat", {}),
    ],
)
def test_the_forecast_memory_is_that_of_the_sharded_model(
    benchmark: str, spread: dict[str, int], one_of_four: None
) -> None:
    settings = settings_for(benchmark, "smoke", {"compile": False, **spread})
    mesh, context = make_meshes(4, torch.device("cpu"), settings)
    world = World(0, 4, torch.device("cpu"), mesh, 0, data_ranks(4, settings), 1, context=context)
    made = benchmark_class(benchmark)(settings)
    with torch.device("meta"):
        model = made.build()
    prepare(model, made, world)
    held = {True: 0, False: 0}
    for parameter in model.parameters():
        assert isinstance(parameter, DTensor)
        local = parameter.to_local()
        held[parameter.requires_grad] += local.numel() * local.element_size()
    memory = forecast(benchmark, settings, world).memory_per_rank
    assert memory.parameters == held[True] + held[False]
    assert (memory.gradients, memory.optimizer) == (held[True], 2 * held[True])


@pytest.mark.slow
def test_a_series_of_processes_gives_one_object(pitboard: Command, tmp_path: Path) -> None:
    settings = [word for text in SETTINGS for word in ("--set", text)]
    options = ["--precision", "fp32", "--runs", 2, "--seed", 5, "--format", "json"]
    done = pitboard("run", "llama31_8b", *settings, *options, "--output", tmp_path / "out")
    assert done.returncode == 1, done.stderr
    document = json.loads(done.stdout)
    assert [run["seed"] for run in document["runs"]] == [5, 6]
    assert [run["log"] for run in document["runs"]] == [str(the_log(tmp_path / "out", n)) for n in (0, 1)]
    assert all(run["ranks"] == 1 and run["tokens_per_second"] > 0 for run in document["runs"])
    assert (document["quality"], document["seed"], document["reached"]) == (None, None, False)
    assert "2 runs" in done.stderr


@pytest.mark.slow
def test_torchrun_on_two_nodes_describes_both_and_gives_one_object(python: Python, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = [word for text in SETTINGS for word in ("--set", text)]
    command = ["-m", "pitboard", "run", "llama31_8b", *settings, "--precision", "fp32", "--format", "json"]
    agents = [
        python(
            "-m", "torch.distributed.run", "--nnodes=2", f"--node-rank={node}", "--nproc-per-node=1",
            "--master-addr=127.0.0.1", f"--master-port={port}", *command, "--output", tmp_path / "out",
        )
        for node in (0, 1)
    ]  # fmt: skip
    (first, errors), (second, _) = (agent.communicate(timeout=200) for agent in agents)
    document = json.loads(first)
    assert second == "", errors
    assert document["runs"][0]["ranks"] == 2
    assert document["system"].startswith("2n-1x-")
    (described,) = (tmp_path / "out" / "systems").iterdir()
    assert json.loads(described.read_bytes())["number_of_nodes"] == "2"
    assert described.name == f"{document['system']}.json"
