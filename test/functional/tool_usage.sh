#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Wrong usage of every subcommand: status 2, and exactly one sentence that names what is wrong.

. "$(dirname "$0")/tool.bash"

commands='doctor list bind unbind identify nvme perf tune'

while IFS='|' read -r words pattern; do
	[[ -z $words ]] && continue
	# The words are words.
	# shellcheck disable=SC2086
	refuses "wrong usage: nsdk $words" 2 "$pattern" $words
done << 'TABLE'
frobnicate|no command 'frobnicate'
--frobnicate|unknown option '--frobnicate'
-q|unknown option '-q'
help frobnicate|no command 'frobnicate'
doctor --all|unknown option '--all'
doctor gibberish|'gibberish' is not a device
doctor emu:|'emu:' is not a device
doctor --json=|--json=
list 0000:00:03.0|one word too many
list --ns=1|unknown option '--ns'
list --all=1|--all takes no value
bind|address is missing
bind nvme0|'nvme0' is not a PCI address
bind emu:nvme|'emu:nvme' is not a PCI address
bind 0000:00:03.0 0000:00:zz.0|'0000:00:zz.0' is not a PCI address
bind --driver=x 0000:00:03.0|unknown option '--driver'
unbind|address is missing
unbind 00:1f|is not a PCI address
identify|a device is missing
identify nvme0|'nvme0' is not a device
identify emu:nvme emu:nvme|one word too many
identify emu:nvme --ns=0|--ns=0
identify emu:nvme --ns=x|--ns=x
identify emu:nvme --ns|--ns wants a value
perf|a device is missing
perf --rw=read|a device is missing
perf /dev/nvme0n1|'/dev/nvme0n1' is not a device
perf emu:nvme nonsense|'nonsense' is not a device
perf 0000:00:03.0 pci:00:03.0|is there twice
perf emu:nvme --rw=trim|--rw=trim
perf emu:nvme --rw|--rw wants a value
perf emu:nvme --rwmixread=101|--rwmixread=101
perf emu:nvme --rwmixread=-1|--rwmixread=-1
perf emu:nvme --bs=0|--bs=0
perf emu:nvme --bs=1000|--bs=1000
perf emu:nvme --bs=4ki|--bs=4ki
perf emu:nvme --bs=4k,8k|--bs=4k,8k
perf emu:nvme --bs=99999999999999999999|--bs=
perf emu:nvme --iodepth=0|--iodepth=0
perf emu:nvme --iodepth=1e3|--iodepth=1e3
perf emu:nvme --numjobs=0|--numjobs=0
perf emu:nvme --numjobs=1025|--numjobs=1025
perf emu:nvme emu:nvme --numjobs=1000|more than 1024 jobs
perf emu:nvme --cpus_allowed=|--cpus_allowed=
perf emu:nvme --cpus_allowed=0-|--cpus_allowed=0-
perf emu:nvme --cpus_allowed=x|--cpus_allowed=x
perf emu:nvme --runtime=0|--runtime=0
perf emu:nvme --runtime=5y|--runtime=5y
perf emu:nvme --time_based|wants --runtime
perf emu:nvme --number_ios=0|--number_ios=0
perf emu:nvme --number_ios=many|--number_ios=many
perf emu:nvme --size=0|--size=0
perf emu:nvme --size=101%|--size=101%
perf emu:nvme --size=-4k|--size=-4k
perf emu:nvme --offset=x|--offset=x
perf emu:nvme --verify=crc32c|--verify takes no value
perf emu:nvme --policy=fast|--policy=fast
perf emu:nvme --ns=0|--ns=0
perf emu:nvme --ns=4294967295|--ns=4294967295
perf emu:nvme --seed=|--seed=
perf emu:nvme --io_timeout=0|--io_timeout=0
perf emu:nvme --stop_timeout=-5|--stop_timeout=-5
perf emu:nvme --json=|--json=
perf emu:nvme --ioengine=libaio|unknown option '--ioengine'
perf emu:nvme -x|unknown option '-x'
perf emu:nvme,frobnicate=1|frobnicate
perf emu:nvme,lba=1000|lba
perf emu:nvme,size=banana|size
perf emu:nvme,nosnoop=perhaps|nosnoop
perf emu:nvme,fault=often|fault
identify emu:nvme,lba=1000|lba
TABLE

refuses 'wrong usage: nsdk alone' 2 'a command is missing'

# What a device cannot do is a failure, not wrong usage: the same words suit another device.
while IFS='|' read -r words pattern; do
	[[ -z $words ]] && continue
	# shellcheck disable=SC2086
	refuses "refused: nsdk $words" 1 "$pattern" $words
done << 'TABLE'
perf emu:nvme,size=1m --offset=1m|beyond the end
perf emu:nvme,size=1m --offset=1t --number_ios=1|beyond the end
perf emu:nvme,size=1m --size=2m|beyond the end
perf emu:nvme,size=1m --offset=512k --size=1m|beyond the end
perf emu:nvme,size=1m --offset=100|not a multiple of the 512-byte blocks
perf emu:nvme,size=1m,lba=4096 --offset=512|not a multiple of the 4096-byte blocks
perf emu:nvme,size=1m,lba=4096 --bs=512|not a multiple of the 4096-byte blocks
perf emu:nvme,size=1m --bs=2m|too few
perf emu:nvme,size=1m --size=8k --numjobs=4 --verify|too few
perf emu:nvme,size=1m --ns=2|no namespace 2; it has 1
identify emu:nvme,size=1m --ns=2|no active namespace 2
perf emu:nvme,mqes=8,size=1m --iodepth=8|--iodepth=8 is more than the 7
perf emu:nvme,queues=1,size=1m --numjobs=2|queue
perf emu:nvme,size=1m --policy=nosnoop|snoop
perf emu:nvme,size=1m --json=/nonexistent/file|/nonexistent/file
perf emu:nvme,size=1m --cpus_allowed=1000|1000
perf emu:nvme,file=/nonexistent/disk|/nonexistent/disk
perf emu:frobnicate|no emulated device
perf ffff:ff:1f.7|ffff:ff:1f.7
identify ffff:ff:1f.7|ffff:ff:1f.7
bind ffff:ff:1f.7|ffff:ff:1f.7
unbind ffff:ff:1f.7|ffff:ff:1f.7
TABLE

for command in $commands; do
	run "$command" --help
	if [[ $status == 0 && ! -s $work/err ]] && grep -q "^usage: nsdk $command" "$work/out"; then
		ok "nsdk $command --help"
	else
		not_ok "nsdk $command --help" "$(said)"
	fi
	cp "$work/out" "$work/help"
	run help "$command"
	check "nsdk help $command says the same" cmp "$work/out" "$work/help"
	check "nsdk --help has $command" grep -q "^  $command " <("$nsdk" --help)
done
run --version
if [[ $status == 0 ]] && grep -Eq '^nsdk [0-9]+\.[0-9]+\.[0-9]+$' "$work/out"; then
	ok 'nsdk --version'
else
	not_ok 'nsdk --version' "$(said)"
fi

# Lines of help fit a terminal.
for command in $commands; do
	"$nsdk" "$command" --help
done > "$work/help"
same 'help fits 100 columns' '' "$(awk 'length > 100' "$work/help")"

finish
