# SPDX-License-Identifier: BSD-3-Clause
#
# From sources to libnsdk.a, libnsdk.so, the tool and the test programs.

ifeq ($(V),1)
quiet :=
say := @:
else
quiet := @
say := @printf '  %-5s %s\n'
endif

# --- configure, again when it or the version changed -------------------------

# configure leaves config.mk alone when it would say the same, so nothing is rebuilt in vain.
$(B)/config.stamp: $(S)configure $(S)include/nsdk/version.h
	@cd $(if $(S),$(B),.) && $(if $(S),$(S),./)configure $(CONFIGURE_ARGS)

$(B)/config.mk: $(B)/config.stamp
	@test -e $@

# --- flags -------------------------------------------------------------------

warnings := -Wall -Wextra -Wshadow -Wpointer-arith -Wmissing-prototypes -Wstrict-prototypes \
	-Wold-style-definition -Wvla -Wundef -Wwrite-strings -Wformat=2 -Wno-unused-parameter \
	-Wno-missing-field-initializers \
	-Werror=implicit-function-declaration -Werror=implicit-int -Werror=int-conversion \
	-Werror=incompatible-pointer-types -Werror=return-type
ifeq ($(WERROR),yes)
warnings += -Werror
endif

# Registers and rings are looked at through several types: no type-based aliasing. The same objects
# go into both libraries, so they are position independent, but nobody may interpose a function.
code := -std=gnu11 -fPIC -fno-semantic-interposition -fno-strict-aliasing -fno-common \
	-fstack-protector-strong

# No absolute source path in the products: two people who build the same get the same.
prefix_map := $(if $(S),-ffile-prefix-map=$(S)=)

compile_flags = $(code) $(OPT_CFLAGS) $(MARCH_CFLAGS) $(warnings) $(prefix_map) -D_GNU_SOURCE \
	-I$(B)/include -I$(S)include -I$(or $(S),.) $(DPDK_CFLAGS) $(SAN_CFLAGS) $(LTO_CFLAGS) \
	$(USER_CPPFLAGS) $(USER_CFLAGS)
link_flags = $(code) $(OPT_CFLAGS) $(SAN_CFLAGS) $(LTO_CFLAGS) -Wl,--as-needed -Wl,-z,relro,-z,now \
	$(USER_CFLAGS) $(USER_LDFLAGS)

# The loader finds the address sanitizer's run time in the program alone, so a library that is built
# with it leaves names open; otherwise a name that nobody defines is an error at once.
so_flags := -shared $(if $(SANITIZE),,-Wl,-z,defs)

# --- objects -----------------------------------------------------------------

object = $(patsubst %.c,$(B)/obj/%.o,$(1))

lib_objs := $(call object,$(lib_srcs))
app_objs := $(call object,$(app_srcs))
test_objs := $(call object,$(addsuffix .c,$(all_tests)) $(all_helpers))
unit_objs := $(call object,test/unit/nsdk_unit.c test/unit/nsdk_unit_log.c)

$(lib_objs) $(app_objs): $(B)/obj/%.o: $(S)%.c $(B)/config.mk
	@mkdir -p $(@D)
	$(say) CC $*.c
	$(quiet)$(CC) $(compile_flags) $(cflags_$*) -MMD -MP -c -o $@ $<

$(test_objs) $(unit_objs): $(B)/obj/%.o: $(S)%.c $(B)/config.mk
	@mkdir -p $(@D)
	$(say) CC $*.c
	$(quiet)$(CC) $(compile_flags) -I$(S)test/unit $(cflags_$*) -MMD -MP -c -o $@ $<

-include $(patsubst %.o,%.d,$(lib_objs) $(app_objs) $(test_objs) $(unit_objs))

# --- the libraries -----------------------------------------------------------

