# Every target sets up what it needs. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV ?= .venv
# `make demo BACKBONE=qwen2_5_vl_3b`: a preset's name or file, a checkpoint folder, or a hub id; nano where it is empty.
BACKBONE ?=
NAME := $(patsubst %.yaml,%,$(notdir $(patsubst %/,%,$(BACKBONE))))
DEMO := runs/demo$(NAME:%=_%)
WORLD := data/demo$(NAME:%=_%)
CONFIGS := $(if $(BACKBONE),$(DEMO)/configs,configs/synthetic)

BIN := $(VENV)/bin
READY := $(VENV)/.ready
STEPS := $(DEMO)/steps
TVAU := $(BIN)/tvau
SOURCES := $(shell find src configs/synthetic backbones -type f -not -name '*.pyc' 2>/dev/null)
# Stage 2 and its baseline train side by side, each on half of the cores.
HALF := OMP_NUM_THREADS=$(shell echo $$(( ($$(getconf _NPROCESSORS_ONLN) + 1) / 2 )))
JOBS := 2
# Another LVLM has the machine for itself.
ifdef BACKBONE
HALF :=
JOBS := 1
endif

# Nothing that these targets run may wait for a model hub, unless an LVLM is asked for that is there.
export HF_HUB_OFFLINE := $(if $(BACKBONE),0,1)
export TOKENIZERS_PARALLELISM := false

.PHONY: help setup demo test lint format docs bench ped2 speed nano clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY) ## Make .venv and install tvau into it, in the tested versions (6 GB; once)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
	  f"tvau needs Python 3.11 or newer, this is {sys.version.split()[0]}; give another: make setup PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --editable '.[dev,docs,notebooks,ui]' --constraint constraints.txt
	@touch $@

# VIDEOS: your own, to predict. SCALE: of the world; 0.5 draws half as many videos. FIT: more flags of tvau fit.
# With BACKBONE also MEMORY: of the card, GB; SIZE: of frames, as [336,588].
VIDEOS ?= $(if $(SCALE),$$(ls -d $(WORLD)/Scene*/ | sed -n 1p),$(WORLD)/Scene19)

define PLAN
The whole chain on synthetic video, about 12 minutes on 2 cores. What is done is not done again.
  world      draws 458 videos into $(WORLD)
  heatmap    stage 1 learns the heatmaps
  dialog     stage 2 learns to speak about them; beside it LoRA alone, the baseline
  test       scores of both on kinds and scenes that were held out
  predict    overlay, events and dialog of some videos
  report     all of it on one page

endef
export PLAN

demo: $(READY) ## The whole chain on synthetic video: data, both stages, scores, report (about 12 minutes on 2 cores)
	@echo "$$PLAN"
	@$(MAKE) --no-print-directory --jobs=$(JOBS) $(STEPS)/predict $(STEPS)/test_lora $(STEPS)/test_heatmap
	$(TVAU) report $(DEMO)
	@echo "Report: $(DEMO)/report.html"

# The demo's steps are the commands that a user would type, each with its time at the end. A finished step is not
# repeated until the code changes.
BEGIN = @mkdir -p $(STEPS); date +%s > $@.begun
DONE = @echo "== $(@F): $$(( $$(date +%s) - $$(cat $@.begun) )) s"; mv $@.begun $@; touch $@

$(DEMO)/configs/heatmap.yaml: $(READY) $(SOURCES)
	$(TVAU) plan $(BACKBONE) --out $(DEMO) --world $(WORLD) $(MEMORY:%=--memory %) $(SIZE:%=--size %)

$(STEPS)/world: $(READY) $(SOURCES) $(if $(BACKBONE),$(DEMO)/configs/heatmap.yaml)
	$(BEGIN)
	rm -rf $(WORLD)
	$(TVAU) synth $(WORLD) $(SCALE:%=--scale %) $(if $(BACKBONE),$$(cat $(CONFIGS)/synth.txt))
	$(DONE)

$(STEPS)/heatmap: $(STEPS)/world
	$(BEGIN)
	rm -rf $(DEMO)/heatmap
	$(TVAU) fit --config $(CONFIGS)/heatmap.yaml $(FIT)
	$(DONE)

$(STEPS)/dialog: $(STEPS)/heatmap
	$(BEGIN)
	rm -rf $(DEMO)/dialog
	$(HALF) $(TVAU) fit --config $(CONFIGS)/dialog.yaml $(FIT)
	$(DONE)

