#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# nsdk tune: what is measured is written, read again and gone by; what is wrong with a profile is said
# once and does no harm.

. "$(dirname "$0")/tool.bash"

export NSDK_PROFILE="$work/profile.json"
quick='--quick --sizes=4k,64k,1m'

# The first two CPUs that we may use.
mapfile -t cpus < <(taskset -cp $$ | sed 's/.*: //' | tr ',' '\n' |
	awk -F- '{ for (i = $1; i <= ($2 == "" ? $1 : $2); i++) print i }' | head -n 2)
first=${cpus[0]}
second=${cpus[1]:-}

# json NAME FILTER FILE : the filter is true of the file, which is one JSON value
json()
{
	if [[ $(jq -e "$2" "$3" 2>&1) == true ]]; then
		ok "$1"
	else
		not_ok "$1" "not true: $2 of $(head -c 500 "$3") $(said)"
	fi
}

# catches_sigint PID : it has a handler for it
catches_sigint()
{
	[[ $(awk '/^SigCgt/ { print $2 }' "/proc/$1/status") == *[2367abef] ]]
}

# measure WORD... : as run; a machine that is too busy to be measured is asked again
measure()
{
	local i

	for ((i = 0; i < 10; i++)); do
		run "$@"
		grep -q 'too busy to measure' "$work/err" || return 0
	done
}

# --- tune flush -----------------------------------------------------------------------------------

# The words are words.
# shellcheck disable=SC2086
measure tune flush $quick --cpus="$first" --json
same 'tune flush works' 0 "$status"
json 'every table is there, with all its sizes' \
	'[.flush.tables[] | select(.what == "lines")] | length == 6
	 and all(.[]; [.points[].bytes] == [4096, 65536, 1048576])' "$work/out"
json 'non-temporal production too' \
	'[.flush.tables[].what] | index("copy") != null and index("fill") != null and index("memcpy") != null' \
	"$work/out"
json 'medians lie within their spread, and costs rise with size' \
	'all(.flush.tables[]; all(.points[]; .low_ns <= .ns and .ns <= .high_ns)
	 and .points[0].ns < .points[2].ns)' "$work/out"
json 'what was not measured has its reason' \
	'(.flush.skipped.crew | test("flush CPU")) and (.flush.skipped.wbinvd | test("not asked"))' "$work/out"
