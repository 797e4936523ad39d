"""Speed as ratios to peers, each pair measured in turn in one run: `python -m benchmarks`."""
