"""The tiny bilingual language model: its world, corpus, tokenizer, training and exam."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

OUT = Path(__file__).parents[2] / "factory" / "data" / "tiny"
BUILD = Path("build") / "tiny"


def main(arguments: list[str]) -> int:
    """Train it and write its folder: python -m training tiny."""
    parser = argparse.ArgumentParser(prog="python -m training tiny", description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="a few seconds on a smaller model, to see that it runs")
    parser.add_argument("--minutes", type=float, help="stop then; --resume goes on")
    parser.add_argument("--steps", type=int, help="steps of the whole run")
    parser.add_argument("--resume", action="store_true", help="go on from the state that was kept")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help=f"the model's folder (default: the package's; of --smoke: in {BUILD})")
    parser.add_argument("--kept", type=Path, help=f"the file that a run is resumed from (default: in {BUILD})")
    options = parser.parse_args(arguments)
    out = options.out or (BUILD / "smoke" if options.smoke else OUT)
    kept = options.kept or BUILD / ("smoke.pt" if options.smoke else "state.pt")

    import torch

    from training.language import train

    torch.set_num_threads(options.threads)
    plan = replace(train.SMOKE if options.smoke else train.Plan(), seed=options.seed)
    if options.steps:
        plan = replace(plan, steps=options.steps)
    if not options.resume:
        kept.unlink(missing_ok=True)
    model, words = train.train(plan, kept, options.minutes)
    train.export(model, words, out)
    return 0
