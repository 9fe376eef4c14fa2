# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash disable=SC2034,SC2154 # `work` is set by the scripts that source this
#
# What the tests of the client share: the client is run, and what it did is checked. Prints TAP.

n=0
failures=0
check() { # NAME COMMAND…: the command decides; it may use $work/out and $work/err of the last run
        local name=$1
        shift
        n=$((n + 1))
        if "$@"; then
                echo "ok $n - $name"
        else
                failures=$((failures + 1))
                echo "not ok $n - $name"
                sed 's/^/# out: /' "$work/out" | cat -v
                sed 's/^/# err: /' "$work/err" | cat -v
                echo "# status: $status, wanted by: $*"
        fi
}

run() { # ARGUMENT…: runs the client in no terminal
        "$PCIRESET" "$@" >"$work/out" 2>"$work/err" </dev/null
        status=$?
}

run_tty() { # COMMAND: runs it by a shell in a terminal; everything it writes is in $work/out
        script -qec "$1" /dev/null >"$work/out" 2>"$work/err" </dev/null
        status=$?
}

exits() { [ "$status" = "$1" ]; }
out_has() { grep -qF -- "$1" "$work/out"; }
err_has() { grep -qF -- "$1" "$work/err"; }
out_lacks() { ! out_has "$1"; }
err_lacks() { ! err_has "$1"; }
out_is() { [ "$(cat "$work/out")" = "$1" ]; }
out_empty() { [ ! -s "$work/out" ]; }
err_empty() { [ ! -s "$work/err" ]; }
json() { "$JSON_GET" "$@" <"$work/out" >"$work/value" 2>>"$work/err"; }
json_is() { json "$1" && [ "$(cat "$work/value")" = "$2" ]; }
# Nothing below a blank but newlines, no DEL, no C1, no change of direction.
harmless() { ! LC_ALL=C grep -qP '[\x00-\x09\x0b-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80[\xaa-\xae]' "$1"; }
all() { # several conditions, each one word or a quoted command
        local condition
        for condition; do
                eval "$condition" || { echo "# failed: $condition"; return 1; }
        done
}

await() { # FILE WORD COUNT: waits until the word is there that often
        local _
        for _ in {1..200}; do
                [ "$(grep -c -- "$2" "$1")" -lt "$3" ] || return 0
                sleep 0.05
        done
        echo "# waited in vain for: $2"
}
