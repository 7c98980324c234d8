"""The contestants of `training_throughput.py`: Pitboard's loop, and what people train the same models with.

A contestant takes a benchmark and calls `step` after each step of training. All of one benchmark train the
same model on the same samples, with the same batch, precision and optimizer.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Subset

if TYPE_CHECKING:  # A contestant's memory must not hold another benchmark's libraries.
    from pitboard.training.benchmarks.dlrm_dcnv2.benchmark import DlrmDcnv2
    from pitboard.training.benchmarks.flux1.benchmark import Flux1
    from pitboard.training.benchmarks.llama2_70b_lora.benchmark import Llama2Lora
    from pitboard.training.benchmarks.llama31_8b.benchmark import Llama31

Step = Callable[[], None]


def pitboard(benchmark: Any, step: Step) -> None:
    """Run Pitboard's own loop without evaluation."""
    from pitboard.events.writer import LogWriter
    from pitboard.suite.benchmarks.llama31_8b import LLAMA31_8B
    from pitboard.training.distributed import join_world
    from pitboard.training.loop import Race
    from pitboard.training.reporting import Silent

    class Watching(Silent):
        def stepped(self, samples: int, loss: float | None) -> None:
            step()

    benchmark.settings = benchmark.settings.model_copy(update={"evaluation_interval": None})
    folder = Path(tempfile.mkdtemp())
    # Nothing is evaluated, so it does not matter by whose rules.
    race = Race(
        benchmark, LLAMA31_8B, join_world(benchmark.settings), LogWriter(folder / "log"), Watching(), 1
    )
    race.initialize()
    race.run()


def llama_trainer(benchmark: "Llama31", step: Step) -> None:
    """Run Hugging Face's `Trainer` over its own Llama, compiled."""
    _trainer(_stock_llama(benchmark), benchmark, step, compiled=True)


def llama_eager(benchmark: "Llama31", step: Step) -> None:
    """Run the loop that a tutorial shows over Hugging Face's Llama."""

    def loss(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        tokens = batch["tokens"][:, :-1]
        found: Tensor = model(input_ids=tokens, labels=tokens).loss
        return found

    _eager(_stock_llama(benchmark), benchmark, loss, step)


def flux_eager(benchmark: "Flux1", step: Step) -> None:
    """Run the loop of `diffusers`' own training examples over its transformer."""
    _flux(benchmark, step, compiled=False)


def flux_compiled(benchmark: "Flux1", step: Step) -> None:
    """Run the same loop over the compiled transformer."""
    _flux(benchmark, step, compiled=True)


def _flux(benchmark: "Flux1", step: Step, *, compiled: bool) -> None:
    from diffusers.models.transformers.transformer_flux import FluxAttnProcessor

    from pitboard.training.benchmarks.flux1.model import patches

    settings = benchmark.settings
    # As the pipelines number them: rows and columns of the image, zeros for the text.
    side = settings.latent_size // 2
    image_ids = torch.zeros(side, side, 3)
    image_ids[..., 1] += torch.arange(side)[:, None]
    image_ids[..., 2] += torch.arange(side)
    image_ids, text_ids = image_ids.view(-1, 3), torch.zeros(settings.text_length, 3)

    def loss(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        time, latent, noise = batch["time"].view(-1, 1, 1, 1), batch["latent"], batch["noise"]
        predicted = model(
            hidden_states=patches((1.0 - time) * latent + time * noise),
            encoder_hidden_states=batch["text"],
            pooled_projections=batch["pooled"],
            timestep=batch["time"],
            img_ids=image_ids,
            txt_ids=text_ids,
            return_dict=False,
        )[0]
        mean: Tensor = (predicted.float() - patches(noise - latent).float()).pow(2).mean()
        return mean

    model: Any = benchmark.build().get_submodule("flux")
    model.set_attn_processor(FluxAttnProcessor())
    _eager(torch.compile(model) if compiled else model, benchmark, loss, step)


def lora_trainer(benchmark: "Llama2Lora", step: Step) -> None:
    """Run `peft` and `Trainer`."""
    _trainer(_stock_adapted(benchmark), benchmark, step, compiled=False)


def lora_trainer_compiled(benchmark: "Llama2Lora", step: Step) -> None:
    """Run `peft` and `Trainer`, compiled."""
    _trainer(_stock_adapted(benchmark), benchmark, step, compiled=True)


def dlrm_dense(benchmark: "DlrmDcnv2", step: Step) -> None:
    """Run the same model over `nn.EmbeddingBag`s, with dense gradients of the tables."""
    _dlrm(benchmark, step, sparse=False)


def dlrm_sparse(benchmark: "DlrmDcnv2", step: Step) -> None:
    """Run it with PyTorch's sparse gradients, as DLRM's first reference did."""
    _dlrm(benchmark, step, sparse=True)


def _dlrm(benchmark: "DlrmDcnv2", step: Step, *, sparse: bool) -> None:
    settings = benchmark.settings

    class Bags(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bags = nn.ModuleList(
                nn.EmbeddingBag(rows, settings.embedding_width, mode="sum", sparse=sparse)
                for rows in settings.rows
            )

        def forward(self, ids: Tensor) -> Tensor:
            parts = torch.split(ids, list(settings.ids_per_table), dim=1)
            return torch.cat([bag(part) for bag, part in zip(self.bags, parts, strict=True)], dim=1)

    model: Any = benchmark.build()
    model.embeddings = Bags()
    optimizer = torch.optim.Adagrad(model.parameters(), settings.learning_rate, eps=settings.epsilon)
    wanted = range(settings.sample_limit)
    data = Subset(benchmark.training_data(1), wanted)
    for batch in DataLoader(data, settings.global_batch_size, collate_fn=benchmark.collate):
        with nullcontext() if settings.precision == "fp32" else torch.autocast("cpu", dtype=torch.bfloat16):
            found = model(**batch).mean()
        found.backward()
        optimizer.step()
        optimizer.zero_grad()
        step()


def _eager(model: Any, benchmark: Any, loss: Callable[[Any, Any], Tensor], step: Step) -> None:
    settings = benchmark.settings
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, fused=True)
    for batch in _batches(benchmark):
        with nullcontext() if settings.precision == "fp32" else torch.autocast("cpu", dtype=torch.bfloat16):
            found = loss(model, batch)
        found.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), settings.gradient_clip_norm)
        optimizer.step()
        optimizer.zero_grad()
        step()


