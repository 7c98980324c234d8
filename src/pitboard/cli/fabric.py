"""The `pitboard fabric` command."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pitboard.cli.answers import Format, draw, show
from pitboard.errors import PitboardError

if TYPE_CHECKING:
    from pitboard.launch.fabric.measure import Wanted
    from pitboard.launch.fabric.record import Fabric


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("fabric")(fabric)


def fabric(
    nproc: Annotated[
        int | None,
        typer.Option(
            min=1, help="Ranks on this node, started with torchrun.", show_default="its GPUs, else 2"
        ),
    ] = None,
    benchmark: Annotated[
        str | None, typer.Option(help="Also measure the messages that training this benchmark would send.")
    ] = None,
    preset: Annotated[str, typer.Option(help="The benchmark's preset: smoke, full or sanity.")] = "full",
    assignments: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting of the preset.")
    ] = None,
    sizes: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="Message sizes, such as 64K,1M,16M.",
            show_default="4K to 256M on GPUs, to 16M on a CPU",
        ),
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=0.01, max=60, help="About how long each measurement takes.")
    ] = 0.2,
    tolerance: Annotated[
        float, typer.Option(min=1, max=90, help="By how many per cent peers may differ.")
    ] = 10.0,
    device: Annotated[
        Literal["auto", "cpu", "cuda"], typer.Option(help="What computes and communicates.")
    ] = "auto",
    timeout: Annotated[
        int, typer.Option(min=1, metavar="SECONDS", help="How long ranks wait for each other.")
    ] = 300,
    format: Annotated[Format, typer.Option(help="How to show the answer.")] = "table",
    chart: Annotated[
        Path | None, typer.Option(help="Where to draw the pairs as a heat map: .png, .svg or .html.")
    ] = None,
    record: Annotated[Path | None, typer.Option(hidden=True)] = None,
) -> None:
    """Say whether this cluster is fit to race: devices, links, topology, and what NCCL makes of them.

    Measures collective operations over message sizes, every pair of nodes and of ranks within a node, and
    each device; names what is slower than its peers. Runs on this node, or as the ranks that torchrun or srun
    starts.

    Exits 0 when nothing is off, 1 when something is, 2 when it could not be measured.
    """
    from pitboard.launch.fabric.record import parse_sizes
    from pitboard.launch.srun import become_rank
    from pitboard.launch.torchrun import launched_by_torchrun

    # Before torch is imported, which reads how many threads it may have.
    become_rank()
    if benchmark is not None:
        from pitboard import suite

        suite.benchmark(benchmark).preset(preset)
    elif assignments:
        raise PitboardError("--set changes a setting of a benchmark: name that with --benchmark.")
    chosen = None if sizes is None else parse_sizes(sizes)

    from pitboard.launch.fabric.measure import Wanted
    from pitboard.training.settings import parse_assignments

    wanted = Wanted(
        device=device,
        sizes=chosen,
        seconds=seconds,
        tolerance=tolerance / 100,
        timeout=timeout,
        benchmark=benchmark,
        preset=preset,
        overrides=parse_assignments(assignments or []),
    )
    if launched_by_torchrun() and nproc is not None:
        raise PitboardError("--nproc starts ranks on this node, and they have been started: leave it out.")
    found = _as_rank(wanted, record) if launched_by_torchrun() else _from_user_process(wanted, nproc)
    if found is None or record is not None:
        return
    from pitboard.results.fabric import fabric_answer

    answer = fabric_answer(found, wanted.tolerance)
    typer.echo(show(answer, format), nl=False)
    if chart is not None:
        if found.links:
            draw(answer, chart)
        else:
            typer.echo(f"One rank has no pairs, so there is nothing to draw in {chart}.", err=True)
    raise typer.Exit(0 if answer.facts["passed"] else 1)


def _as_rank(wanted: "Wanted", record: Path | None) -> "Fabric | None":
    """Measure as one of several ranks; rank 0 gets the result, and leaves it in `record` if that is named."""
    from pitboard.launch.fabric.measure import measure
    from pitboard.processes import end_with_parent

    end_with_parent()
    found = measure(wanted, _tell)
    if found is not None and record is not None:
        found.write(record)
    return found


def _from_user_process(wanted: "Wanted", nproc: int | None) -> "Fabric | None":
    """Measure on this node: alone, or with ranks that are launched and leave their result in a file."""
    import torch

    from pitboard.files import scratch
    from pitboard.launch.fabric.measure import measure
    from pitboard.launch.fabric.record import read_fabric
    from pitboard.launch.torchrun import launch_ranks

    gpus = torch.cuda.device_count() if wanted.device != "cpu" else 0
    ranks = nproc or gpus or 2
    if ranks == 1:
        return measure(wanted, _tell)
    with scratch(Path(tempfile.gettempdir()), "pitboard-fabric-") as folder:
        record = folder / "fabric.json"
        launch_ranks([*_arguments(wanted), "--record", str(record)], ranks)
        return read_fabric(record)


def _arguments(wanted: "Wanted") -> list[str]:
    """Return the command of a rank that measures what is wanted."""
    words = ["fabric", "--device", wanted.device, "--seconds", repr(wanted.seconds)]
    words += ["--tolerance", repr(wanted.tolerance * 100), "--preset", wanted.preset]
    words += ["--timeout", str(wanted.timeout)]
    if wanted.sizes is not None:
        words += ["--sizes", ",".join(map(str, wanted.sizes))]
    if wanted.benchmark is not None:
        words += ["--benchmark", wanted.benchmark]
    for name, value in (wanted.overrides or {}).items():
        words += ["--set", f"{name}={value}"]
    return words


def _tell(what: str) -> None:
    typer.echo(what, err=True)
