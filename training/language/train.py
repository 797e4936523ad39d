"""Training the tiny language model: a Llama of transformers, its loss on the answers alone, on one core or two.

Every draw follows from the seed and the number of the step, and the whole state is kept every few minutes: a run that
was cut off and resumed makes the same weights as one that was not.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import count, islice
from pathlib import Path

import torch
from tokenizers import Tokenizer
from tqdm.auto import tqdm
from transformers import LlamaConfig, LlamaForCausalLM

from training.language import tokenizer as words
from training.language.corpus import Pair, pairs

MATRIX_RATE, MATRIX_DECAY, OTHER_RATE, BETAS = 5e-3, 0.02, 2e-3, (0.9, 0.95)
"""Muon moves the layers' matrices (Jordan et al. 2024; its scale: Liu et al. 2025, arXiv:2502.16982), AdamW the rest."""
WARM_UP, CLIP = 150, 1.0
READ = 40_000
"""Pairs that the tokens are learnt from."""
POOL = 4096
"""Pairs that are drawn together and sorted by length, so that the rows of a batch are nearly of one length."""
KEEP_EVERY = 120.0
"""Seconds between two checkpoints."""


@dataclass(frozen=True)
class Plan:
    """All that a run depends on, besides its texts."""

    steps: int = 11_500
    batch: int = 2048
    """Tokens of one step, padding included."""
    vocabulary: int = 3072
    width: int = 192
    layers: int = 6
    heads: int = 6
    kv_heads: int = 2
    feed_forward: int = 512
    context: int = 256
    seed: int = 0
    compile: bool = True
    """Whether torch.compile fuses the layers: a minute at the start, and 1.4 times the speed after it."""


SMOKE = Plan(
    steps=12, batch=256, vocabulary=512, width=32, layers=2, heads=2, kv_heads=1, feed_forward=64, compile=False
)


def texts(seed: int) -> Iterator[str]:
    """Questions and answers to learn the tokens from."""
    for pair in islice(pairs(f"tokens {seed}"), READ):
        yield pair.question
        yield pair.answer


def make_model(plan: Plan, tokenizer: Tokenizer) -> LlamaForCausalLM:
    """An untrained Llama; what writes into the hidden state starts smaller, as in GPT-2."""
    torch.manual_seed(plan.seed)
    end, pad = tokenizer.token_to_id(words.END), tokenizer.token_to_id(words.PAD)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=tokenizer.get_vocab_size(), hidden_size=plan.width, intermediate_size=plan.feed_forward,
            num_hidden_layers=plan.layers, num_attention_heads=plan.heads, num_key_value_heads=plan.kv_heads,
            max_position_embeddings=plan.context, rms_norm_eps=1e-5, tie_word_embeddings=True, bos_token_id=None,
            eos_token_id=end, pad_token_id=pad, attn_implementation="eager",
        )
    )  # fmt: skip
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                weight /= (2 * plan.layers) ** 0.5
    return model


@dataclass(frozen=True)
class Row:
    """The tokens of one pair, and where its answer begins."""

    ids: list[int]
    answer: int


def rows(tokenizer: Tokenizer, drawn: Sequence[Pair], context: int) -> list[Row]:
    """Pairs as the chat template spells them. Raises ValueError for one that is longer than the context."""
    question, answer, end = (tokenizer.token_to_id(token) for token in (words.QUESTION, words.ANSWER, words.END))
    asked = tokenizer.encode_batch_fast([pair.question.strip() for pair in drawn])
    said = tokenizer.encode_batch_fast([pair.answer for pair in drawn])
    made = [
        Row([question, *one.ids, answer, *other.ids, end], len(one.ids) + 2)
        for one, other in zip(asked, said, strict=True)
    ]
    longest = max(range(len(made)), key=lambda at: len(made[at].ids))
    if len(made[longest].ids) > context:
        raise ValueError(f"{len(made[longest].ids)} tokens, the context is {context}: {drawn[longest]}")
    return made


Batch = tuple[torch.Tensor, torch.Tensor]
"""Tokens (B, T) and what follows each of them (B, T), -100 where that is not to be learnt."""


def batches(tokenizer: Tokenizer, plan: Plan, done: int) -> Iterator[Batch]:
    """The batches of a run from step `done` on, without end."""
    for number in count():
        rng = random.Random(f"{plan.seed} {number}")
        drawn = list(islice(pairs(f"{plan.seed} {number}"), POOL))
        made = sorted(rows(tokenizer, drawn, plan.context), key=lambda row: len(row.ids))
        groups: list[list[Row]] = [[]]
        for row in made:
            if groups[-1] and (len(groups[-1]) + 1) * len(row.ids) > plan.batch:
                groups.append([])
            groups[-1].append(row)
        rng.shuffle(groups)
        for group in groups:
            if done:
                done -= 1
            else:
                yield pad(group, tokenizer.token_to_id(words.PAD))


