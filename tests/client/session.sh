# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash disable=SC2034,SC2154 # the scripts that source this use and set variables
#
# How each test of the client begins: it finds its programs, runs itself again on a bus of its own, and has a directory
# that is gone at the end, as is the stand-in of which `stand_in` has the process id. A script that needs more around
# itself than a bus names the command in `around` beforehand.

PCIRESET=$(realpath "${PCIRESET:-./pcireset}")
JSON_GET=$(realpath "${JSON_GET:-tests/client/json-get}")

if [ -z "$CLIENT_TEST_INSIDE" ]; then
        CLIENT_TEST_INSIDE=1 exec "${around[@]}" dbus-run-session -- bash "$0" "$@"
fi
export PCIRESET DBUS_SYSTEM_BUS_ADDRESS=$DBUS_SESSION_BUS_ADDRESS
export LC_ALL=C.UTF-8 TZ=UTC TERM=xterm
unset NO_COLOR COLUMNS FAKE_JOBS FAKE_CLAIMS PCIRESET_LEASE PCIRESET_LEASE_FD

here=$(dirname "$0")
work=$(mktemp -d)
stand_in=
trap '[ -z "$stand_in" ] || kill "$stand_in"; rm -rf "$work"' EXIT

# shellcheck source=tests/client/tap.sh
. "$here/tap.sh"
