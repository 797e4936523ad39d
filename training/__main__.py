"""Train one of the package's models: python -m training reader|painter|tiny [--smoke] [--minutes M] …."""

from __future__ import annotations

import sys
from importlib import import_module

MODELS = {"reader": "training.reader", "painter": "training.painter", "tiny": "training.language"}


def main(arguments: list[str]) -> int:
    """Hand the arguments to the model's own script, which is imported only now."""
    if not arguments or arguments[0] not in MODELS:
        print(f"python -m training {'|'.join(MODELS)} [--smoke] [--minutes M]", file=sys.stderr)
        return 2
    return int(import_module(MODELS[arguments[0]]).main(arguments[1:]) or 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