# In the background of the step above, so its output goes to a file and is shown only if it fails.
$(STEPS)/dialog_lora: $(STEPS)/heatmap
	$(BEGIN)
	rm -rf $(DEMO)/dialog_lora
	$(HALF) $(TVAU) fit --config $(CONFIGS)/dialog_lora.yaml $(FIT) > $(DEMO)/dialog_lora.log 2>&1 \
	  || { cat $(DEMO)/dialog_lora.log; exit 1; }
	$(DONE)

$(STEPS)/test_lora: $(STEPS)/dialog_lora
	$(BEGIN)
	$(HALF) $(TVAU) test --config $(CONFIGS)/dialog_lora.yaml --ckpt_path $(DEMO)/dialog_lora/best.ckpt \
	  > $(DEMO)/test_lora.log 2>&1 || { cat $(DEMO)/test_lora.log; exit 1; }
	$(DONE)

$(STEPS)/test_heatmap: $(STEPS)/test_lora
	$(BEGIN)
	$(HALF) $(TVAU) test --config $(CONFIGS)/heatmap.yaml --ckpt_path $(DEMO)/heatmap/last.ckpt \
	  > $(DEMO)/test_heatmap.log 2>&1 || { cat $(DEMO)/test_heatmap.log; exit 1; }
	$(DONE)

$(STEPS)/test: $(STEPS)/dialog
	$(BEGIN)
	$(HALF) $(TVAU) test --config $(CONFIGS)/dialog.yaml --ckpt_path $(DEMO)/dialog/best.ckpt
	$(DONE)

$(STEPS)/predict: $(STEPS)/test
	$(BEGIN)
	$(HALF) $(TVAU) predict $(VIDEOS) --ckpt $(DEMO)/dialog/best.ckpt --out $(DEMO)/predict \
	  $(if $(BACKBONE),$$(cat $(CONFIGS)/predict.txt))
	$(DONE)

test: $(READY) ## Run all tests, one process a core (at most 10 minutes on 2 cores)
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses=auto --maxprocesses=4 --dist=loadfile $(ARGS)

lint: $(READY) ## Check style, format and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: $(READY) ## Repair what lint can repair by itself
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: $(READY) ## Build the documentation into site/; a broken link fails
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# The whole is the same commands without SMALL and FEW: all clips, all lines (hours; a GPU is used where there is one).
# 240 steps: with 80 the order of the lines is another
SMALL := --jobs 2 --out runs/bench --set trainer.max_epochs=6 trainer.check_val_every_n_epoch=6 'data.limit={training: 160, validation: 28}'
# 24 of the 60 videos of a split, evenly spaced, hold every kind; 26 would hold four of seven
FEW := --jobs 2 --out runs/bench --set trainer.max_epochs=2 'data.limit={training: 160, in_distribution: 24, open_set: 24, unseen_scenes: 24, weather: 24, subtle: 24, novel: 24}'

bench: $(READY) ## The benchmark in a size for 2 cores: the main lines of both tables, three seeds (more than an hour)
	$(TVAU) synth data/benchmark --set benchmark
	$(TVAU) table configs/tables/localization --lines ahd,recommended,block_6,no_text,neighbours,attention,probe_tower,probe_language,asked $(SMALL)
	$(TVAU) table configs/tables/dialog --lines untuned,lora_only,spotlight,without_prompts,true_masks $(FEW)

ped2: $(READY) ## UCSD Ped2: eight clips, leave-videos-out, three conditions, three seeds (after bench; needs the data)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/ped2.py --seeds 0 1 2 --synthetic 'runs/bench/localization/recommended/{seed}/last.ckpt' $(ARGS)

speed: $(READY) ## Run the measured comparisons in benchmarks/ that need nothing but the repository
	@set -- backbones contract loading maps metrics; \
	  for name; do echo "== benchmarks/$$name.py"; $(BIN)/python benchmarks/$$name.py; done

nano: $(READY) ## Pretrain the embedded LVLM again: makes the weights in backbones/nano (hours)
	$(TVAU) nano backbones/nano
	$(TVAU) fit --config configs/synthetic/pretrain.yaml
	$(TVAU) test --config configs/synthetic/held_out.yaml

clean: ## Remove the data and runs of demo and bench; .venv stays
	rm -rf $(DEMO) $(WORLD) runs/bench runs/cache data/benchmark
