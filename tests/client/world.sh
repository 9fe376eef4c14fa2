# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash disable=SC2034,SC2154 # `work` and FAKE_WORLD are set by the scripts that source this
#
# The stand-in that says what a file says.

start_world() { # FILE
        : >"$work/world"
        "$FAKE_WORLD" "$1" >>"$work/world" 2>&1 &
        world=$!
        await "$work/world" ready 1
        grep -q ready "$work/world" && return
        echo "Bail out! fake-world: $(cat "$work/world")"
        exit 1
}

stop_world() {
        kill "$world"
        wait "$world"
        world=
}
