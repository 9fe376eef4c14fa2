#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# `pcireset history` against a stand-in that says what history.json says. Prints TAP.
# Run it in the build directory, or name the programs by PCIRESET, FAKE_WORLD and JSON_GET.

# shellcheck source=tests/client/session.sh
. "$(dirname "$0")/session.sh"
# shellcheck source=tests/client/world.sh
. "$here/world.sh"

test_picture() {
        run history
        check "sums and rows" all "exits 0" err_empty "harmless $work/out" \
                "out_has 'HARDWARE   METHOD  TRIES  OK  DEAD  MEDIAN  OUTCOMES'" \
                "out_has '8086:10d3  flr     4      2   1     0.30 s  ▄█✗█'" \
                "out_has '10ec:8168  bus     1      0   0     -       ·'"
        check "what touched nothing is a row and no try" all "out_lacks '10ec:8168  pm'" \
                "out_has '0000:02:00.0  pm      denied   unverified  -       root        not-authorized'"
        check "who asked is told as far as it is known" all "out_has '4000000000  -'" \
                "out_has '0000:01:00.0  flr     done     dead        0.90 s  -           -'"
        check "errors have names, strangers too" all "out_has 'ENOTTY'" "out_has 'imported from evil\\x1b[2J'"
        run history --json
        check "as JSON, all of it" all "exits 0" err_empty "harmless $work/out" "json_is 0.id 9" \
                "json_is 5.origin \$'evil\\e[2J'" "json_is 4.written false"
        LC_ALL=C run history
        check "the picture without UTF-8" all "exits 0" "out_has '0.30 s  ~+x+'"
}

test_usage() {
        local arguments
        while read -r arguments; do
                eval "run history $arguments"
                check "history $arguments" all "exits 2" out_empty "err_has 'pcireset: '"
        done <<'EOF'
01:00.x
01:00.0 02:00.0
export
import a b
import --limit 3
import --signed-off-by me
export --signed-off-by me --limit 3
--signed-off-by me
--limit 0
--limit 1001
--limit ten
--since 7
--since 0d
--since -3d
--since 7y
--since 99999999999999999999w
--hardware 8086
--hardware 8086:10dx
--hardware 0x86:10d3
--verdict fine
--source others
--method FLR
--in-use
EOF
        run list --verdict=ok
        check "an option of another verb" all "exits 2" "err_has 'no meaning for'"
}

test_nothing() {
        stop_world
        echo '{"devices": {}, "history": []}' >"$work/empty.json"
        start_world "$work/empty.json"
        run history
        check "an empty history" all "exits 0" "out_is 'The history knows of no such reset.'"
        stop_world
        run history
        check "nobody answers" all "exits 10" out_empty "err_has 'systemctl status pciresetd'"
}

start_world "$here/history.json"
test_picture
test_usage
test_nothing

echo "1..$n"
[ "$failures" = 0 ]
