#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The engine on aarch64: cross-compiled, run under qemu-user, watched instruction by instruction.

Cache instructions do nothing that a program under qemu-user could see, so this looks at which are
executed: qemu logs the registers before each instruction of lines_aarch64.c, and the disassembly says
which of those are DC CVAC, DC CIVAC, DSB SY and DMB SY. For each case the lines and the order of
barriers must be exactly those expected here, by rules that are written down once more in this file.
"""

import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile

SRC = pathlib.Path(os.environ["NSDK_SRC"])
LINE = 64
GCC = "aarch64-linux-gnu-gcc"
QEMU = "qemu-aarch64"
ENGINE = ["lines.c", "batch.c", "sync.c", "shadow.c", "produce.c"]
WARNINGS = ["-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter", "-Wno-missing-field-initializers"]
# CPU: its smallest data cache line, from its CTR_EL0; None: qemu's choice. The first is the usual one.
CPUS = {"cortex-a57": 64, "a64fx": 256, "max": None}
USUAL = "cortex-a57"
EARLY_LINES = 16
RANDOM_BATCHES = 20

failures = 0


def report(name, why=None):
    global failures
    if why:
        failures += 1
        why = " ".join(why.split())
    print(f"not ok - aarch64: {name}: {why}" if why else f"ok - aarch64: {name}", flush=True)


def run(command, **options):
    return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False, timeout=120, **options)


# --- the programs ------------------------------------------------------------


class Harness:
    """One build of harness.c, and where its cache and barrier instructions are."""

    def __init__(self, folder, name, lines_c):
        self.path = folder / name
        self.log = folder / (name + ".log")
        flags = ["-std=gnu11", "-O2", "-D_GNU_SOURCE", f"-I{SRC}/include", f"-I{SRC}",
                 f"-I{SRC}/lib/coherence", *WARNINGS]
        # The pieces of the engine that need a thread or a device are not called, and not linked.
        result = run([GCC, *flags, "-static", "-no-pie", "-Wl,--unresolved-symbols=ignore-in-object-files",
                      "-o", str(self.path), str(SRC / "test/unit/aarch64/harness.c"), str(lines_c)]
                     + [str(SRC / "lib/coherence" / source) for source in ENGINE] + ["-lpthread"])
        if result.returncode:
            sys.exit(f"not ok - aarch64: {name} does not compile\n{result.stdout}")
        self.find_instructions(folder, flags, lines_c)

    def find_instructions(self, folder, flags, lines_c):
        """The functions of lines_aarch64.c, from the symbols of its object, as linked."""
        objfile = folder / (self.path.name + ".lines.o")
        run([GCC, *flags, "-c", "-o", str(objfile), str(lines_c)])
        names = set(re.findall(r" [tT] (\w+)$", run(["aarch64-linux-gnu-nm", str(objfile)]).stdout,
                               re.MULTILINE))
        symbols = re.findall(r"^(\w+) (\w+) [tT] (\w+)$",
                             run(["aarch64-linux-gnu-nm", "-S", str(self.path)]).stdout, re.MULTILINE)
        self.ranges = [(int(at, 16), int(size, 16)) for at, size, name in symbols if name in names]
        self.instructions = {}
        text = run(["aarch64-linux-gnu-objdump", "-d", "--no-show-raw-insn", str(self.path)]).stdout
        for at, what, operands in re.findall(r"^ +(\w+):\t(dc|dsb|dmb)\t([^\n]*)$", text, re.MULTILINE):
            if any(start <= int(at, 16) < start + size for start, size in self.ranges):
                self.instructions[int(at, 16)] = (what, operands.strip())

    def run(self, words, cpu=USUAL, ctr=None, trace=True):
        """What it printed, and the events: ("cvac", address), ("civac", address), ("dsb",), ("dmb",)."""
        environment = dict(os.environ)
        if ctr is not None:
            environment["HARNESS_CTR"] = str(ctr)
        command = [QEMU, "-cpu", cpu]
        if trace:
            parts = ",".join(f"{start:#x}+{size:#x}" for start, size in self.ranges)
            command += [one_at_a_time(), "-d", "cpu,nochain", "-dfilter", parts, "-D", str(self.log)]
        result = run([*command, str(self.path), *[str(word) for word in words]], env=environment)
        if result.returncode:
            return None, f"exit status {result.returncode}: {result.stdout}"
        return result.stdout, self.events() if trace else []

    def events(self):
        events = []
        for state in re.split(r"^ PC=", self.log.read_text(), flags=re.MULTILINE)[1:]:
            what = self.instructions.get(int(state.split(" ", 1)[0], 16))
            if what is None:
                continue
            kind, operands = what
            if kind == "dc":
                operation, register = operands.split(", ")
                value = re.search(r"X%02d=(\w+)" % int(register[1:]), state)
                events.append((operation, int(value.group(1), 16)))
            else:
                events.append((kind, operands))
        return events


def one_at_a_time():
    """qemu renamed it."""
    if not hasattr(one_at_a_time, "option"):
        known = run([QEMU, "-h"]).stdout
        one_at_a_time.option = "-one-insn-per-tb" if "one-insn-per-tb" in known else "-singlestep"
    return one_at_a_time.option


# --- what is expected --------------------------------------------------------


def lines_of(at, length):
    """The whole lines around a range."""
    return set(range(at // LINE * LINE, at + length, LINE)) if length else set()


def pieces(lines, stride):
    return sorted(line + step for line in lines for step in range(0, LINE, stride))


def differs(output, events, operation_lines, first, last, stride=LINE):
    """Why the events are not those expected, or None. first, last: barriers before and after."""
    if output is None:
        return events
    base = int(re.search(r"^base (\w+)", output).group(1), 16)
    for operation, lines in operation_lines.items():
        seen = sorted(event[1] - base for event in events if event[0] == operation)
        wanted = pieces(lines, stride)
        if seen != wanted:
            return (f"{operation}: {len(seen)} instructions at {[hex(at) for at in seen[:8]]}…, wanted "
                    f"{len(wanted)} at {[hex(at) for at in wanted[:8]]}…")
    done = [event for event in events if event[0] in ("cvac", "civac")]
    begin = events.index(done[0]) if done else len(events)
    end = len(events) - events[::-1].index(done[-1]) if done else len(events)
    if [event for event in events[begin:end] if event not in done]:
        return "a barrier between the lines of one batch"
    if [" ".join(event) for event in events[:begin]] != first:
        return f"before the lines: {events[:begin]}, wanted {first}"
    if [" ".join(event) for event in events[end:]] != last:
        return f"after the lines: {events[end:]}, wanted {last}"
    return None


def early_lines(ranges):
    """A first range to the device of 16 lines or more does not wait for the commit."""
    for side, direction, at, length in ranges:
        if length and side == "device" and len(lines_of(at, length)) >= EARLY_LINES:
            return ("cvac" if direction == "to" else "civac"), lines_of(at, length)
        if length and (side == "device" or direction != "to"):
            break
    return None, set()


def take_early(output, events, ranges):
    """What is left of the events, or why the first of them are not the early ones."""
    operation, lines = early_lines(ranges)
    if output is None or not lines:
        return events, None
    base = int(re.search(r"^base (\w+)", output).group(1), 16)
    wanted = [(operation, base + at) for at in pieces(lines, LINE)]
    if events[:len(wanted)] != wanted:
        return events, f"first {events[:len(wanted)]}, wanted {operation} of {sorted(lines)}"
    return events[len(wanted):], None


def late_ranges(ranges):
    """Those that wait for the commit."""
    if not early_lines(ranges)[1]:
        return ranges
    first = next(i for i, one in enumerate(ranges) if one[3] and (one[0] == "device" or one[1] != "to"))
    return ranges[:first] + ranges[first + 1:]


def batch_lines(ranges):
    """A line that is taken back or going to be written is invalidated, whatever else it is."""
    invalidated, written = set(), set()
    for side, direction, at, length in ranges:
        if direction != "to":
            invalidated |= lines_of(at, length)
        elif side == "device":
            written |= lines_of(at, length)
    return {"civac": invalidated, "cvac": written - invalidated}


def barriers(ranges):
    """DMB before what is taken back, against the load of the completion; one DSB when lines went."""
    takes = any(side == "cpu" and direction != "to" and length for side, direction, _, length in ranges)
    return ["dmb sy"] if takes else [], ["dsb sy"] if any(batch_lines(ranges).values()) else []


# --- the cases ---------------------------------------------------------------


def line_operations(harness, name, stride, **how):
    for operation, instruction in (("writeback", "cvac"), ("invalidate", "civac")):
        why = None
        # The last one ends where the memory does.
        for offset, count in ((0, 1), (64, 3), (4096 - 64, 2), (1024, 64), (65536 - 640, 10)):
            output, events = harness.run([operation, offset, count], **how)
            wanted = {"cvac": set(), "civac": set()}
            wanted[instruction] = lines_of(offset, count * LINE)
            why = why or differs(output, events, wanted, [], [], stride)
        report(f"{operation} reaches each line once, {name}", why)


def syncs(harness):
    for side in ("device", "cpu"):
        for direction in ("to", "from", "both"):
            why = None
            for offset, length in ((0, 64), (100, 1), (63, 2), (4000, 300), (640, 4096)):
                output, events = harness.run(["sync", side, direction, offset, length])
                ranges = [(side, direction, offset, length)]
                why = why or differs(output, events, batch_lines(ranges), *barriers(ranges))
            report(f"sync_for_{side}, {direction}: lines and barriers", why)


def batches(harness, seed):
    rng = random.Random(seed)
    why = None
    for _ in range(RANDOM_BATCHES):
        ranges = [(rng.choice(("device", "cpu")), rng.choice(("to", "to", "from", "both")),
                   rng.randrange(0, 8192), rng.choice((0, 1, 64, 100, 500, 1500)))
                  for _ in range(rng.randrange(1, 8))]
        output, events = harness.run(["batch", *[word for one in ranges for word in one]])
        events, problem = take_early(output, events, ranges)
        late = late_ranges(ranges)
        first, last = barriers(ranges)
        if not any(batch_lines(late).values()):
            # All went early: what follows is behind no lines.
            first, last = first + last, []
        problem = problem or differs(output, events, batch_lines(late), first, last)
        if problem and not why:
            why = f"{problem}: {ranges}, seed {seed}"
    report(f"{RANDOM_BATCHES} batches of random ranges: each line once, one barrier", why)


def production(harness):
    # What is copied out is dropped after it was loaded.
    for operation, instruction, first in (("copy_in", "cvac", []), ("fill", "cvac", []),
                                          ("copy_out", "civac", ["dmb sy"])):
        why = None
        for offset, length in ((0, 64), (0, 4096), (10, 4096), (1000, 9000), (64, 128 * 64)):
            output, events = harness.run([operation, offset, length])
            inner = set(range(-(-offset // LINE) * LINE, (offset + length) // LINE * LINE, LINE))
            wanted = {"cvac": set(), "civac": set(), instruction: inner}
            why = why or differs(output, events, wanted, first, ["dsb sy"])
        report(f"{operation}: each whole line, then a barrier", why)


def granules(real, fake):
    why = None
    sizes = {}
    for cpu, line in CPUS.items():
        output, _ = real.run(["granule"], cpu=cpu, trace=False)
        found = re.match(r"granule (\d+) eviction (\d+) kinds 1", output or "")
        sizes[cpu] = int(found.group(1)) if found else 0
        if sizes[cpu] not in (16, 32, 64, 128, 256) or sizes[cpu] != (line or sizes[cpu]):
            why = why or f"{cpu}: {output}"
    report("line sizes are read from CTR_EL0, " + ", ".join(CPUS), why)
    why = None
    for granule_log2, eviction_log2 in ((0, 0), (2, 4), (3, 3), (4, 0), (6, 6), (9, 9), (15, 15)):
        # Every other field set, so that a wrong shift or mask shows.
        ctr = 0xf0f0ffff | granule_log2 << 16 | eviction_log2 << 24
        output, _ = fake.run(["granule"], ctr=ctr, trace=False)
        wanted = f"granule {4 << granule_log2} eviction {4 << eviction_log2 if eviction_log2 else 0} kinds 1\n"
        if output != wanted:
            why = why or f"CTR_EL0 {ctr:#x}: {output}, wanted {wanted}"
    report("every DminLine and CWG", why)
    return sizes


def data(harness):
    output, _ = harness.run(["data"], trace=False)
    for word, name in (("ends", "copies and fills up to the end of a mapping"),
                       ("alignments", "copies to every alignment")):
        good = output is not None and f"{word} right" in output
        report(name, None if good else output or "it does not run")


def main():
    for tool, package in ((GCC, "gcc-aarch64-linux-gnu libc6-dev-arm64-cross"), (QEMU, "qemu-user")):
        if not shutil.which(tool):
            print(f"skip - aarch64: {tool} is missing (apt-get install {package})")
            return
    seed = random.SystemRandom().randrange(1 << 32)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        lines_c = SRC / "lib/coherence/lines_aarch64.c"
        real = Harness(folder, "harness", lines_c)
        # The same with a CTR_EL0 of our choice: no CPU that qemu knows has lines shorter than 64.
        text, replaced = re.subn(r'__asm__\("mrs %0, ctr_el0" : "=r"\((\w+)\)\);',
                                 r"extern uint64_t harness_ctr; \1 = harness_ctr;", lines_c.read_text())
        if replaced != 1:
            sys.exit("not ok - aarch64: the place where lines_aarch64.c reads CTR_EL0 was not found")
        (folder / "lines_fake.c").write_text(text)
        fake = Harness(folder, "fake", folder / "lines_fake.c")
        for cpu, size in granules(real, fake).items():
            line_operations(real, f"{cpu}, lines of {size} bytes", min(size, LINE), cpu=cpu)
        for log2 in (2, 3, 5):
            size = 4 << log2
            line_operations(fake, f"CTR_EL0 of {size} bytes", min(size, LINE), ctr=log2 << 16)
        syncs(real)
        batches(real, seed)
        production(real)
        data(real)
    sys.exit(1 if failures else 0)


main()
