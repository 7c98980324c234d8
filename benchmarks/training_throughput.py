"""Training throughput of the smoke model beside Hugging Face `Trainer` and a plain eager loop, in one run.

Same model, samples, batch, sequence length, precision (BF16 autocast) and optimizer (fused AdamW, gradient
clipping at 1). Each contestant is a process of its own that warms up, then trains stretches of `--steps`
steps, taking turns with the others, so that a machine whose speed drifts slows them alike; the medians are
compared. Peak memory is the process's.

    python benchmarks/training_throughput.py [--rounds 5] [--steps 24]
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

CONTESTANTS = {
    "pitboard": "Pitboard's loop",
    "trainer": "Trainer, torch.compile",
    "eager": "plain eager loop",
}
WARMUP_STEPS = 6


def main() -> None:
    arguments = _arguments()
    if arguments.contestant:
        _contest(arguments.contestant, arguments.rounds, arguments.steps)
        return
    figures = _measure(arguments.rounds, arguments.steps)
    ours = statistics.median(figures["pitboard"][0])
    print(f"Llama smoke model, BF16, median of {arguments.rounds} stretches of {arguments.steps} steps:")
    for name, (rates, memory) in figures.items():
        median = statistics.median(rates)
        print(
            f"  {CONTESTANTS[name]:<24}{median:>9,.0f} tokens/s ({min(rates):,.0f} to {max(rates):,.0f})"
            f"  peak {memory / 2**30:.2f} GiB  Pitboard is {ours / median:.2f} x as fast"
        )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--contestant", choices=CONTESTANTS, help=argparse.SUPPRESS)
    return parser.parse_args()


def _measure(rounds: int, steps: int) -> dict[str, tuple[list[float], int]]:
    """Let the contestants take turns, a stretch each; return each one's rates and peak memory."""
    flags = ["--rounds", str(rounds), "--steps", str(steps)]
    running = {
        name: subprocess.Popen(
            [sys.executable, __file__, "--contestant", name, *flags],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for name in CONTESTANTS
    }
    for process in running.values():
        _expect(process, "ready")
    rates: dict[str, list[float]] = {name: [] for name in CONTESTANTS}
    for _ in range(rounds):
        for name, process in running.items():
            assert process.stdin
            process.stdin.write("go\n")
            process.stdin.flush()
            rates[name].append(float(_expect(process, "rate")))
    for process in running.values():
        assert process.stdin
        process.stdin.close()
    return {name: (rates[name], int(_expect(process, "memory"))) for name, process in running.items()}


def _expect(process: "subprocess.Popen[str]", word: str) -> str:
    assert process.stdout
    for line in process.stdout:
        if line.startswith(f"@{word}"):
            return line.removeprefix(f"@{word}").strip()
    raise SystemExit(f"{process.args} ended without saying {word}")


def _contest(name: str, rounds: int, steps: int) -> None:
    """Be one contestant: warm up, then on each line of standard input train a stretch."""
    import resource

    from pitboard.training.benchmarks.llama31_8b import Llama31, LlamaSettings
    from pitboard.training.runner import settings_for

    total = WARMUP_STEPS + rounds * steps
    chosen = settings_for("llama31_8b", "smoke", {"compile": name == "pitboard", "max_steps": total})
    assert isinstance(chosen, LlamaSettings)
    {"pitboard": _pitboard, "trainer": _trainer, "eager": _eager}[name](Llama31(chosen), steps)
    print(f"@memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}", flush=True)


class Stopwatch:
    """Counts steps; at the end of each stretch prints its rate and waits for the next turn."""

    def __init__(self, tokens_per_step: int, steps: int) -> None:
        self.tokens_per_step, self.steps, self.done = tokens_per_step, steps, -WARMUP_STEPS

    def step(self) -> None:
        """Count one step of training."""
        import time

        self.done += 1
        if self.done > 0 and self.done % self.steps == 0:
            seconds = time.perf_counter() - self.began
            print(f"@rate {self.tokens_per_step * self.steps / seconds}", flush=True)
        if self.done == 0:
            print("@ready", flush=True)
        if self.done >= 0 and self.done % self.steps == 0:
            sys.stdin.readline()
            self.began = time.perf_counter()


def _pitboard(benchmark, steps: int) -> None:  # type: ignore[no-untyped-def]
    from pitboard.events.writer import LogWriter
    from pitboard.training.distributed import join_world
    from pitboard.training.loop import Race
    from pitboard.training.reporting import Silent

    watch = _stopwatch(benchmark, steps)

    class Watching(Silent):
        def stepped(self, samples: int, loss: float | None) -> None:
            watch.step()

    benchmark.settings = benchmark.settings.model_copy(update={"evaluation_interval": None})
    folder = Path(tempfile.mkdtemp())
    race = Race(benchmark, join_world(benchmark.settings), LogWriter(folder / "log"), Watching(), 1)
    race.initialize()
    race.run()


def _trainer(benchmark, steps: int) -> None:  # type: ignore[no-untyped-def]
    import torch
    from transformers import Trainer, TrainerCallback, TrainingArguments

    settings, watch = benchmark.settings, _stopwatch(benchmark, steps)
    data = benchmark.training_data(1)

    class Sequences(torch.utils.data.Dataset):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return len(data)

        def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
            tokens = data[index]["tokens"][:-1]
            return {"input_ids": tokens, "labels": tokens}

    class Watching(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *_: object, **__: object) -> None:
            watch.step()

    Trainer(
        model=_stock_model(benchmark),
        args=TrainingArguments(
            output_dir=tempfile.mkdtemp(),
            per_device_train_batch_size=settings.global_batch_size,
            max_steps=settings.max_steps,
            learning_rate=settings.learning_rate,
            weight_decay=settings.weight_decay,
            adam_beta2=settings.beta2,
            adam_epsilon=settings.epsilon,
            max_grad_norm=settings.gradient_clip_norm,
            lr_scheduler_type="cosine",
            warmup_steps=settings.warmup_steps,
            optim="adamw_torch_fused",
            bf16=True,
            use_cpu=True,
            torch_compile=True,
            dataloader_num_workers=0,
            logging_strategy="no",
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        ),
        train_dataset=Sequences(),
        callbacks=[Watching()],
    ).train()


def _eager(benchmark, steps: int) -> None:  # type: ignore[no-untyped-def]
    import torch

    settings, watch = benchmark.settings, _stopwatch(benchmark, steps)
    data, model = benchmark.training_data(1), _stock_model(benchmark)
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, fused=True)
    for step in range(settings.max_steps):
        numbers = range(step * settings.global_batch_size, (step + 1) * settings.global_batch_size)
        tokens = torch.stack([data[number]["tokens"][:-1] for number in numbers])
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = model(input_ids=tokens, labels=tokens).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), settings.gradient_clip_norm)
        optimizer.step()
        optimizer.zero_grad()
        watch.step()


def _stock_model(benchmark):  # type: ignore[no-untyped-def]
    """Return the same model as `transformers` runs it by itself: its own attention and loss."""
    from transformers import LlamaForCausalLM

    config = benchmark.build().llama.config
    config._attn_implementation = "sdpa"
    return LlamaForCausalLM(config)


def _stopwatch(benchmark, steps: int) -> Stopwatch:  # type: ignore[no-untyped-def]
    settings = benchmark.settings
    return Stopwatch(settings.global_batch_size * settings.sequence_length, steps)


if __name__ == "__main__":
    main()
