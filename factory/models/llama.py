"""A Llama-type language model on a Device: RMS norm, rotary attention with grouped queries, SwiGLU.

Touvron et al. 2023, "LLaMA"; Ainslie et al. 2023, "GQA". Letters in shapes: T tokens, S positions seen, V vocabulary,
C width, H heads, K key-value heads, D head width, F feed-forward width.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np

from factory.array import DeviceArray
from factory.device import Device
from factory.errors import ModelError, ShapeError
from factory.language import at_least
from factory.models.checkpoint import Checkpoint, LlamaConfig
from factory.models.sampling import check_sampling, choose
from factory.models.tokenizer import Tokenizer
from factory.models.weights import TINY, load_checkpoint

OnLayer = Callable[[int, DeviceArray], None]


@dataclass(frozen=True, slots=True)
class Layer:
    """The weights of one layer; what multiplies the same input stands in one matrix."""

    attention_norm: DeviceArray  # (C,)
    qkv: DeviceArray  # ((H + 2 K) D, C)
    attention_output: DeviceArray  # (C, H D)
    feed_forward_norm: DeviceArray  # (C,)
    gate_up: DeviceArray  # (2 F, C)
    down: DeviceArray  # (C, F)


class LanguageModel:
    """A language model whose every operation goes through a Device.

    config holds its sizes, tokenizer turns text into ids and back, layers is how many layers it has.
    """

    def __init__(self, device: Device, checkpoint: Checkpoint) -> None:
        self.device = device
        self.config: LlamaConfig = checkpoint.config
        self.tokenizer = Tokenizer(checkpoint.tokenizer)
        self.source = checkpoint.source
        tensors = checkpoint.tensors

        def put(name: str) -> DeviceArray:
            return device.array(tensors[name], name=name)

        with device.timeline.at(step=1):
            self._embedding = put("embedding")  # (V, C)
            self._layers = [
                Layer(*(put(f"layers.{i}.{field}") for field in Layer.__slots__)) for i in range(self.config.layers)
            ]
            self._norm = put("norm")
            self._output = self._embedding if self.config.tied else put("output")
        self._tables: tuple[DeviceArray, DeviceArray] | None = None

    @classmethod
    def load(cls, device: Device, name: str = TINY, *, progress: bool = True) -> LanguageModel:
        """Load a model onto a device: "tiny", "smollm2", a .gguf file, a Hugging Face folder, or a name on the hub.

        Raises ModelError for what is not there, is no Llama-type model, or is damaged.
        """
        return cls(device, load_checkpoint(name, progress=progress))

    @property
    def layers(self) -> int:
        """How many layers it has."""
        return self.config.layers

    @property
    def parameters(self) -> int:
        """How many weights it has, each counted once."""
        arrays = [self._embedding, self._norm] + ([] if self.config.tied else [self._output])
        arrays += [getattr(layer, name) for layer in self._layers for name in Layer.__slots__]
        return sum(array.size for array in arrays)

    def weights(self) -> Iterator[DeviceArray]:
        """All weights on the device, in order; each carries its name."""
        yield self._embedding
        for layer in self._layers:
            yield from (getattr(layer, name) for name in Layer.__slots__)
        yield self._norm
        if not self.config.tied:
            yield self._output

    def logits(self, ids: Sequence[int], layers: int | None = None, on_layer: OnLayer | None = None) -> np.ndarray:
        """Logits of the token after each one of `ids`: float32 (T, V).

        layers runs only the first so many; on_layer(i, hidden) is called after each layer with its state (T, C),
        whose memory the next layer writes again.
        """
        tokens = self._check(ids)
        depth = self._depth(layers)
        with _Run(self, len(tokens), len(tokens)) as run:
            hidden = self._forward(tokens, run, depth, on_layer)
            return self.readout(hidden)

    def readout(self, hidden: DeviceArray) -> np.ndarray:
        """What a state (T, C) would say: logits (T, V) by the final norm and the output matrix."""
        with self.device.timeline.at(step=5):
            normed = self.device.rms_norm(hidden, self._norm, self.config.epsilon)
            return self.device.gemm(normed, self._output, transpose_b=True).numpy()

    def generate(
        self, ids: Sequence[int], max_tokens: int = 64, layers: int | None = None, temperature: float = 0.0,
        top_k: int | None = None, top_p: float | None = None, seed: int | None = None,
        stop: Collection[int] | None = None, on_layer: OnLayer | None = None,
    ) -> Iterator[int]:  # fmt: skip
        """Token ids that follow `ids`, one by one, at most max_tokens and as far as the model's context reaches.

        Greedy at temperature 0; else drawn with the seed, after top_k and top_p. layers runs only the first so many.
        stop ends at one of these ids (not given out); None is the model's own, () none. on_layer as in `logits`.
        """
        tokens = self._check(ids)
        depth = self._depth(layers)
        check_sampling(temperature, top_k, top_p)
        if not isinstance(max_tokens, int) or max_tokens < 1:
            raise ShapeError("number", call="generate", name="max_tokens", want=at_least(1), got=max_tokens)
        ends = frozenset(self.tokenizer.stop_ids if stop is None else stop)
        random = np.random.default_rng(seed)

        def run_on() -> Iterator[int]:
            positions = min(len(tokens) + max_tokens, self.config.context)
            with _Run(self, len(tokens), positions) as run:
                hidden = self._forward(tokens, run, depth, on_layer)
                following = self.readout(hidden[len(tokens) - 1 :])[0]
                for count in range(1, max_tokens + 1):
                    token = choose(following, temperature, top_k, top_p, random)
                    if token in ends:
                        return
                    yield token
                    if count == max_tokens or run.position >= positions:
                        return
                    following = self._step(token, run, depth, on_layer)

        return run_on()

    def stream(self, question: str, max_tokens: int = 64, layers: int | None = None, **options: Any) -> Iterator[str]:
        """The answer to a question, piece by piece of whole characters; options as in `generate`."""
        ids = self.generate(self.prompt(question), max_tokens, layers, **options)
        return self.tokenizer.decode_stream(ids)

    def answer(self, question: str, max_tokens: int = 64, layers: int | None = None, **options: Any) -> str:
        """The answer to a question: one turn through the model's chat template, with the options of `generate`."""
        ids = list(self.generate(self.prompt(question), max_tokens, layers, **options))
        return self.tokenizer.decode(ids).strip()

    def prompt(self, question: str) -> list[int]:
        """The ids of a question in the model's chat template; ModelError for an empty one."""
        if not isinstance(question, str) or not question.strip():
            raise ModelError("empty_prompt")
        return self.tokenizer.encode(self.tokenizer.chat(question))

    def free(self) -> None:
        """Give the weights' memory back."""
        for array in [*self.weights(), *(self._tables or ())]:
            array.free()

    # One pass

    def _forward(self, ids: np.ndarray, run: _Run, depth: int, on_layer: OnLayer | None) -> DeviceArray:
        """Run tokens through the first layers, after what the run has seen; the state (T, C)."""
        device = self.device
        with device.timeline.at(step=1):
            buffers = run.buffers(len(ids))
            buffers.ids.write(ids)
            hidden = device.gather(self._embedding, buffers.ids, out=buffers.hidden)
        for index in range(depth):
            with device.timeline.at(layer=index + 1):
                self._attention(self._layers[index], index, run, buffers)
                self._feed_forward(self._layers[index], buffers)
            if on_layer is not None:
                on_layer(index, hidden)
        run.position += len(ids)
        return hidden

    def _step(self, token: int, run: _Run, depth: int, on_layer: OnLayer | None) -> np.ndarray:
        """One more token: the logits (V,) after it."""
        buffers = run.buffers(1)
        hidden = self._forward(np.array([token], np.int32), run, depth, on_layer)
        device = self.device
        with device.timeline.at(step=5):
            device.rms_norm(hidden, self._norm, self.config.epsilon, out=buffers.normed)
            device.gemm(buffers.normed, self._output, transpose_b=True, out=buffers.logits)
            return buffers.logits.numpy()[0]

    def _attention(self, layer: Layer, index: int, run: _Run, b: _Buffers) -> None:
        """hidden += attention(norm(hidden)); this token's key and value join the cache."""
        device, config, position = self.device, self.config, run.position
        keys, values = run.cache[index]
        seen = position + b.tokens
        device.rms_norm(b.hidden, layer.attention_norm, config.epsilon, out=b.normed)
        device.gemm(b.normed, layer.qkv, transpose_b=True, out=b.qkv)
        device.rotary_cache(b.by_head, *run.angles, keys, values, position, out=b.queries)
        scores, grouped = b.scores(seen)
        device.gemm(b.grouped, keys[:, :seen], transpose_b=True, out=grouped)
        device.causal_softmax(scores, config.head_width**-0.5, position, out=scores)
        device.gemm(grouped, values[:, :seen], out=b.attended)
        if b.tokens > 1:
            device.copy(b.by_token, out=b.merged_heads)
        device.gemm(b.merged, layer.attention_output, transpose_b=True, beta=1.0, out=b.hidden)

    def _feed_forward(self, layer: Layer, b: _Buffers) -> None:
        """hidden += down(SiLU(gate(norm(hidden))) up(norm(hidden)))."""
        device = self.device
        device.rms_norm(b.hidden, layer.feed_forward_norm, self.config.epsilon, out=b.normed)
        device.gemm(b.normed, layer.gate_up, transpose_b=True, out=b.gate_up)
        device.silu_gate(b.gate_up, out=b.gated)
        device.gemm(b.gated, layer.down, transpose_b=True, beta=1.0, out=b.hidden)

    def _angles(self, positions: int) -> tuple[DeviceArray, DeviceArray]:
        """Cosines and sines (>= positions, D / 2) of the rotary embedding, made longer when a text asks for it."""
        if self._tables is None or len(self._tables[0]) < positions:
            length = min(self.config.context, max(256, 1 << (positions - 1).bit_length()))
            turns = np.outer(np.arange(max(length, positions)), np.array(self.config.rope_frequencies))
            cos, sin = (f(turns).astype(np.float32) for f in (np.cos, np.sin))
            self._tables = self.device.array(cos, name="rotary cos"), self.device.array(sin, name="rotary sin")
        return self._tables

    # What is asked

    def _check(self, ids: Sequence[int]) -> np.ndarray:
        try:
            tokens = np.asarray(ids if isinstance(ids, np.ndarray) else list(ids))
        except TypeError:
            raise ShapeError("number", call="generate", name="ids", want="[int, ...]", got=repr(ids)) from None
        if tokens.size == 0:
            raise ModelError("empty_prompt")
        if tokens.ndim != 1 or tokens.dtype.kind not in "iu":
            raise ShapeError("number", call="generate", name="ids", want="[int, ...]", got=repr(ids)[:80])
        wrong = tokens[(tokens < 0) | (tokens >= self.config.vocabulary)]
        if wrong.size:
            raise ShapeError("ids", call="generate", last=self.config.vocabulary - 1, got=int(wrong[0]))
        if len(tokens) > self.config.context:
            raise ModelError("too_long", got=len(tokens), limit=self.config.context)
        return tokens.astype(np.int32)

    def _depth(self, layers: int | None) -> int:
        if layers is None:
            return self.config.layers
        if not isinstance(layers, (int, np.integer)) or not 1 <= layers <= self.config.layers:
            raise ModelError("layers", last=self.config.layers, got=layers)
        return int(layers)


