# SPDX-License-Identifier: BSD-3-Clause
#
# make install [DESTDIR=...] [PREFIX=... LIBDIR=...]
#
# Two .pc files, as DPDK has them: `pkg-config --libs nsdk` links the shared library, and with
# --static the archive with all it needs. The archive's name comes before -lnsdk there, and
# --as-needed leaves the shared library out again once nothing is left to be found in it; with a
# single file both would be linked, with one copy of DPDK in each.

INSTALL := install
BINDIR  := $(PREFIX)/bin
INCDIR  := $(PREFIX)/include
PCDIR   := $(LIBDIR)/pkgconfig
MANDIR  := $(PREFIX)/share/man/man1

.PHONY: install uninstall

install: all $(S)mk/nsdk.pc.in $(S)mk/nsdk-shared.pc.in
	$(say) INST $(DESTDIR)$(PREFIX)
	$(quiet)$(INSTALL) -d $(DESTDIR)$(BINDIR) $(DESTDIR)$(LIBDIR) $(DESTDIR)$(PCDIR) \
		$(DESTDIR)$(INCDIR)/nsdk
	$(quiet)$(INSTALL) -m 644 $(B)/libnsdk.a $(DESTDIR)$(LIBDIR)
	$(quiet)$(INSTALL) -m 755 $(B)/$(sofile) $(DESTDIR)$(LIBDIR)
	$(quiet)ln -sf $(sofile) $(DESTDIR)$(LIBDIR)/$(soname)
	$(quiet)ln -sf $(soname) $(DESTDIR)$(LIBDIR)/libnsdk.so
	$(quiet)$(INSTALL) -m 644 $(public_headers) $(DESTDIR)$(INCDIR)/nsdk
	$(quiet)for pc in nsdk nsdk-shared; do \
		sed -e '/^#/d' -e 's|@PREFIX@|$(PREFIX)|' -e 's|@LIBDIR@|$(LIBDIR)|' \
			-e 's|@INCDIR@|$(INCDIR)|' -e 's|@VERSION@|$(VERSION)|' -e 's|@LIBS@|$(LIBS)|' \
			$(S)mk/$$pc.pc.in > $(B)/$$pc.pc; \
		$(INSTALL) -m 644 $(B)/$$pc.pc $(DESTDIR)$(PCDIR); \
	done
ifneq ($(srcs_app/nsdk),)
	$(quiet)$(INSTALL) -m 755 $(B)/bin/nsdk $(DESTDIR)$(BINDIR)
	$(quiet)$(INSTALL) -d $(DESTDIR)$(MANDIR)
	$(quiet)$(INSTALL) -m 644 $(wildcard $(S)doc/man/*.1) $(DESTDIR)$(MANDIR)
endif

uninstall:
	rm -f $(DESTDIR)$(BINDIR)/nsdk $(DESTDIR)$(LIBDIR)/libnsdk.a $(DESTDIR)$(LIBDIR)/libnsdk.so*
	rm -f $(DESTDIR)$(PCDIR)/nsdk.pc $(DESTDIR)$(PCDIR)/nsdk-shared.pc
	rm -f $(addprefix $(DESTDIR)$(MANDIR)/,$(notdir $(wildcard $(S)doc/man/*.1)))
	rm -rf $(DESTDIR)$(INCDIR)/nsdk