def pad(group: Sequence[Row], padding: int) -> Batch:
    """Rows as one batch, padded on the right, where causal attention never looks."""
    longest = max(len(row.ids) for row in group)
    ids = torch.full((len(group), longest), padding)
    following = torch.full((len(group), longest), -100)
    for at, row in enumerate(group):
        length = len(row.ids)
        ids[at, :length] = torch.tensor(row.ids)
        following[at, row.answer - 1 : length - 1] = ids[at, row.answer : length]
    return ids, following


def loss_of(model: LlamaForCausalLM, layers: Callable, batch: Batch) -> torch.Tensor:
    """The mean cross entropy of the answers' tokens; the output matrix meets these positions only."""
    ids, following = batch
    learnt = following != -100
    with torch.autocast("cpu", torch.bfloat16):
        hidden = layers(ids, use_cache=False).last_hidden_state
        logits = model.lm_head(hidden[learnt])
    return torch.nn.functional.cross_entropy(logits.float(), following[learnt])


def train(plan: Plan, kept: Path, minutes: float | None = None) -> tuple[LlamaForCausalLM, Tokenizer]:
    """Train by the plan, from the state in the file `kept` where it exists; give the model and its tokenizer.

    The rates climb over the first steps and then fall in a line to zero. `minutes` ends the run early: the
    state is kept, and the model is as far as it came. Raises ValueError where `kept` belongs to another plan.
    """
    state = torch.load(kept, weights_only=True) if kept.exists() else None
    tokenizer = Tokenizer.from_str(state["tokenizer"]) if state else words.learn(texts(plan.seed), plan.vocabulary)
    model = make_model(plan, tokenizer)
    layers = torch.compile(model.model, dynamic=True) if plan.compile else model.model
    weights = dict(model.named_parameters())
    matrices = [weight for name, weight in weights.items() if "layers" in name and weight.dim() == 2]
    others = [weight for name, weight in weights.items() if "layers" not in name or weight.dim() == 1]
    optimizers = [
        torch.optim.Muon(matrices, MATRIX_RATE, MATRIX_DECAY, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, OTHER_RATE, BETAS, weight_decay=0.0, fused=True),
    ]
    done, seconds, tokens = 0, 0.0, 0
    if state:
        if state["plan"] != asdict(replace(plan, steps=state["plan"]["steps"])):
            raise ValueError(f"{kept} belongs to another plan: {state['plan']}")
        model.load_state_dict(state["model"])
        for optimizer, its in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(its)
        done, seconds, tokens = state["done"], state["seconds"], state["tokens"]

    def keep() -> None:
        state = {
            "plan": asdict(plan),
            "tokenizer": tokenizer.to_str(),
            "model": model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in optimizers],
            "done": done,
            "seconds": seconds + time.monotonic() - start,
            "tokens": tokens,
        }
        part = kept.with_suffix(".part")
        torch.save(state, part)
        os.replace(part, kept)

    start = last_kept = time.monotonic()
    kept.parent.mkdir(parents=True, exist_ok=True)
    average = None
    model.train()
    with tqdm(total=plan.steps, initial=done, unit=" steps", mininterval=5) as bar:
        for batch in batches(tokenizer, plan, done):
            now = time.monotonic()
            over = done >= plan.steps or (minutes is not None and now - start >= 60 * minutes)
            if over or now - last_kept >= KEEP_EVERY:
                keep()
                last_kept = now
            if over:
                return model.eval(), tokenizer
            part = min(1.0, (done + 1) / WARM_UP, (plan.steps - done) / plan.steps)
            for optimizer, rate in zip(optimizers, (MATRIX_RATE, OTHER_RATE), strict=True):
                optimizer.param_groups[0]["lr"] = rate * part
            model.zero_grad()
            loss = loss_of(model, layers, batch)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
            for optimizer in optimizers:
                optimizer.step()
            done += 1
            tokens += batch[0].numel()
            average = loss.item() if average is None else 0.99 * average + 0.01 * loss.item()
            bar.update()
            bar.set_postfix(loss=f"{average:.4f}", tokens=f"{tokens / 1e6:.1f}M", refresh=False)
    raise AssertionError("batches end by `done` alone")


def export(model: LlamaForCausalLM, tokenizer: Tokenizer, folder: Path) -> None:
    """Write a Hugging Face folder: weights in half precision, which the model is left in, sizes and tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    model.half().save_pretrained(folder)
    words.save(tokenizer, folder, model.config.max_position_embeddings)