class _Buffers:
    """Where the results of one layer go, for so many tokens at a time; every layer uses them again."""

    def __init__(self, device: Device, config: LlamaConfig, tokens: int, positions: int, run: _Run) -> None:
        h, k, d = config.heads, config.kv_heads, config.head_width
        self.tokens = tokens
        self._heads = h
        self._groups = (k, h // k * tokens)

        def room(*shape: int, dtype: str = "float32") -> DeviceArray:
            return run.keep(device.empty(shape, dtype, name="activations"))

        self.ids = room(tokens, dtype="int32")
        self.hidden = room(tokens, config.width)
        self.normed = room(tokens, config.width)
        self.by_head = room(tokens, h + 2 * k, d)
        self.qkv = self.by_head.reshape(tokens, (h + 2 * k) * d)
        self.queries = room(h, tokens, d)
        # The heads that share a key stand together, so that one product of a batch of K serves them all.
        self.grouped = self.queries.reshape(*self._groups, d)
        self.attended = room(*self._groups, d)
        self.by_token = self.attended.reshape(h, tokens, d).transpose(1, 0, 2)  # (T, H, D)
        self.merged_heads = room(tokens, h, d) if tokens > 1 else self.attended.reshape(1, h, d)
        self.merged = self.merged_heads.reshape(tokens, h * d)
        self.gate_up = room(tokens, 2 * config.feed_forward)
        self.gated = room(tokens, config.feed_forward)
        self._scores = room(h * tokens * positions)
        self._views: tuple[int, DeviceArray, DeviceArray] | None = None
        if tokens == 1:
            self.logits = room(1, config.vocabulary)

    def scores(self, seen: int) -> tuple[DeviceArray, DeviceArray]:
        """Room for the scores of so many positions, as (H, T, S) and, for the product, as (K, H / K T, S)."""
        if self._views is None or self._views[0] != seen:  # all layers of a pass ask for the same
            flat = self._scores[: self._heads * self.tokens * seen]
            self._views = seen, flat.reshape(self._heads, self.tokens, seen), flat.reshape(*self._groups, seen)
        return self._views[1:]


class _Run:
    """One text going through the model: its keys and values, how far it is, and the buffers; all freed at the end,
    also when something fails in the middle."""

    def __init__(self, model: LanguageModel, prompt: int, positions: int) -> None:
        self._model = model
        self._positions = positions
        self._prompt = prompt
        self._kept = ExitStack()
        self._buffers: dict[int, _Buffers] = {}
        self.position = 0

    def __enter__(self) -> _Run:
        try:
            config = self._model.config
            shape = (config.layers, config.kv_heads, self._positions, config.head_width)
            with self._model.device.timeline.at(step=1):
                keys, values = (
                    self.keep(self._model.device.empty(shape, name=f"{of} cache")) for of in ("key", "value")
                )
                self.cache = [(keys[i], values[i]) for i in range(config.layers)]
                self.angles = self._model._angles(self._positions)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._kept.close()

    def keep(self, array: DeviceArray) -> DeviceArray:
        """Free an array when the run ends, unless its device was closed before."""
        return self._kept.enter_context(array)

    def buffers(self, tokens: int) -> _Buffers:
        """The buffers for so many tokens at a time."""
        if tokens not in self._buffers:
            positions = self._positions if tokens == 1 else self._prompt
            self._buffers[tokens] = _Buffers(self._model.device, self._model.config, tokens, positions, self)
        return self._buffers[tokens]
