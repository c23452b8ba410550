# Everything runs in an environment that the first call sets up under .ros/.
# make help lists what there is to do; docs/dependencies.md says what it needs.

SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c
.DEFAULT_GOAL := help

# PYTHON  the Python to make the environment with; by default a python3 that fits
# ARGS    more arguments for the program that a target runs; ARGS='-n 0' runs the tests one by one
PYTHON ?=
ARGS ?=

# A distribution named on the command line is asked for; one that stands in the
# environment may only be what is sourced there.
ifeq ($(origin ROS_DISTRO),command line)
distro := --distro '$(ROS_DISTRO)'
endif

# Any Python 3 starts the bootstrap, which goes on as the one that is wanted.
starter := $(firstword $(shell command -v python3) $(shell command -v '$(PYTHON)'))
bootstrap = $(or $(starter),$(error There is no python3. On Debian or Ubuntu: \
  sudo apt install python3 python3-venv python3-dev)) tools/bootstrap.py $(if $(PYTHON),--python '$(PYTHON)') $(distro)
activate = . "$$($(bootstrap) activate-path)"

.PHONY: help setup setup-tests test demo shell clean

help:  ## list the targets
	@echo 'make [ROS_DISTRO=jazzy|kilted] [PYTHON=python3.11] [ARGS=...] TARGET'
	@sed -n 's/^\([a-z]*\):.*  ## /  \1\t/p' $(MAKEFILE_LIST)

setup:  ## set the environment up, or bring it up to date
	@$(bootstrap) setup

setup-tests:
	@$(bootstrap) setup-tests

test: setup-tests  ## run the test suite: make test ARGS='-k letterbox'
	@$(activate) && python -m pytest -n 2 $(ARGS)

demo: setup  ## run the demonstration; its results are left in out/demo
	@$(activate) && trt_perception demo $(ARGS)

shell: setup  ## open a bash in the environment
	@file="$$($(bootstrap) activate-path)"; exec bash --rcfile <( \
	  echo '[ ! -f ~/.bashrc ] || . ~/.bashrc'; echo ". '$$file'"; echo 'PS1="($$ROS_DISTRO) $$PS1"') -i

clean:  ## remove the environment and everything that was built
	rm -rf .ros build install log
