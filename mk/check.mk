# SPDX-License-Identifier: BSD-3-Clause
#
# The targets that test. `make check` is the whole of it and starts from nothing; the stages are
# mk/check's. The others below test the build they are run in, for the quick round while working:
#
#	make check-unit FILTER=mem

top := $(or $(patsubst %/,%,$(S)),.)
jobs := $(shell nproc 2> /dev/null || echo 2)

# What the tests are told of the build they belong to. No profile: what somebody measured on this
# machine is not to decide what is tested.
test_env := NSDK_PROFILE= NSDK_SRC=$(abspath $(top)) NSDK_BUILD=$(abspath $(B)) NSDK=$(abspath $(B))/bin/nsdk \
	$(if $(SANITIZE),NSDK_SANITIZE=$(SANITIZE))

# Sanitizers slow a test down by their own factor, its neighbours by another. The limits are for a test
# that hangs: nothing is lost when they are far away.
time_scale := $(strip $(if $(findstring thread,$(SANITIZE)),16,$(if $(findstring address,$(SANITIZE)),8,\
	$(if $(SANITIZE),4,2))))
# Who has ended its threads need not wait a second, each child anew, for what they may still do.
sanitizer_env := $(if $(SANITIZE),ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=1 \
	LSAN_OPTIONS=suppressions=$(abspath $(top))/test/lsan.supp:print_suppressions=0 \
	UBSAN_OPTIONS=print_stacktrace=1 \
	TSAN_OPTIONS=suppressions=$(abspath $(top))/test/tsan.supp:halt_on_error=0:atexit_sleep_ms=0)
# gcc 12's thread sanitizer does not know where newer kernels put things with full randomisation.
sanitizer_run := $(if $(findstring thread,$(SANITIZE)),setarch $(ARCH) -R)

# Tests run one more at a time than there are processors, as each waits now and then (EAL takes 0.1 s to
# learn the clock's rate); but for these, which run alone:
#   pages_test            counts the free hugepages, which its neighbours take and give back
#   tune_test, tool_tune  measure what is quicker, and look at what comes out
alone := lib/mem/pages_test lib/coherence/tune_test functional/tool_tune.sh

run_tests = $(test_env) $(sanitizer_env) $(sanitizer_run) $(top)/test/run --scale=$(time_scale) \
	--jobs=$(shell expr $(jobs) + 1) $(addprefix --alone=/,$(alone)) \
	--strip=$(B)/ --strip=$(S) --log-dir=$(B)/test/log/$(@:check-%=%)

# The chosen ones of a list of paths: those that match the pattern and, if there is one, FILTER.
chosen = $(foreach path,$(filter $(1),$(2)),$(if $(FILTER),$(if $(findstring $(FILTER),$(path)),$(path)),\
	$(path)))
binaries = $(addprefix $(B)/,$(call chosen,$(1),$(all_tests)))
with_time = $(1)$(2)$(addprefix @,$(timeout_$(2)))
programs = $(foreach test,$(call chosen,$(1),$(all_tests)),$(call with_time,$(B)/,$(test)))
# Tests of the build's own scripts, and of what another machine runs, are the same in every build; those of
# what is measured mean little in a slow one.
any_build := test/unit/mk/% test/unit/aarch64/%
measuring := test/functional/tool_flush.sh test/functional/tool_tune.sh
here_scripts = $(if $(SANITIZE),$(filter-out $(any_build) $(measuring),$(all_scripts)),$(all_scripts))
scripts = $(foreach script,$(call chosen,$(1),$(here_scripts)),$(or $(S),./)$(script)$(addprefix @,$(timeout_$(basename $(script)))))

# Which tests have more than one thread to look at: those that start one themselves, and some that let
# others do it (reactors; a function's reset, which waits in a thread of its own). In any other the thread
# sanitizer finds nothing, for a good deal of time.
starts_threads := $(shell cd $(top) && grep -lrE 'pthread_create|nsdk_reactors_run' test/unit --include=*_test.c)
threaded := $(sort $(filter $(starts_threads:.c=) test/unit/lib/env/env_test test/unit/drivers/nvme/recover_test \
	test/unit/drivers/nvme/irq_test test/unit/drivers/nvme/group_test,$(all_tests)))

.PHONY: check-unit check-functional check-threads check-install check-symbols check-lint \
	check-mutants check-ratchet bench
.PHONY: check check-gcc check-clang check-asan check-ubsan check-tsan check-fuzz check-vm
.PHONY: deps fuzz soak demo doc vm-shell lab-kernel help

