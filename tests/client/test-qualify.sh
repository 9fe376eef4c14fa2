#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# `pcireset qualify` against a stand-in that does what qualify.json says. Prints TAP.
# Run it in the build directory, or name the programs by PCIRESET, FAKE_WORLD and JSON_GET.

# shellcheck source=tests/client/session.sh
. "$(dirname "$0")/session.sh"
# shellcheck source=tests/client/world.sh
. "$here/world.sh"

qualify() { # ADDRESS ARGUMENT…
        : >"$work/world"
        run qualify --yes "$@"
}
resets() { grep -c '^reset' "$work/world"; }
row() { # METHOD FIELD…: the matrix has this row; the last field may be a part of the rest
        grep -qE "^$1 +${2} +${3} +${4} +${5} +${6} +${7} +.*${8}" "$work/out"
}

test_all_well() {
        qualify 01:00.0
        check "each usable method three times" all "exits 0" "row flr 3 0 0 0 0 '0.12 s' -" "row bus 3 0 0 0 0 '1.00 s' -" \
                "[ \$(wc -l <$work/out) = 3 ]" "[ \$(resets) = 6 ]" "harmless $work/out" "harmless $work/err"
        check "all under one lease, narrow methods first" all "[ \$(grep -c '^acquired 0000:01:00.0' $work/world) = 1 ]" \
                "[ \"\$(grep -o 'reset-leased .*' $work/world | uniq -c | tr -s ' ' | tr '\n' ';')\" = \
                ' 3 reset-leased 0000:01:00.0 flr; 3 reset-leased 0000:01:00.0 bus;' ]"
        check "what is disturbed and asked is told" all \
                "err_has 'bus, 3 times: disturbs 0000:01:00.0, 0000:01:00.1; takes about 0.11 s each; polkit asks: org.pciresetd1.reset, org.pciresetd1.reset-shared'" \
                "err_has 'flr, 3 times: disturbs 0000:01:00.0;'"
        check "and what is left out, and why" all "err_has 'without pm: it is known to do harm'" "err_has '--known-bad'" \
                "err_has 'without slot: the policy allows no reset of more than the function'" \
                "err_has 'without rescan: it takes the device away'"
        qualify 01:00.0 --count 2 --known-bad --json --output "$work/matrix"
        check "two each, with what is known bad, as JSON" all "exits 0" "json_is methods.0.method flr" "json_is methods.2.method pm" \
                "json_is methods.0.ok 2" "json_is methods.0.median_usec 120000" "json_is methods.1.reset_set.1 0000:01:00.1" \
                "json_is methods.0.runs.1.history_id 7" "json_is left_out.0.method slot" "json_is left_out.0.why.0 link-forbidden" \
                "json_is stopped ''" "json_is lease L1" "json_is vendor_id 32902" "[ \$(resets) = 6 ]"
        check "and the same in a file" cmp -s "$work/out" "$work/matrix"
        qualify 01:00.0 --method rescan --count 1
        check "a single method, and one that only a name starts" all "exits 0" "row rescan 1 0 0 0 0 '5.00 s' -" "[ \$(resets) = 1 ]"
}

test_not_well() {
        qualify 02:00.0
        check "death ends it at once" all "exits 7" "row flr 1 0 1 0 0 '0.11 s' '0000:02:00.0 command: 0x0006 before, 0xffff after'" \
                "row bus 0 0 0 0 0 - -" "[ \$(resets) = 2 ]" "err_has 'it is in quarantine (dead)'" "err_has 'nothing more is tried'"
        qualify 02:00.0 --json
        check "death, as JSON" all "exits 7" "json_is stopped dead" "json_is quarantine.cause dead" "json_is methods.0.dead 1" \
                "json_is methods.0.runs.1.outcome dead"
        qualify 09:00.0
        check "death without quarantine is told" all "exits 7" "err_has 'NOT in quarantine'" "row flr 0 0 1 0 0 - -"
        qualify 0b:00.0 --json
        check "death that takes the device away" all "exits 7" "err_has 'cannot be seen: '" "json_is stopped dead" \
                "[ \$(grep -c '^{' $work/out) = 1 ]"
        qualify 03:00.0
        check "polkit ends it" all "exits 3" "row flr 1 0 0 0 1 '1.*ms|1000 us' -" "row pm 0 0 0 0 0 - -" "[ \$(resets) = 2 ]" \
                "err_has 'stopped before the end (refused)'" "harmless $work/err"
        qualify 04:00.0
        check "what fails does not end it" all "exits 6" "row flr 2 1 0 0 0 '3.*' 'command: 0x0006'" "row pm 0 0 0 3 0 - -" \
                "row bus 0 0 0 0 1 - -" "[ \$(resets) = 7 ]"
        qualify 0a:00.0 --json
        check "an end that nobody knows" all "exits 8" "json_is stopped timed-out" "json_is methods.0.failed 0" \
                "json_is methods.0.runs.0.outcome unknown" "[ \$(resets) = 1 ]"
}

