# SPDX-License-Identifier: BSD-3-Clause
#
# The whole build, run once at the top (nothing recurses). `make help` lists the targets;
# mk/rooms.mk says how a folder's Makefile looks; configure says what can be chosen.
#
# S is the prefix of the sources (empty, or a path that ends in a slash), B the build folder.

S ?=
B ?= build

MAKEFLAGS += --no-builtin-rules --no-builtin-variables
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -ec
.DELETE_ON_ERROR:
.SUFFIXES:

.PHONY: all
all:

# These start from nothing: they install what is missing, then configure, then build.
from_nothing := demo check check-gcc check-clang check-asan check-ubsan check-tsan check-fuzz \
	check-vm deps fuzz soak help clean distclean vm-shell lab-kernel
goals := $(or $(MAKECMDGOALS),all)

ifneq ($(filter-out $(from_nothing),$(goals)),)
include $(B)/config.mk
endif

include $(S)mk/rooms.mk
include $(S)mk/build.mk
include $(S)mk/install.mk
include $(S)mk/check.mk
