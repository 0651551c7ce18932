# make demo: set up, then train, evaluate and draw a small detector. make test: set up and test.
# make attack: kill, fill, damage and deceive the tools for half an hour.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip
DEMO := work_dirs/demo
DEMO_CONFIG := configs/demo/cascade_convnext_atto_shapes.py
DEMO_DATA := --data-root data/shapes --classes circle,square,triangle,star,ring --img-size 192 \
	--ann-train annotations/instances_train.json --ann-val annotations/instances_val.json

.PHONY: setup demo test attack lint
.DELETE_ON_ERROR:

setup: $(VENV)/installed

# torch comes first and by its pin alone, so that nothing else decides which build is fetched.
# Servers without a display lack libGL, which opencv-python needs and its headless twin does not.
$(VENV)/installed: pyproject.toml setup.cfg constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "Python 3.10 or newer is needed: make PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --upgrade pip -c constraints.txt
	$(PIP) install -c constraints.txt torch setuptools
	$(PIP) install -c constraints.txt --editable '.[lite]'
	@$(BIN)/python -c 'import cv2' 2>/dev/null || { \
		$(PIP) uninstall --quiet --yes opencv-python && \
		$(PIP) install -c constraints.txt opencv-python-headless; }
	@touch $@

# Without lite, which would bring opencv-python back over its headless twin; and timm without
# torchvision, which its convnext does not use and which has no build for a CPU's torch. A torch for
# CUDA has brought its own Triton; else the newest runs the kernels in its interpreter.
$(VENV)/installed-test: $(VENV)/installed
	$(PIP) install -c constraints.txt --editable '.[test]'
	$(PIP) install -c constraints.txt --no-deps timm
	@$(BIN)/python -c 'import triton' 2>/dev/null || $(PIP) install --no-deps triton || \
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
	$(BIN)/python -m pytest

# Other cases: make attack ARGS="--seed 1"; one of them: make attack ARGS="--only NAME".
attack: $(VENV)/installed-test
	$(BIN)/python tests/attack/attack.py $(ARGS)