ifeq ($(HAVE_CUNIT),no)
check-unit check-threads check-functional:
	@echo 'skip - $@: CUnit is missing (apt-get install libcunit1-dev)'
else
check-unit: $(call binaries,test/unit/%) $(B)/libnsdk.a $(B)/libnsdk-unit.a
	@$(run_tests) $(call programs,test/unit/%) $(call scripts,test/unit/%)

# The longest first, or they would be the only ones at the end.
longest := %/tool_verify.sh %/tool_perf.sh %/tool_faults.sh
check-functional: all $(call binaries,test/functional/% test/fuzz/%)
	@$(run_tests) $(call scripts,$(longest)) $(call programs,test/functional/% test/fuzz/%) \
		$(filter-out $(call scripts,$(longest)),$(call scripts,test/functional/%))

check-threads: $(call binaries,$(threaded))
	@$(run_tests) $(call programs,$(threaded))
endif

check-install: all
	@$(test_env) $(top)/mk/check-install $(B)

# In an instrumented copy of the tree: see the script.
check-mutants: $(B)/config.mk
	@python3 $(top)/mk/mutants $(B) $(FILTER)

# On a build of its own.
bench: $(B)/config.mk
	@$(top)/mk/bench $(abspath $(B))

check-ratchet: $(B)/config.mk
	@$(top)/mk/bench --ratchet $(abspath $(B))

check-symbols: all
	@$(test_env) CC='$(CC)' $(top)/mk/check-symbols $(B)

# The flags of the compiler go along, for the linters that parse C.
check-lint: $(B)/config.mk
	@$(test_env) CC='$(CC)' LINT_FLAGS='$(filter-out -f%,$(compile_flags)) -I$(S)test/unit' \
		$(top)/mk/lint $(B) $(lib_srcs) $(app_srcs) $(addsuffix .c,$(all_tests)) $(all_helpers) \
		test/unit/nsdk_unit.c test/unit/nsdk_unit_log.c $(wildcard $(S)test/vm/*/*.c) \
		test/unit/aarch64/harness.c

# --- from nothing ------------------------------------------------------------

deps:
	@$(top)/mk/deps build

check:
	@$(top)/mk/check $(abspath $(B))

check-gcc check-clang check-asan check-ubsan check-tsan check-fuzz check-vm:
	@$(top)/mk/check $(abspath $(B)) $(@:check-%=%)

# By hand, for as long as one likes.
fuzz:
	@$(top)/mk/fuzz $(abspath $(B)) --seconds=$(or $(SECONDS),600)

soak:
	@$(top)/mk/soak $(abspath $(B)) --seconds=$(or $(SECONDS),300) $(addprefix --seed=,$(SEED))

demo: deps
	@[ -e $(B)/config.mk ] || (mkdir -p $(B) && cd $(if $(S),$(B),.) && $(or $(S),./)configure)
	@$(MAKE) --no-print-directory -j$(jobs) all
	@$(top)/mk/demo $(B)/bin/nsdk

vm-shell:
	@$(MAKE) --no-print-directory -j$(jobs) all
	@$(test_env) $(top)/test/vm/run --shell

lab-kernel:
	@$(top)/test/vm/kernel/build

doc: $(B)/config.mk
	@$(top)/mk/doxygen $(B)
	@echo "$(B)/doc/html/index.html"

help:
	@sed -n 's/^#: \?//p' $(S)mk/check.mk

#: make                the libraries and the tool, in build/ (or where configure was run)
#: make demo           installs what is missing, builds, and shows the main job on an emulated NVMe
#: make check          installs what is missing, then every test there is, the VM lab's included
#: make bench          measures; one table, and the same in build/bench.json
#: make install        PREFIX is configure's; DESTDIR=DIR puts everything under DIR
#: make doc            the public headers as web pages
#: make deps           installs what building needs (mk/deps)
#: make vm-shell       a shell in the VM lab
#: make clean          removes what was built, distclean what configure wrote as well
#:
#: One part of the tests, on the build at hand (FILTER=TEXT runs only those with TEXT in the path):
#:   check-unit check-functional check-threads check-install check-symbols check-lint
#:   check-mutants (takes away each cache operation, one at a time: a test must notice)
#:   check-ratchet (instructions on the I/O path, beside the best counts)
#: One stage of make check, each in a build of its own:
#:   check-gcc check-clang check-asan check-ubsan check-tsan check-fuzz check-vm
#: make fuzz SECONDS=N runs the fuzz targets for longer (600 s)
#: make soak SECONDS=N SEED=N runs perf --verify on devices that fail, under sanitizers (300 s)
#:
#: V=1 shows whole commands; ./configure --help what can be chosen.