soname := libnsdk.so.$(firstword $(subst ., ,$(VERSION)))
sofile := libnsdk.so.$(VERSION)
public_headers := $(wildcard $(S)include/nsdk/*.h)

# A folder's Makefile may have lost a source: the archive starts afresh then.
$(B)/libnsdk.a: $(lib_objs) $(ROOM_MAKEFILES)
	$(say) AR libnsdk.a
	$(quiet)rm -f $@
	$(quiet)$(AR) rcs $@ $(lib_objs)

# The public headers are the only list of what is exported.
$(B)/nsdk.map: $(S)mk/symbols $(public_headers) $(B)/config.mk
	$(say) MAP nsdk.map
	$(quiet)CC='$(CC)' $(S)mk/symbols --map $(public_headers) > $@

$(B)/$(sofile): $(lib_objs) $(B)/nsdk.map $(ROOM_MAKEFILES)
	$(say) LD $(sofile)
	$(quiet)$(CC) $(link_flags) $(so_flags) -Wl,-soname,$(soname) \
		-Wl,--version-script,$(B)/nsdk.map -o $@ $(lib_objs) $(LIBS)

$(B)/libnsdk.so: $(B)/$(sofile)
	$(quiet)ln -sf $(sofile) $(B)/$(soname)
	$(quiet)ln -sf $(soname) $@

# --- the programs ------------------------------------------------------------

# Linked with the archive: they stand alone, and show an error's place in a debugger.
define app_rule
$(B)/bin/$(notdir $(1)): $(call object,$(srcs_$(1))) $(B)/libnsdk.a
	@mkdir -p $$(@D)
	$$(say) LD bin/$(notdir $(1))
	$$(quiet)$$(CC) $$(link_flags) -o $$@ $(call object,$(srcs_$(1))) $(B)/libnsdk.a $$(LIBS)
endef
# A folder without sources is no program yet.
programs_built := $(foreach room,$(app_rooms),$(if $(srcs_$(room)),$(B)/bin/$(notdir $(room))))
$(foreach room,$(app_rooms),$(if $(srcs_$(room)),$(eval $(call app_rule,$(room)))))

# --- the test programs -------------------------------------------------------

$(B)/libnsdk-unit.a: $(unit_objs)
	$(say) AR libnsdk-unit.a
	$(quiet)rm -f $@
	$(quiet)$(AR) rcs $@ $^

# --wrap sees calls between object files, of which link-time optimisation leaves none. gcc's objects
# hold ordinary code as well.
test_flags := $(if $(LTO_CFLAGS),$(if $(filter gcc,$(COMPILER)),-fno-lto))
# What is measured is linked as what is installed.
linked_by = $(if $(filter test/bench/%,$(1)),,$(TEST_LDFLAGS))
test_libs := -lcunit $(if $(filter yes,$(HAVE_PMEM)),-lpmem)
comma := ,

# libFuzzer brings the main program of a fuzz target; where it is not, test/fuzz/replay.c is that.
libfuzzer = $(if $(filter test/fuzz/%,$(1)),$(if $(findstring -DNSDK_LIBFUZZER,$(USER_CPPFLAGS)),-fsanitize=fuzzer))

define test_rule
$(B)/$(1): $$(call object,$(1).c $$(helpers_$(2)) \
	$$(filter-out %/main.c,$$(srcs_$(2:test/unit/app/%=app/%)))) $(B)/libnsdk.a $(B)/libnsdk-unit.a $(S)$(2)/Makefile
	@mkdir -p $$(@D)
	$$(say) LD $(1)
	$$(quiet)$$(CC) $$(link_flags) $$(test_flags) $$(call linked_by,$(1)) $$(call libfuzzer,$(1)) $$(addprefix -Wl$$(comma)--wrap=,$$(wraps_$(1))) -o $$@ \
		$$(filter %.o,$$^) $(B)/libnsdk.a $(B)/libnsdk-unit.a $$(test_libs) $$(LIBS)
endef
$(foreach room,$(test_rooms),$(foreach test,$(tests_$(room)),$(eval $(call test_rule,$(test),$(room)))))

# --- targets -----------------------------------------------------------------

products := $(B)/libnsdk.a $(if $(lib_objs),$(B)/libnsdk.so) $(programs_built)

.PHONY: lib tests clean distclean
all: $(products)
lib: $(B)/libnsdk.a
tests: $(addprefix $(B)/,$(all_tests))

clean:
	rm -rf $(B)/obj $(B)/bin $(B)/test $(B)/check $(B)/doc $(B)/install $(B)/libnsdk* \
		$(B)/nsdk.map $(B)/bench.json $(B)/*.pc

distclean: clean
	rm -rf $(B)/config.* $(B)/include
	$(if $(S),rm -f $(B)/Makefile,rm -rf $(B))
