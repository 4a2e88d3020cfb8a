# SPDX-License-Identifier: BSD-3-Clause
#
# Which folders there are, and what a folder's Makefile may say.
#
# Make runs once, for the whole tree, at the top. A folder's Makefile is never run by itself: it is
# read from here and only lists what is in the folder. Paths in it are relative to that folder.
#
# A room of the library or the tool (lib/mem/Makefile):
#
#	srcs := pool.c window.c
#
# A folder of tests, which mirrors the room it tests (test/unit/lib/mem/Makefile); every test is one
# program, linked with libnsdk.a, so that it reaches the functions that the library does not export:
#
#	tests := pool_test.c window_test.c
#	helpers := fake_ioctl.c			(linked into each test of this folder)
#	scripts := usage.sh			(a test that is not compiled; it must be executable)
#
# The tests of test/unit use CUnit through test/unit/nsdk_unit.h, those of test/functional too.
# A test of app/nsdk gets the tool's objects beside its main.c as well.
#
# Beside these, in either, where NAME is a file's name without its .c:
#
#	cflags_NAME := -mavx2			(to compile that file)
#	wraps_NAME := ioctl open		(calls from other files to ioctl() in that test go to
#						its __wrap_ioctl(); __real_ioctl() is the true one)
#	timeout_NAME := 120			(seconds that test may take; else 60)
#
# Includes: <nsdk/x.h> is the public header, "lib/x/x_internal.h" another room's, "x_internal.h" the
# folder's own.
#
# A folder that is not there is passed over, so a new room starts with one line below.

lib_rooms := lib/env lib/mem lib/iommu lib/pci lib/bus lib/coherence lib/reactor lib/emu \
	drivers/nvme

# Each is one program, bin/ and its folder's name.
app_rooms := app/nsdk app/hello_nvme app/own_driver

test_rooms := $(lib_rooms:%=test/unit/%) $(app_rooms:%=test/unit/%) test/unit/mk \
	test/unit/aarch64 test/functional test/bench test/fuzz

# A source that is listed but not there yet is left out with a warning, so that one unfinished room
# does not keep the others from building; where warnings are errors, this is one too.
present = $(if $(filter yes,$(WERROR)),$(2),$(foreach file,$(2),$(if $(wildcard $(S)$(1)/$(file)),$(file),\
	$(warning $(1)/$(file) is listed, but not there))))

# What a folder's Makefile may set, emptied before the next folder is read.
define room_reset
srcs :=
tests :=
helpers :=
scripts :=
endef

# Keeps a per-file setting under the file's whole path, since names recur between folders.
define room_keep_setting
$(1)_$(2)/$(3) := $$($(1)_$(3))
$(1)_$(3) :=
endef

define room_collect
ROOM_MAKEFILES += $(wildcard $(S)$(1)/Makefile)
srcs_$(1) := $(addprefix $(1)/,$(call present,$(1),$(srcs)))
tests_$(1) := $(addprefix $(1)/,$(basename $(call present,$(1),$(tests))))
helpers_$(1) := $(addprefix $(1)/,$(call present,$(1),$(helpers)))
scripts_$(1) := $(addprefix $(1)/,$(call present,$(1),$(scripts)))
$(foreach file,$(basename $(srcs) $(tests) $(helpers) $(scripts)),$(foreach setting,cflags wraps timeout,
$(call room_keep_setting,$(setting),$(1),$(file))))
endef

$(foreach room,$(lib_rooms) $(app_rooms) $(test_rooms),\
	$(eval $(value room_reset))\
	$(eval -include $(S)$(room)/Makefile)\
	$(eval $(call room_collect,$(room))))

lib_srcs := $(foreach room,$(lib_rooms),$(srcs_$(room)))
app_srcs := $(foreach room,$(app_rooms),$(srcs_$(room)))
all_tests := $(foreach room,$(test_rooms),$(tests_$(room)))
all_helpers := $(foreach room,$(test_rooms),$(helpers_$(room)))
all_scripts := $(foreach room,$(test_rooms),$(scripts_$(room)))
