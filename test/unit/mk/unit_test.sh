#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# test/unit/nsdk_unit.c reports each way in which a test can end. A suite that must fail is compiled
# here, since a suite that is run with the others cannot.

set -u

src=${NSDK_SRC:?}
build=${NSDK_BUILD:?}
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
status=0

cat > "$tmp/suite.c" << 'END'
#include "nsdk_unit.h"
#include <nsdk/log.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static int open_count, swallow;

static int fake_open(void)
{
	if (nsdk_unit_fails_now())
		return -1;
	open_count++;
	return 0;
}

static int open_three(void)
{
	int n;

	for (n = 0; n < 3; n++)
		if (fake_open() && !swallow)
			goto undo;
	return 0;
undo:
	open_count -= n;
	return -EIO;
}

static int sweep(void)
{
	int rounds = 0;

	for (unsigned int n = 1; nsdk_unit_fail_next(n); n++, rounds++) {
		int result = open_three();

		if (nsdk_unit_failed()) {
			CU_ASSERT(result < 0);
		} else {
			CU_ASSERT_EQUAL(result, 0);
			open_count -= 3;
		}
		if (!swallow)
			NSDK_ASSERT_INT(open_count, 0);
	}
	return rounds;
}

static void passes(void) { CU_ASSERT(1); }
static void fails(void) { CU_ASSERT_EQUAL(1, 2); }
static void fails_twice(void) { CU_ASSERT(0); CU_ASSERT_PTR_NULL("x"); }
static void shows_text(void) { NSDK_ASSERT_TEXT("this", "that"); }
static void shows_numbers(void) { NSDK_ASSERT_INT(3, 4); }
static void skips(void) { nsdk_skip("there is no %s", "device"); }
static void fails_then_skips(void) { CU_ASSERT(0); nsdk_skip("too late"); }
static void sweep_sees_all(void) { swallow = 0; NSDK_ASSERT_INT(sweep(), 4); }
static void sweep_sees_swallowed(void) { swallow = 1; sweep(); }
static void one_sentence(void)
{
	nsdk_unit_log_start();
	nsdk_fail(-EINVAL, "x", "the size %d is wrong", 7);
	NSDK_ASSERT_ONE_SENTENCE("size 7 is wrong");
	nsdk_unit_log_stop();
}
static void two_sentences(void)
{
	nsdk_unit_log_start();
	nsdk_fail(-EINVAL, "x", "first");
	nsdk_fail(-EINVAL, "x", "second");
	NSDK_ASSERT_ONE_SENTENCE("second");
	nsdk_unit_log_stop();
}
static void crashes(void) { if (getenv("CRASH")) abort(); }

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(passes), NSDK_UNIT_TEST(fails), NSDK_UNIT_TEST(fails_twice),
	NSDK_UNIT_TEST(shows_text), NSDK_UNIT_TEST(shows_numbers), NSDK_UNIT_TEST(skips),
	NSDK_UNIT_TEST(fails_then_skips), NSDK_UNIT_TEST(sweep_sees_all),
	NSDK_UNIT_TEST(sweep_sees_swallowed), NSDK_UNIT_TEST(one_sentence),
	NSDK_UNIT_TEST(two_sentences), NSDK_UNIT_TEST(crashes),
};

static int start(void) { return getenv("NO_START") ? -ENODEV : 0; }

static void before(void)
{
	if (getenv("LACKS"))
		nsdk_skip("there is no %s", getenv("LACKS"));
}
static void after(void)
{
	if (getenv("LACKS"))
		abort();
}

NSDK_UNIT_MAIN("it", tests, .start = start, .before = before, .after = after)
END

flags=()
sanitize=$(sed -n 's/^SAN_CFLAGS *:= //p' "$build/config.mk")
libs=$(sed -n 's/^LIBS *:= //p' "$build/config.mk")
cc=$(sed -n 's/^CC *:= //p' "$build/config.mk")
read -ra flags <<< "$sanitize"
read -ra libs <<< "$libs"
if ! $cc -std=gnu11 -D_GNU_SOURCE "${flags[@]}" -I"$src/include" -I"$src/test/unit" \
	-o "$tmp/suite" "$tmp/suite.c" "$build/libnsdk-unit.a" "$build/libnsdk.a" -lcunit "${libs[@]}" \
	> "$tmp/out" 2>&1; then
	echo 'not ok - nsdk_unit: a suite compiles: see below'
	cat "$tmp/out"
	exit 1
fi

check() { # check NAME CONDITION...
	local name=$1

	shift
	if "$@"; then
		echo "ok - nsdk_unit: $name"
	else
		echo "not ok - nsdk_unit: $name: see below"
		sed 's/^/  | /' "$tmp/lines"
		status=1
	fi
}
says() { grep -qxE -- "$1" "$tmp/lines"; }
ended() { [[ $got == "$1" ]]; }
ran() { # ran STATUS-OF... : runs the suite, keeps its lines and its status
	# The braces catch what the shell itself says of a crash.
	{ "$@" > "$tmp/lines" 2>&1; } 2> /dev/null
	got=$?
}

ran "$tmp/suite"
check 'a failed suite has a status' ended 1
check 'a passed test' says 'ok - it: passes'
check 'a failed one, with its place and assertion' says 'not ok - it: fails: suite.c:[0-9]+: CU_ASSERT_EQUAL\(1,2\)'
check 'two failures are one line' says 'not ok - it: fails_twice: suite.c:.*'
check 'text that differs is shown' says 'not ok - it: shows_text: .*"this" is "this", expected "that"'
check 'numbers that differ are shown' says 'not ok - it: shows_numbers: .*3 is 3, expected 4'
check 'a skipped one, with its reason' says 'skip - it: skips: there is no device'
check 'a failure before a skip stays one' says 'not ok - it: fails_then_skips: .*'
check 'a sweep makes every call fail once' says 'ok - it: sweep_sees_all'
check 'a sweep notices a swallowed failure' says 'not ok - it: sweep_sees_swallowed: .*'
check 'one sentence in the log' says 'ok - it: one_sentence'
check 'two are one too many' says 'not ok - it: two_sentences: .*2 sentences in the log.*'
ran "$tmp/suite" passes crash
check 'only the tests that were named' test "$(grep -c ' - ' "$tmp/lines")" = 2
check 'and their status' ended 0
ran env CRASH=1 "$tmp/suite"
check 'lines before a crash are kept' says 'ok - it: passes'
check 'a crash has a status' test "$got" -gt 128
ran env NO_START=1 "$tmp/suite"
check 'a suite that does not start fails its tests' says 'not ok - it: passes: .*'
ran env LACKS=mouse "$tmp/suite"
check 'what every test lacks skips them all' says 'skip - it: passes: there is no mouse'
check 'and is no failure' ended 0
exit $status
