"""Print every ratio against its peer: python -m benchmarks [calls] [glyphs] [language] [vision] [wing]."""

from __future__ import annotations

import os
import platform
import sys

import numpy as np

from benchmarks import calls, glyphs, language, vision, wing

PARTS = {"calls": calls, "language": language, "vision": vision, "glyphs": glyphs, "wing": wing}


def main(names: list[str]) -> int:
    """Run the named parts, or all."""
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        print(f"no benchmark {', '.join(unknown)}; there are {', '.join(PARTS)}", file=sys.stderr)
        return 2
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, load {load:.1f}, NumPy {np.__version__}"
    )
    for name in names or PARTS:
        for row in PARTS[name].rows():
            print(row, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
