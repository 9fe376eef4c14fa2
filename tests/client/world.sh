# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash disable=SC2034,SC2154 # `work` and `stand_in` are set by session.sh
#
# The stand-in that says what a file says.

FAKE_WORLD=$(realpath "${FAKE_WORLD:-tests/client/fake-world}")

start_world() { # FILE
        : >"$work/world"
        "$FAKE_WORLD" "$1" >>"$work/world" 2>&1 &
        stand_in=$!
        await "$work/world" ready 1
        grep -q ready "$work/world" && return
        echo "Bail out! fake-world: $(cat "$work/world")"
        exit 1
}

stop_world() {
        kill "$stand_in"
        wait "$stand_in"
        stand_in=
}