json 'it says where and when' \
	".flush.cpus == \"$first\" and (.flush.date | test(\"^20[0-9-]+T[0-9:]+Z\$\")) and .format == 1
	 and ([\"vendor\", \"family\", \"model\", \"stepping\", \"name\"] - (.cpu | keys) == [])
	 and .file == \"$NSDK_PROFILE\"" "$work/out"
json 'the file is the same' '.flush.tables | length == 9' "$NSDK_PROFILE"
same 'the profile is for all to read' 644 "$(stat -c %a "$NSDK_PROFILE")"
same 'and alone in its folder' profile.json "$(cd "$work" && echo profile.json*)"

# shellcheck disable=SC2086
measure tune flush $quick
check 'the table has sizes, rates and what was left out' \
	grep -Pzq '(?s)write back and invalidate.*GB/s.*64 KiB.*non-temporal copy.*not measured, since' "$work/out"
check 'and says what a small machine cannot show' grep -q 'how flushing scales' "$work/out"
same 'no progress in a pipe' 0 "$(grep -c $'\r' "$work/err")"

if [[ -n $second ]]; then
	# shellcheck disable=SC2086
	measure tune flush $quick --cpus="$first" --flush-cpus="$second" --json
	json 'flush CPUs are measured, or it is said why not' \
		"([.flush.tables[] | select(.what == \"crew\")] | length == 2) != (.flush.skipped.crew != \"\")
		 and .flush.flush_cpus == \"$second\"" "$work/out"
	json 'crossovers: one for each way that was measured' \
		'.flush.skipped.crew != "" or (.crossovers | length == 2 and all(.[]; .what == "crew"))' \
		"$work/out"
	# shellcheck disable=SC2086
	measure tune flush --check $quick --cpus="$first" --flush-cpus="$second" --json
	json '--check tries every way at every size and between' \
		'(.sizes | length) == 10 and all(.sizes[]; .alternatives == 2 and .chosen_ns > 0 and .best_ns > 0)
		 and .worst_ratio == ([.sizes[].ratio] | max)' "$work/out"
else
	skip 'flush CPUs are measured' 'there is one CPU'
fi

for ((i = 0; i < 10; i++)); do
	# shellcheck disable=SC2086
	measure tune flush --check $quick --cpus="$first" --json
	# Whoever else is at work may cost more at one moment than at another.
	[[ $(jq '.worst_ratio < 1.5' "$work/out") != true ]] || break
done
json '--check with one way: the planner costs next to nothing' \
	".worst_ratio < 1.5 and all(.sizes[]; .chosen == \"lines\") and .profile == \"$NSDK_PROFILE\"" "$work/out"
sum=$(sha256sum < "$NSDK_PROFILE")
measure tune flush --check --quick --sizes=4k
same '--check writes nothing' "$sum" "$(sha256sum < "$NSDK_PROFILE")"
check '--check shows what it went by' grep -q "by $NSDK_PROFILE" "$work/out"

measure tune flush --quick --sizes=4k --wbinvd=kvm --device=emu:nvme,nosnoop=all
check 'a model is no proof for WBINVD' grep -q 'not measured, since .* no proof' "$work/out"

measure tune flush --quick --sizes=4k --output="$work/a/b/c.json"
same '--output makes its folders' 0 "$status"
check '--output is where it went' test -s "$work/a/b/c.json"
measure tune flush --quick --sizes=4k --output=/proc/nsdk/profile.json
same '--output that cannot be: 1' 1 "$status"
same '--output that cannot be: one sentence' 1 "$(lines_of "$work/err")"

(
	unset NSDK_PROFILE
	export XDG_CONFIG_HOME="$work/config"
	measure tune flush --quick --sizes=4k
	check 'XDG_CONFIG_HOME' test -s "$work/config/nsdk/flush-profile.json"
	exit $((failures > 0))
) || failures=$((failures + 1))

timeout -s KILL 60 "$nsdk" tune flush --sizes=4k,8m,16m,32m,64m --output="$work/stopped.json" > "$work/out" 2> "$work/err" &
pid=$!
# Earlier it would die of it.
until_true 60 catches_sigint "$(until_true 60 pgrep -P $pid)"
kill -INT $pid
wait $pid
same 'SIGINT: failed' 1 $?
check 'SIGINT: it is said' grep -q 'interrupted' "$work/err"
same 'SIGINT: nothing is written' 'stopped.json*' "$(cd "$work" && echo stopped.json*)"

# --- wrong words ----------------------------------------------------------------------------------

refuses 'a CPU list that is empty' 2 '--cpus=: a CPU list' tune flush --cpus=
refuses 'a CPU list that is none' 2 '--flush-cpus=x: a CPU list' tune flush --flush-cpus=x
refuses 'a CPU that is offline' 2 'CPU 1023 is not online' tune flush --cpus=1023
refuses 'a CPU twice' 2 "CPU $first is in --cpus and in --flush-cpus" \
	tune flush --cpus="$first" --flush-cpus="$first"
mine=$nsdk
if [[ -n $second ]]; then
	printf '#!/bin/bash\nexec taskset -c %s %q "$@"\n' "$first" "$mine" > "$work/one-cpu"
	chmod +x "$work/one-cpu"
	nsdk=$work/one-cpu
	refuses 'a CPU that is not ours' 2 "CPU $second is outside" tune flush --flush-cpus="$second"
	refuses 'nobody is left to submit' 2 'leave one' tune flush --flush-cpus="$first"
	nsdk=$mine
fi
while IFS='|' read -r words pattern; do
	[[ -z $words ]] && continue
	# shellcheck disable=SC2086
	refuses "wrong usage: nsdk $words" 2 "$pattern" $words
done << 'TABLE'
tune|flush or device
tune disk|'disk' cannot be tuned
tune flush all|one word too many
tune flush --sizes=|--sizes=
tune flush --sizes=4k,4k|not above
tune flush --sizes=100|--sizes=100
tune flush --sizes=2g|--sizes=2g
tune flush --sizes=4k,|--sizes=4k,
tune flush --output=|--output=
tune flush --plot=|--plot=
tune flush --wbinvd=root|--wbinvd=root
tune flush --wbinvd=kvm|wants --device
tune flush --device=emu:nvme|--wbinvd=kvm
tune flush --wbinvd=kvm --device=sda|--device=sda
tune flush --check --plot=x.svg|--check
tune flush --bs=4k|unknown option '--bs'
tune device|a device is missing
tune device sda|'sda' is not a device
tune device emu:nvme emu:nvme|one word too many
tune device emu:nvme --bs=100|--bs=100
tune device emu:nvme --iodepth=0|--iodepth=0
tune device emu:nvme --rounds=100|--rounds=100
tune device emu:nvme --runtime=0|--runtime=0
TABLE

# --- the picture ----------------------------------------------------------------------------------

printf '#!/bin/bash\nPATH=/nonexistent exec %q "$@"\n' "$mine" > "$work/no-gnuplot"
chmod +x "$work/no-gnuplot"
nsdk=$work/no-gnuplot
refuses 'no gnuplot: said before measuring' 1 'gnuplot-nox' tune flush --plot="$work/no.svg"
nsdk=$mine
if command -v gnuplot > /dev/null; then
	# shellcheck disable=SC2086
	measure tune flush $quick --plot="$work/costs.svg"
	same '--plot works' 0 "$status"
	same '--plot: gnuplot has nothing to say' '' "$(grep -v 'small pages' "$work/err")"
	check '--plot draws an SVG' grep -q '</svg>' "$work/costs.svg"
	check '--plot has the curves' grep -q 'write back and invalidate' "$work/costs.svg"
	same '--plot leaves nothing else' costs.svg "$(cd "$work" && echo costs.svg*)"
else
	skip '--plot' 'gnuplot is not installed'
fi

# --- tune device ----------------------------------------------------------------------------------

run tune device emu:nvme,size=16m,nosnoop=data --quick --bs=4k,16k --json
same 'tune device works' 0 "$status"
json 'both policies were measured' \
	'.device == "emu:nvme" and (.block_sizes | length) == 2
	 and all(.block_sizes[]; .coherent_iops > 0 and .nosnoop_iops > 0 and .coherent_cpu_ns > 0
		 and .nosnoop_cpu_ns > .coherent_cpu_ns)' "$work/out"
json 'no-snoop does not pay where a model does its work' '.winner == "coherent"' "$work/out"
json 'what was measured before is kept' '(.flush.tables | length) == 9 and .devices["emu:nvme"].winner == "coherent"' \
	"$NSDK_PROFILE"
result 'policy auto follows the record' 0 '.policy == "coherent" and .policy_asked == "auto"' \
	emu:nvme,size=1m,nosnoop=data --policy=auto
check 'and says so' grep -q 'measured' "$work/err"
result 'policy nosnoop does as it is told' 0 '.policy == "nosnoop"' \
	emu:nvme,size=1m,nosnoop=data --policy=nosnoop
run tune device emu:nvme,size=16m --quick
check 'where no-snoop is not permitted, it says why' grep -q 'not permitted (enforced)' "$work/out"
json 'and coherent is recorded' '.devices["emu:nvme"] | .winner == "coherent" and .block_sizes == []' "$NSDK_PROFILE"
result 'which does not bind auto where it is permitted' 0 '.policy == "nosnoop"' \
	emu:nvme,size=1m,nosnoop=data --policy=auto
# shellcheck disable=SC2086
measure tune flush $quick
json 'tune flush keeps the devices' '.devices | has("emu:nvme")' "$NSDK_PROFILE"
run tune device emu:nvme,size=1m,nosnoop=data --quick --bs=2m
same 'a block larger than the disk: 1' 1 "$status"
check 'a block larger than the disk: said' grep -q 'more than the namespace' "$work/err"
run tune device emu:nvme,size=1m,nosnoop=data,fault=badstatus@5 --quick --bs=4k
same 'an I/O error: 1' 1 "$status"
same 'the table is for people' 0 "$(run tune device emu:nvme,size=1m,nosnoop=data --quick --bs=4k && \
	grep -q 'CPU an I/O' "$work/out"; echo $?)"

# --- profiles that are wrong ----------------------------------------------------------------------

cp "$NSDK_PROFILE" "$work/good.json"
# spoilt NAME PATTERN : the profile is ignored with one notice that says so, and perf works as without
spoilt()
{
	run perf emu:nvme,size=1m,nosnoop=data --policy=auto --json
	same "$1: perf works as without" '0 nosnoop' "$status $(jq -r .policy "$work/out")"
	same "$1: one sentence" 1 "$(grep -c "profile.* is ignored" "$work/err")"
	check "$1: which file, why, and what to do" \
		grep -Eq "$NSDK_PROFILE is ignored: .*($2).*nsdk tune flush" "$work/err"
}

head -c 700 "$work/good.json" > "$NSDK_PROFILE"
spoilt 'truncated' 'not all of it'
sed '0,/"ns": /s//"ns": 1/' "$work/good.json" > "$NSDK_PROFILE"
spoilt 'edited' 'checksum'
sed 's/"format": 1/"format": 99/' "$work/good.json" > "$NSDK_PROFILE"
spoilt 'newer' 'format 99'
refuses 'a newer one is not overwritten' 1 'left alone' tune flush --quick --sizes=4k
head -c 20000 /dev/urandom > "$NSDK_PROFILE"
spoilt 'garbage' 'JSON'
measure tune flush --quick --sizes=4k
check 'a damaged one is replaced, and that is said' grep -q 'going to be replaced' "$work/err"
json 'and then there is a good one' '.flush.tables | length == 9' "$NSDK_PROFILE"
rm "$NSDK_PROFILE"
run perf emu:nvme,size=1m,nosnoop=data --policy=auto --json
same 'none at all: nothing is said' 0 "$(grep -c profile "$work/err")"

finish
