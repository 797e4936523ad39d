# Everything happens in .venv; only pip and apt-get write elsewhere. PYTHON=python3.12 chooses the Python it is made by.
PYTHON ?= python3
VENV_PYTHON = $(firstword $(wildcard .venv/Scripts/python.exe) .venv/bin/python)

.PHONY: help lab test peers bench clean
.NOTPARALLEL:

help:
	@echo 'make lab    JupyterLab を最初のノートブックで開きます / opens JupyterLab on the first notebook'
	@echo 'make test   すべてのテスト / runs all tests'
	@echo 'make peers  比べる相手(torch など)を入れます / installs what the tests compare with (torch and others)'
	@echo 'make bench  速さを比べます / measures speed as ratios'
	@echo 'make clean  .venv と作業ファイルを消します / removes .venv and what the tools left'

lab:
	@$(PYTHON) tools/install.py lab
	@$(VENV_PYTHON) -m factory.lab

test:
	@$(PYTHON) tools/install.py test
	$(VENV_PYTHON) -m ruff check .
	$(VENV_PYTHON) -m ruff format --check .
	$(VENV_PYTHON) -m mypy
	$(VENV_PYTHON) -m pytest --nbval-lax --nbval-current-env --nbval-cell-timeout=120 tests notebooks

peers:
	@$(PYTHON) tools/install.py peers

bench:
	@$(PYTHON) tools/install.py lab
	@$(VENV_PYTHON) -m benchmarks

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +
