#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# mk/symbols finds what a header declares and nothing else.

set -u

src=${NSDK_SRC:?}
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
status=0

# The script belongs to a tree: it reads the headers of the one it is in.
mkdir -p "$tmp/mk" "$tmp/include/nsdk"
cp "$src/mk/symbols" "$tmp/mk/"
cat > "$tmp/include/nsdk/other.h" << 'END'
void nsdk_of_the_other_header(void);
END
cat > "$tmp/include/nsdk/all.h" << 'END'
#include <stdio.h>
#include <nsdk/other.h>
/* void nsdk_in_a_comment(void); */
// void nsdk_in_a_line_comment(void);
#ifdef NEVER
void nsdk_compiled_out(void);
#endif
struct nsdk_thing { int (*nsdk_member)(void *ctx); int x; };
enum nsdk_kind { NSDK_A, NSDK_B };
typedef void (*nsdk_callback)(void *ctx, int value);
int nsdk_plain(struct nsdk_thing *thing);
const char *nsdk_pointer(void);
struct nsdk_thing *nsdk_of_a_struct(enum nsdk_kind kind);
void nsdk_over_lines(int a,
		     int b,
		     void (*nsdk_parameter)(int x));
void nsdk_attributed(const char *format, ...) __attribute__((format(printf, 1, 2)));
__attribute__((noreturn)) void nsdk_attributed_before(void);
static inline int nsdk_inline(int x)
{
	if (x) {
		return nsdk_plain(0);
	}
	return 0;
}
int nsdk_after_the_inline(void);
static inline void nsdk_empty(void) {}
extern int nsdk_extern_function(void);
extern const char *const nsdk_names[3];
extern unsigned int nsdk_variable;
int not_ours(void);
#define nsdk_macro(x) nsdk_plain(x)
_Static_assert(sizeof(struct nsdk_thing) >= 4, "nsdk_text(in a string);");
int nsdk_last(void);
END
cat > "$tmp/expected" << 'END'
nsdk_after_the_inline
nsdk_attributed
nsdk_attributed_before
nsdk_extern_function
nsdk_last
nsdk_names
nsdk_of_a_struct
nsdk_of_the_other_header
nsdk_over_lines
nsdk_plain
nsdk_pointer
nsdk_variable
END

if "$tmp/mk/symbols" "$tmp/include/nsdk/all.h" > "$tmp/got" 2> "$tmp/errors" &&
	diff "$tmp/expected" "$tmp/got" > "$tmp/diff"; then
	echo 'ok - mk/symbols: finds every declaration and nothing else'
else
	echo 'not ok - mk/symbols: finds every declaration and nothing else: see the difference'
	cat "$tmp/errors" "$tmp/diff"
	status=1
fi

# The linker is the judge of the version script.
echo 'int nsdk_last(void) { return 0; } int nsdk_hidden(void) { return 0; }' > "$tmp/lib.c"
"$tmp/mk/symbols" --map "$tmp/include/nsdk/all.h" > "$tmp/map"
if ${CC:-cc} -shared -fPIC -Wl,--version-script="$tmp/map" -o "$tmp/lib.so" "$tmp/lib.c" &&
	nm -D --defined-only "$tmp/lib.so" > "$tmp/names" &&
	grep -q ' nsdk_last@@NSDK_' "$tmp/names" && ! grep -q nsdk_hidden "$tmp/names"; then
	echo 'ok - mk/symbols: the version script exports those and hides the rest'
else
	echo 'not ok - mk/symbols: the version script exports those and hides the rest: see the names'
	cat "$tmp/map" "$tmp/names"
	status=1
fi

echo 'int nsdk_broken(' > "$tmp/include/nsdk/other.h"
echo '#error broken' >> "$tmp/include/nsdk/other.h"
if "$tmp/mk/symbols" "$tmp/include/nsdk/all.h" > /dev/null 2>&1; then
	echo 'not ok - mk/symbols: fails on a header that does not compile: it did not'
	status=1
else
	echo 'ok - mk/symbols: fails on a header that does not compile'
fi
exit $status
