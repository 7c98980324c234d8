"""Which weights a Llama's files have, by name and shape."""

from dataclasses import dataclass


@dataclass(frozen=True)
class LlamaWeights:
    """The sizes of a Llama, whose query, key and value are one matrix if they are `fused`."""

    layers: int
    width: int
    key_width: int
    inner: int
    vocabulary: int
    fused: bool = False

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of each weight by its name in the model's files."""
        query, key = (self.width, self.width), (self.key_width, self.width)
        attention = {"q_proj": query, "k_proj": key, "v_proj": key}
        if self.fused:
            attention = {"qkv_proj": (self.width + 2 * self.key_width, self.width)}
        layer: dict[str, tuple[int, ...]] = {
            "input_layernorm": (self.width,),
            **{f"self_attn.{name}": shape for name, shape in attention.items()},
            "self_attn.o_proj": query,
            "post_attention_layernorm": (self.width,),
            "mlp.gate_proj": (self.inner, self.width),
            "mlp.up_proj": (self.inner, self.width),
            "mlp.down_proj": (self.width, self.inner),
        }
        vocabulary = self.vocabulary, self.width
        layers = {
            f"model.layers.{number}.{part}.weight": shape
            for number in range(self.layers)
            for part, shape in layer.items()
        }
        ends = {"model.embed_tokens.weight": vocabulary, "lm_head.weight": vocabulary}
        return layers | ends | {"model.norm.weight": (self.width,)}