def _batches(benchmark: Any) -> Iterator[dict[str, Tensor]]:
    """Load the samples as the tutorials do."""
    settings = benchmark.settings
    wanted = range(settings.max_steps * settings.global_batch_size)
    yield from DataLoader(Subset(benchmark.training_data(1), wanted), settings.global_batch_size)


def _trainer(model: Any, benchmark: Any, step: Step, *, compiled: bool) -> None:
    from transformers import Trainer, TrainerCallback, TrainingArguments

    settings, data = benchmark.settings, benchmark.training_data(1)

    class Sequences(Dataset[dict[str, Tensor]]):
        def __len__(self) -> int:
            return len(data)

        def __getitem__(self, index: int) -> dict[str, Tensor]:
            tokens = data[index]["tokens"][: settings.sequence_length]
            return {"input_ids": tokens, "labels": data[index].get("labels", tokens)}

    class Watching(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *_: object, **__: object) -> None:
            step()

    Trainer(
        model=model,
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
            bf16=settings.precision == "bf16",
            use_cpu=True,
            torch_compile=compiled,
            dataloader_num_workers=0,
            logging_strategy="no",
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        ),
        train_dataset=Sequences(),
        callbacks=[Watching()],
    ).train()


def _stock_llama(benchmark: Any) -> nn.Module:
    """Return the same Llama as `transformers` runs it by itself: its own attention and loss."""
    from transformers import LlamaForCausalLM

    with torch.device("meta"):
        config = benchmark.build().llama.config
    config._attn_implementation = "sdpa"
    model: nn.Module = LlamaForCausalLM(config)
    return model


def _stock_adapted(benchmark: "Llama2Lora") -> nn.Module:
    """Return the same Llama with `peft`'s adapters, which `peft` keeps in FP32 where the base is BF16."""
    from peft import LoraConfig, get_peft_model

    settings = benchmark.settings
    base = torch.float32 if settings.precision == "fp32" else torch.bfloat16
    config = LoraConfig(
        r=settings.lora_rank,
        lora_alpha=settings.lora_alpha,
        lora_dropout=settings.lora_dropout,
        target_modules=["q_proj", "k_proj", "v_proj", "o_proj"],
    )
    model: nn.Module = get_peft_model(_stock_llama(benchmark).to(base), config)
    return model


CONTESTANTS: dict[str, dict[str, Callable[[Any, Step], None]]] = {
    "llama31_8b": {
        "Pitboard": pitboard,
        "Trainer, torch.compile": llama_trainer,
        "plain eager loop": llama_eager,
    },
    "flux1": {
        "Pitboard": pitboard,
        "plain diffusers loop": flux_eager,
        "the same, torch.compile": flux_compiled,
    },
    "llama2_70b_lora": {
        "Pitboard": pitboard,
        "peft + Trainer": lora_trainer,
        "the same, torch.compile": lora_trainer_compiled,
    },
    "dlrm_dcnv2": {
        "Pitboard": pitboard,
        "EmbeddingBag": dlrm_dense,
        "EmbeddingBag, sparse": dlrm_sparse,
    },
}
"""By benchmark, what to call a contestant and what it runs; Pitboard first."""