test_nothing_done() {
        : >"$work/world"
        run qualify 01:00.0
        check "nobody can be asked" all "exits 2" out_empty "err_has '--yes'" "[ \$(resets) = 0 ]" \
                "! grep -q acquired $work/world"
        script -qc "$PCIRESET qualify 01:00.0; echo status=\$?" /dev/null >"$work/out" 2>"$work/err" < <(echo n; sleep 2)
        check "no is an answer" all "out_has status=9" "out_has 'nothing was reset'" "[ \$(resets) = 0 ]"
        script -qc "$PCIRESET qualify 01:00.0 --count 1; echo status=\$?" /dev/null >"$work/out" 2>"$work/err" < <(echo yes; sleep 2)
        check "so is yes" all "out_has status=0" "[ \$(resets) = 2 ]"
        qualify 07:00.0 --output "$work/none"
        check "somebody else has it" all "exits 5" out_empty "err_has 'leased to the VM'" "[ \$(resets) = 0 ]" "[ ! -e $work/none ]"
        qualify 08:00.0
        check "nothing is usable" all "exits 5" out_empty "err_has 'without flr: a driver'" "err_has 'pcireset doctor'" \
                "[ \$(resets) = 0 ]"
        qualify 01:00.0 --output /nonexistent/file
        check "no place for the file" all "exits 1" out_empty "err_has /nonexistent/file" "[ \$(resets) = 0 ]"
        qualify ff:00.0
        check "no such device" all "exits 4" out_empty "err_has 'no such device'"
        local count
        for count in 0 101 x ''; do
                qualify 01:00.0 --count="$count"
                check "--count=$count" all "exits 2" "err_has 'from 1 to 100'"
        done
        run reset 01:00.0 --yes
        check "reset --yes" all "exits 2" "err_has 'no meaning for'"
}

test_without_lease() {
        qualify 06:00.0
        check "who may have no lease goes on without" all "exits 0" "err_has 'without a lease'" "[ \$(grep -c '^reset ' $work/world) = 3 ]"
        : >"$work/world"
        exec 8<>"$work/fifo"
        PCIRESET_LEASE_FD=8 run qualify --yes --lease L7 01:00.0 --count 1
        exec 8<&-
        check "whoever has one takes none" all "exits 0" "! grep -q acquired $work/world" "[ \$(resets) = 2 ]"
}

test_interrupt() {
        local signal
        for signal in INT TERM; do
                : >"$work/world"
                env --default-signal=INT,TERM "$PCIRESET" qualify --yes --json 05:00.0 >"$work/out" 2>"$work/err" </dev/null &
                local client=$!
                await "$work/world" '^reset' 1
                kill -s "$signal" "$client"
                wait "$client"
                status=$?
                check "SIG$signal ends it" all "exits 9" "json_is stopped interrupted" "json_is methods.0.runs.0.outcome unknown" \
                        "err_has 'goes on to its end'" "[ \$(resets) = 1 ]"
        done
}

mkfifo "$work/fifo"
start_world "$here/qualify.json"
test_all_well
test_not_well
test_nothing_done
test_without_lease
test_interrupt

echo "1..$n"
[ "$failures" = 0 ]
