# Each target sets up what it needs; second runs start in seconds.
PY := .venv/bin/python
EXTRAS := gpu,dashboard,test,peers
export VENV := .venv
unexport PYTHONPATH

.PHONY: demo test lint bench dev clean

demo: ## train a real LoRA on the shipped model and watch it being judged
	@.ci/install $(EXTRAS)
	@$(PY) -m daemon.cli.main demo $(ARGS)

# One test process a core, whole files each, the slow browser tests first.
test: WORKERS ?= -n auto --dist loadfile --no-loadscope-reorder
test: ## lint, types, import contracts, and every fast test, in a real browser too
	@.ci/install $(EXTRAS)
	@$(MAKE) --no-print-directory lint
	@browser=$$(.ci/browser) && EPOCHWATCH_TEST_BROWSER="$$browser" .ci/tests $(PY) $(WORKERS) $(ARGS)

lint:
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check --quiet . || (echo "run: ruff format ." && false)
	@$(PY) -m mypy
	@$(VENV)/bin/lint-imports --no-logo
	@$(VENV)/bin/codespell

bench: WHICH ?= metrics flags probes agreement swap grid intake shared_batch story votes convergence evidence overfit
bench: ## the benchmarks behind docs/benchmarks.md, all or by name: make bench WHICH=metrics
	@.ci/install $(EXTRAS)
	@for name in $(WHICH); do echo "== $$name" >&2; $(PY) -m tests.bench.$$name $(ARGS) || exit 1; done

dev: ## an editable environment with everything
	@.ci/install $(EXTRAS)
	@echo "source .venv/bin/activate"

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache build dist
