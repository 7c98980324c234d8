"""The contestants of `training_throughput.py`: Pitboard's loop, and what people train the same models with.

A contestant takes a benchmark and calls `step` after each step of training. All of one benchmark train the
same model on the same samples, with the same batch, precision and optimizer.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Subset

from pitboard.training.device import choose_device
from pitboard.training.reporting import Silent

if TYPE_CHECKING:  # A contestant's memory must not hold another benchmark's libraries.
    from pitboard.training.benchmarks.dlrm_dcnv2.benchmark import DlrmDcnv2
    from pitboard.training.benchmarks.flux1.benchmark import Flux1
    from pitboard.training.benchmarks.llama2_70b_lora.benchmark import Llama2Lora
    from pitboard.training.benchmarks.llama31_8b.benchmark import Llama31
    from pitboard.training.benchmarks.retinanet.benchmark import RetinaNetBenchmark
    from pitboard.training.benchmarks.rgat.benchmark import RelationalGat

Step = Callable[[], None]


def pitboard(benchmark: Any, step: Step) -> None:
    """Run Pitboard's own loop without evaluation."""
    from pitboard.events.writer import LogWriter
    from pitboard.suite.benchmarks.llama31_8b import LLAMA31_8B
    from pitboard.training.distributed import join_world
    from pitboard.training.loop import Race

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
    _eager(_stock_llama(benchmark), benchmark, _next_token_loss, step)


def llama_compiled(benchmark: "Llama31", step: Step) -> None:
    """Run the same loop over the compiled model."""
    _eager(_ready(_stock_llama(benchmark), benchmark), benchmark, _next_token_loss, step)


def _next_token_loss(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    tokens = batch["tokens"][:, :-1]
    found: Tensor = model(input_ids=tokens, labels=tokens).loss
    return found


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
    side, device = settings.latent_size // 2, choose_device(settings.device, 0)
    image_ids = torch.zeros(side, side, 3, device=device)
    image_ids[..., 1] += torch.arange(side, device=device)[:, None]
    image_ids[..., 2] += torch.arange(side, device=device)
    image_ids, text_ids = image_ids.view(-1, 3), torch.zeros(settings.text_length, 3, device=device)

    def loss(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        time, latent, noise = batch["time"].view(-1, 1, 1, 1), batch["latent"], batch["noise"]
        predicted = model(
            hidden_states=patches((1.0 - time) * latent + time * noise),
            # Kept in BF16.
            encoder_hidden_states=batch["text"].to(latent.dtype),
            pooled_projections=batch["pooled"].to(latent.dtype),
            timestep=batch["time"],
            img_ids=image_ids,
            txt_ids=text_ids,
            return_dict=False,
        )[0]
        mean: Tensor = (predicted.float() - patches(noise - latent).float()).pow(2).mean()
        return mean

    with device:
        model: Any = benchmark.build().get_submodule("flux")
    model.set_attn_processor(FluxAttnProcessor())
    _eager(_ready(model, benchmark) if compiled else model, benchmark, loss, step)


def lora_compiled(benchmark: "Llama2Lora", step: Step) -> None:
    """Run a plain loop over `peft`'s adapted Llama, compiled."""

    def loss(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        found: Tensor = model(input_ids=batch["tokens"], labels=batch["labels"]).loss
        return found

    _eager(_ready(_stock_adapted(benchmark), benchmark), benchmark, loss, step)


def lora_trainer(benchmark: "Llama2Lora", step: Step) -> None:
    """Run `peft` and `Trainer`."""
    _trainer(_stock_adapted(benchmark), benchmark, step, compiled=False)


def lora_trainer_compiled(benchmark: "Llama2Lora", step: Step) -> None:
    """Run `peft` and `Trainer`, compiled."""
    _trainer(_stock_adapted(benchmark), benchmark, step, compiled=True)


def _ready(model: nn.Module, benchmark: Any) -> nn.Module:
    """Return the model compiled, for FP8 after `torchao`'s conversion of its blocks."""
    if benchmark.settings.precision == "fp8":
        from torchao.float8 import Float8LinearConfig, convert_to_float8_training

        def in_block(_: nn.Module, name: str) -> bool:
            return ("layers." in name or "blocks." in name) and "lora_" not in name and "norm" not in name

        config = Float8LinearConfig.from_recipe_name(benchmark.settings.fp8_scaling)
        convert_to_float8_training(model, config=config, module_filter_fn=in_block)
    return cast("nn.Module", torch.compile(model, dynamic=False))


def retinanet_eager(benchmark: "RetinaNetBenchmark", step: Step) -> None:
    """Run the detector as torchvision's references do.

    The frozen norms are operations of their own, the classification loss is over one-hot targets, maps are
    laid out channel after channel. `torchvision` itself cannot be loaded beside a PyTorch for CPUs only.
    """
    _retinanet(benchmark, step, compiled=False)


def retinanet_compiled(benchmark: "RetinaNetBenchmark", step: Step) -> None:
    """Run the same, the network compiled."""
    _retinanet(benchmark, step, compiled=True)


def _retinanet(benchmark: "RetinaNetBenchmark", step: Step, *, compiled: bool) -> None:
    from torch.nn.functional import binary_cross_entropy_with_logits, l1_loss, one_hot

    from pitboard.training.benchmarks.retinanet import boxes as ops
    from pitboard.training.benchmarks.retinanet import model as parts
    from pitboard.training.initialize import materialize

    def convolved(x: Tensor, convolution: nn.Conv2d, norm: Any) -> Tensor:
        scale, shift = norm.scale_and_shift()
        return convolution(x) * scale.view(1, -1, 1, 1) + shift.view(1, -1, 1, 1)  # type: ignore[no-any-return]

    def focal(logits: Tensor, targets: Tensor, classes: int) -> Tensor:
        counted = targets != ops.IGNORED
        wanted = (one_hot(targets.clamp(min=0), classes) * (targets >= 0)[:, None]).float()[counted]
        each = binary_cross_entropy_with_logits(logits[counted], wanted, reduction="none")
        likely = logits[counted].sigmoid()
        likely = likely * wanted + (1 - likely) * (1 - wanted)
        return ((0.25 * wanted + 0.75 * (1 - wanted)) * (1 - likely) ** 2 * each).sum()

    parts.convolved = convolved
    parts.normalised = lambda images: (images - 0.45) / 0.225
    settings = benchmark.settings
    model: Any = benchmark.build()
    materialize(model, benchmark, torch.device("cpu"), 1)

    def heads(images: Tensor) -> tuple[list[Tensor], Tensor, Tensor]:
        maps = model.features(images)
        return maps, model.classification_head(maps), model.regression_head(maps)

    run = torch.compile(heads) if compiled else heads
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], settings.learning_rate)
    for batch in _batches(benchmark):
        with nullcontext() if settings.precision == "fp32" else torch.autocast("cpu", dtype=torch.bfloat16):
            maps, logits, shifts = run(batch["images"])
        grids = tuple(each.shape[-1] for each in maps)
        anchors = ops.anchors(settings.image_size, grids, settings.smallest_anchor, logits.device)
        losses = []
        for scores, moved, filled, labels in zip(
            logits, shifts, batch["boxes"], batch["labels"], strict=True
        ):
            boxes, names = filled[labels >= 0], labels[labels >= 0]
            matched = ops.match(boxes, anchors)
            found = matched >= 0
            targets = matched.masked_scatter(found, names[matched[found]])
            wanted = ops.encode(boxes[matched[found]], anchors[found])
            boxed = l1_loss(moved[found].float(), wanted, reduction="sum")
            losses.append(
                (focal(scores.float(), targets, settings.classes) + boxed) / max(1, int(found.sum()))
            )
        torch.stack(losses).mean().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
        step()


def gat_whole(benchmark: "RelationalGat", step: Step) -> None:
    """Run `torch-geometric`'s layers as the reference does: each over all sampled nodes and edges."""
    import torch.nn.functional as F  # noqa: N812 - as everywhere in the field
    from torch_geometric.nn import GATConv, HeteroConv

    settings, known = benchmark.settings, benchmark.build()
    relations = list(known.get_submodule("layers.0.convs").keys())  # type: ignore[operator]
    sizes = [settings.feature_size] + [settings.hidden_size] * (len(settings.neighbours) - 1)
    heads = settings.attention_heads
    layers = nn.ModuleList(
        HeteroConv(
            {
                relation: GATConv(size, settings.hidden_size // heads, heads, add_self_loops=False)
                for relation in relations
            }
        )
        for size in sizes
    )
    classifier = nn.Linear(settings.hidden_size, settings.classes)
    optimizer = torch.optim.Adam([*layers.parameters(), *classifier.parameters()], settings.learning_rate)
    data = Subset(benchmark.training_data(1), range(settings.sample_limit))
    for batch in DataLoader(data, settings.global_batch_size, collate_fn=benchmark.collate):
        x = {name[len("nodes.") :]: v.float() for name, v in batch.items() if name.startswith("nodes.")}
        edges, seeds = _whole_edges(batch, relations, len(sizes))
        for number, layer in enumerate(layers):
            x = layer(x, edges)
            if number < len(sizes) - 1:
                x = {kind: F.dropout(F.leaky_relu(v), settings.dropout) for kind, v in x.items()}
        F.cross_entropy(classifier(x["verse"][seeds]), batch["classes"]).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
        step()


def _whole_edges(
    batch: dict[str, Tensor], relations: list[tuple[str, str, str]], layers: int
) -> tuple[dict[tuple[str, str, str], Tensor], Tensor]:
    """Return the edges of all layers between the nodes of the batch, and where its samples are among them."""
    places = {name[len("nodes.") :]: torch.arange(len(v)) for name, v in batch.items() if "nodes." in name}
    counts = {kind: len(each) for kind, each in places.items()}
    found: dict[tuple[str, str, str], list[Tensor]] = {relation: [] for relation in relations}
    for number in range(layers):
        kept = {
            kind: places[kind][batch[name]] for kind in places if (name := f"{number}.kept.{kind}") in batch
        }
        for relation, edges in found.items():
            if (name := f"{number}.edges.{'.'.join(relation)}") in batch:
                senders, receivers = batch[name]
                edges.append(
                    places[relation[0]][senders] * counts[relation[2]] + kept[relation[2]][receivers]
                )
        places = kept
    whole = {relation: torch.cat(edges).unique() for relation, edges in found.items()}  # type: ignore[no-untyped-call]
    split = {
        relation: torch.stack([edges // counts[relation[2]], edges % counts[relation[2]]])
        for relation, edges in whole.items()
    }
    return split, places["verse"][batch["seeds"]]


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
    """Train as tutorials do, on the device of the settings, in micro-batches where they ask for them."""
    settings = benchmark.settings
    device = choose_device(settings.device, 0)
    model.to(device)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=settings.learning_rate, fused=True)
    parts = settings.global_batch_size // _micro(benchmark)
    batches = _batches(benchmark, _micro(benchmark), pinned=device.type == "cuda")
    for _ in range(settings.max_steps):
        for _ in range(parts):
            batch = {name: part.to(device, non_blocking=True) for name, part in next(batches).items()}
            wide = settings.precision == "fp32"
            with nullcontext() if wide else torch.autocast(device.type, dtype=torch.bfloat16):
                found = loss(model, batch) / parts
            found.backward()
        nn.utils.clip_grad_norm_(trained, settings.gradient_clip_norm)
        optimizer.step()
        optimizer.zero_grad()
        step()


def _micro(benchmark: Any) -> int:
    found: int = benchmark.settings.micro_batch_size or benchmark.settings.global_batch_size
    return found


def _batches(benchmark: Any, size: int | None = None, *, pinned: bool = False) -> Iterator[dict[str, Tensor]]:
    """Load the samples as the tutorials do."""
    settings = benchmark.settings
    wanted = range(settings.max_steps * settings.global_batch_size)
    yield from DataLoader(
        Subset(benchmark.training_data(1), wanted),
        size or settings.global_batch_size,
        num_workers=2 if pinned else 0,
        pin_memory=pinned,
        collate_fn=benchmark.collate,
    )


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
    with choose_device(benchmark.settings.device, 0):
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
    "llama31_405b": {
        "Pitboard": pitboard,
        "Trainer, torch.compile": llama_trainer,
        "plain eager loop": llama_eager,
    },
    "llama2_70b_lora": {
        "Pitboard": pitboard,
        "peft + Trainer": lora_trainer,
        "the same, torch.compile": lora_trainer_compiled,
    },
    "retinanet": {
        "Pitboard": pitboard,
        "as torchvision's": retinanet_eager,
        "the same, torch.compile": retinanet_compiled,
    },
    "rgat": {
        "Pitboard": pitboard,
        "the reference's way": gat_whole,
    },
    "dlrm_dcnv2": {
        "Pitboard": pitboard,
        "EmbeddingBag": dlrm_dense,
        "EmbeddingBag, sparse": dlrm_sparse,
    },
}
"""By benchmark, what to call a contestant and what it runs; Pitboard first."""
