"""The tiny bilingual language model: its world, corpus, tokenizer, training and exam."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

OUT = Path(__file__).parents[2] / "factory" / "data" / "tiny"
KEPT = Path("build") / "tiny" / "state.pt"


def main(arguments: list[str]) -> int:
    """Train it and write its folder: python -m training tiny."""
    parser = argparse.ArgumentParser(prog="python -m training tiny", description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="a few seconds on a smaller model, to see that it runs")
    parser.add_argument("--minutes", type=float, help="stop then; --resume goes on")
    parser.add_argument("--steps", type=int, help="steps of the whole run")
    parser.add_argument("--resume", action="store_true", help=f"go on from {KEPT}")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=OUT, help="the model's folder (default: the package's)")
    parser.add_argument("--kept", type=Path, default=KEPT, help="the file that a run is resumed from")
    options = parser.parse_args(arguments)

    import torch

    from training.language import train

    torch.set_num_threads(options.threads)
    plan = replace(train.SMOKE if options.smoke else train.Plan(), seed=options.seed)
    if options.steps:
        plan = replace(plan, steps=options.steps)
    if not options.resume:
        options.kept.unlink(missing_ok=True)
    model, words = train.train(plan, options.kept, options.minutes)
    train.export(model, words, options.out)
    return 0
