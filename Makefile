# make demo: set up, then train, evaluate and draw a small detector. make test: set up and test.
# make test-fast: the quick tests, in under a minute. make test-long: those that make test leaves out.
# make dist: build the wheels and archives of the sources of both distributions, check and try them.
# make test-lowest: the backbone, weights and operators on the oldest torch that is claimed.
# make attack: kill, fill, damage and deceive the tools for half an hour.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip
LOWEST := .venv-lowest
DEMO := work_dirs/demo
DEMO_CONFIG := configs/demo/cascade_convnext_atto_shapes.py
DEMO_DATA := --data-root data/shapes --classes circle,square,triangle,star,ring --img-size 192 \
	--ann-train annotations/instances_train.json --ann-val annotations/instances_val.json

# Tests run in JOBS processes, each with one thread. A file stays in one process, since its tests
# share what they trained; in the order of their names, so that no long file is left for the end.
# Bytecode is kept even where the environment forbids it: else each process rewrites all asserts first,
# for six seconds.
JOBS ?= 2
PYTEST = OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n $(JOBS) \
	--dist loadfile --no-loadscope-reorder --max-worker-restart=0

.PHONY: setup demo test test-fast test-long test-lowest attack lint dist
.DELETE_ON_ERROR:

setup: $(VENV)/installed

# torch comes first and by its pin alone, so that nothing else decides which build is fetched.
# Servers without a display lack libGL, which opencv-python needs and its headless twin does not.
$(VENV)/installed: pyproject.toml setup.cfg constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "Python 3.10 or newer is needed: make PYTHON=python3.11"; exit 1; }
	@echo "Setting up $(VENV), which takes minutes"
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --upgrade pip -c constraints.txt
	$(PIP) install --quiet -c constraints.txt torch setuptools
	$(PIP) install --quiet -c constraints.txt --editable ./runtime --editable '.[lite]'
	@$(BIN)/python -c 'import cv2' 2>/dev/null || { \
		$(PIP) uninstall --quiet --yes opencv-python && \
		$(PIP) install --quiet -c constraints.txt opencv-python-headless; }
	@touch $@

# Without lite, which would bring opencv-python back over its headless twin; and timm without
# torchvision, which its convnext does not use and which has no build for a CPU's torch. A torch for
# CUDA has brought its own Triton; else the newest runs the kernels in its interpreter.
$(VENV)/installed-test: $(VENV)/installed
	$(PIP) install --quiet -c constraints.txt --editable ./runtime --editable '.[test]'
	$(PIP) install --quiet -c constraints.txt --no-deps timm
	@$(BIN)/python -c 'import triton' 2>/dev/null || $(PIP) install --quiet --no-deps triton || \
		echo "Triton cannot be installed here: the tests of its kernels will be skipped"
	@touch $@

demo: setup
	$(BIN)/python tools/make_shapes.py data/shapes --train 240 --val 40 --size 224
	$(BIN)/python tools/train.py $(DEMO_CONFIG) $(DEMO_DATA) --work-dir $(DEMO) --seed 0
	$(BIN)/python tools/test.py $(DEMO_CONFIG) "$$(cat $(DEMO)/last_checkpoint)" $(DEMO_DATA) \
		--work-dir $(DEMO) --show-dir $(DEMO)/pictures
	@echo "Pictures, truth on the left and prediction on the right: $(DEMO)/pictures"

lint: $(VENV)/installed-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-logo
	$(BIN)/mypy

test: lint
	$(PYTEST) -m "not long" $(ARGS)

test-fast: $(VENV)/installed-test
	$(PYTEST) -m "not slow and not long" $(ARGS)

# Ends well too where no test is long (pytest's exit status 5).
test-long: $(VENV)/installed-test
	$(PYTEST) -m long $(ARGS) || [ $$? -eq 5 ]

# A wheel is built from its archive, so that both are known to be whole.
dist: $(VENV)/installed
	rm -rf dist build runtime/build
	$(PIP) install --quiet -c constraints.txt build twine
	$(BIN)/python -m build
	$(BIN)/python -m build --outdir dist runtime
	$(BIN)/python -m twine check --strict dist/*
	$(BIN)/python tests/wheel_trial.py dist

# An environment of its own, whose torch is the oldest that pyproject.toml claims. Old builds on
# PyPI are for CUDA and take gigabytes: TORCH_INDEX=https://download.pytorch.org/whl/cpu has others.
test-lowest: $(LOWEST)/installed-test
	OMP_NUM_THREADS=1 $(LOWEST)/bin/python -m pytest -m "not long" \
		tests/backbone tests/checkpoints tests/upstream/ops $(ARGS)

# What an old torch pins itself is left to it.
$(LOWEST)/installed-test: pyproject.toml setup.cfg constraints.txt
	$(PYTHON) -m venv $(LOWEST)
	torch=$$(sed -n 's/^dependencies = .*"torch>=\([0-9.]*\)".*/\1/p' pyproject.toml) && \
		test -n "$$torch" && \
		grep -Ev '^(torch|sympy|setuptools)==' constraints.txt > $(LOWEST)/constraints.txt && \
		$(LOWEST)/bin/pip install $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) "torch==$$torch.*"
	$(LOWEST)/bin/pip install -c $(LOWEST)/constraints.txt 'setuptools<82' \
		--editable ./runtime --editable '.[lite]'
	@$(LOWEST)/bin/python -c 'import cv2' 2>/dev/null || { \
		$(LOWEST)/bin/pip uninstall --quiet --yes opencv-python && \
		$(LOWEST)/bin/pip install -c $(LOWEST)/constraints.txt opencv-python-headless; }
	$(LOWEST)/bin/pip install -c $(LOWEST)/constraints.txt pytest hypothesis huggingface_hub
	$(LOWEST)/bin/pip install -c $(LOWEST)/constraints.txt --no-deps timm
	@touch $@

# Other cases: make attack ARGS="--seed 1"; one of them: make attack ARGS="--only NAME".
attack: $(VENV)/installed-test
	$(BIN)/python tests/attack/attack.py $(ARGS)
