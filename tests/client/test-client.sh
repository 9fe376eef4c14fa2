#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The client against the stand-in daemon, on a bus of its own. Prints TAP.
# Run it in the build directory, or name the programs by PCIRESET, FAKE_DAEMON and JSON_GET.

# shellcheck source=tests/client/session.sh
. "$(dirname "$0")/session.sh"
FAKE_DAEMON=$(realpath "${FAKE_DAEMON:-tests/client/fake-daemon}")

start_daemon() {
        : >"$work/daemon"
        "$FAKE_DAEMON" >>"$work/daemon" 2>&1 &
        stand_in=$!
        for _ in {1..100}; do
                grep -q ready "$work/daemon" && return
                sleep 0.1
        done
        echo "Bail out! fake-daemon: $(cat "$work/daemon")"
        exit 1
}
stop_daemon() {
        kill "$stand_in" && wait "$stand_in"
        stand_in=
}
daemon_died() {
        wait "$stand_in"
        stand_in=
}

test_usage() {
        run --help
        check "--help" all "exits 0" "out_has 'Exit status:'" err_empty
        run --version
        check "--version" all "exits 0" "out_has pcireset" err_empty
        run
        check "no verb" all "exits 2" "err_has 'what to do is missing'" "err_has 'pcireset --help'"
        run frobnicate
        check "unknown verb" all "exits 2" "err_has '\"frobnicate\"'"
        run list extra
        check "an argument too many" all "exits 2" "err_has '\"extra\"'"
        run show
        check "an argument too few" all "exits 2" "err_has 'show ADDRESS'"
        run --frob list
        check "unknown option" all "exits 2" "err_has '--frob is no option'"
        run -x list
        check "unknown short option" all "exits 2" "err_has '-x is no option'"
        run --json=yes list
        check "an option that takes no value" all "exits 2" "err_has 'takes no value'"
        run reset 01:00.0 --timeout
        check "an option without its value" all "exits 2" "err_has '--timeout=SECONDS'"
        run list --in-use
        check "an option of another verb" all "exits 2" "err_has 'no meaning for'"
        run --timeout=5 plan 01:00.0
        check "--timeout for plan" all "exits 2"
        local value
        for value in 0 -1 3601 99999999999999999999 5s '' ' 5' 0x10 1.5; do
                run "--timeout=$value" reset 01:00.0
                check "--timeout=$value" all "exits 2" "err_has 'from 1 to 3600'"
        done
        for value in 01:00 x 01:00.8 01:20.0 -01:00.0 ../01:00.0 /sys/x 0000:01:00.0.0 0000:01:00.0:x \
                        '01:00.0 ' 00000:01:00.0 "$(printf '%0999d' 1)" '' $'01:00.0\e[31m' $'\xff\xfe'; do
                run show -- "$value"
                check "bad address" all "exits 2" "err_has 'is not the address'" "harmless $work/err"
        done
        for value in FLR 'f lr' ../flr 1flr '' $'\e[31m' "$(printf 'f%.0s' {1..40})"; do
                run plan 01:00.0 "$value"
                check "bad method" all "exits 2" "err_has 'cannot be a reset method'" "harmless $work/err"
        done
        for value in x -1 '' 4294967296 1x /org; do
                run cancel -- "$value"
                check "bad job $value" all "exits 2" "err_has 'not the number of a job'"
        done
        run show $'\xff\xfe\e[m' --json
        check "a bad address as JSON" all "exits 2" "harmless $work/out" \
                "json_is error.message \$'\"\\ufffd\\ufffd\\e[m\" is not the address of a PCI device: it is written 0000:01:00.0 or 01:00.0, in hexadecimal; \`pcireset list\` shows those that there are'"
        run --frob list --json
        check "a usage error as JSON" all "exits 2" "json_is error.name org.pciresetd1.Client.Usage" err_empty
}

test_unreachable() {
        local verb
        for verb in list 'show 01:00.0' 'holders 01:00.0' leases inhibitors 'methods 01:00.0' 'plan 01:00.0' 'reset 01:00.0' jobs 'cancel 1' monitor; do
                run $verb
                check "$verb without a daemon" all "exits 10" "err_has 'systemctl status pciresetd'" out_empty
                run $verb --json
                check "$verb without a daemon, as JSON" all "exits 10" err_empty \
                        "json_is error.name org.freedesktop.DBus.Error.ServiceUnknown"
        done
        DBUS_SYSTEM_BUS_ADDRESS=unix:path=/nonexistent run list
        check "without a bus" all "exits 10" "err_has 'system bus cannot be reached'"
        DBUS_SYSTEM_BUS_ADDRESS=garbage run jobs --json
        check "no address of a bus" all "exits 10" "json_is error.name org.pciresetd1.Client.Unreachable"
}

test_list() {
        run list
        check "list" all "exits 0" err_empty "out_has 'ADDRESS        DRIVER    STATE'" \
                "out_has '0000:01:00.0   -         idle         -      Example Corp. Plain Device'" \
                "out_has '10000:03:1f.7  vfio-pci  quarantined  @vm'" \
                "out_has '0000:02:00.0   nvme      idle         root '" \
                "out_has 'open now'"
        check "list: nothing hostile, nothing cut, one line each" all "harmless $work/out" \
                "out_has 'evil\x1b[2J\x1b]0;owned\x07\nfake line \u009b1m\u202etxt\x7f'" \
                "[ \$(wc -l <$work/out) = 5 ]"
        run list --json
        check "list --json" all "exits 0" err_empty "harmless $work/out" "json_is 3.address 10000:03:1f.7" \
                "json_is 3.driver vfio-pci" "json_is 3.state quarantined" "json_is 3.owner @vm" \
                "json_is 2.path /org/pciresetd1/device/_30000_3a02_3a00_2e0" "json 0.description"
        json 1.description
        check "list --json: the text is whole" [ "$(cat "$work/value")" = \
                "$(printf 'evil\033[2J\033]0;owned\a\nfake line \302\2331m\342\200\256txt\177')" ]

        run_tty "stty cols 60; $PCIRESET list"
        tr -d '\r' <"$work/out" >"$work/plain" && sed -i 's/\x1b\[[0-9]*m//g' "$work/plain"
        check "list on a narrow terminal" all "exits 0" "out_has '…'" \
                "[ \$(wc -L <$work/plain) = 60 ]"
        check "list on a terminal has colours, and no others" all "out_has $'\e[1m'" "harmless $work/plain"
        run_tty "NO_COLOR=1 $PCIRESET list"
        tr -d '\r' <"$work/out" >"$work/plain"
        check "NO_COLOR" harmless "$work/plain"
        run_tty "TERM=dumb $PCIRESET list"
        tr -d '\r' <"$work/out" >"$work/plain"
        check "a dumb terminal" harmless "$work/plain"
        run_tty "COLUMNS=70 LC_ALL=C $PCIRESET list"
        check "an ellipsis in ASCII" all "out_has ..." "out_lacks …"
        run_tty "COLUMNS=10 $PCIRESET list"
        check "a terminal that is far too narrow" all "exits 0" "out_has 10000:03:1f.7"
}

test_show() {
        run show 01:00.0
        check "show" all "exits 0" err_empty "out_has 'Driver: none'" "out_has 'Parent: 0000:00:1c.0'" \
                "out_has 'In use: yes, see \`pcireset holders 0000:01:00.0\`'" "out_has 'Lease: none'" \
                "out_has 'Ids: 8086:0000, subsystem 0000:0000, class 020000, revision 00'" \
                "out_has 'Methods: flr (usable), bus (siblings from-the-future)'" \
                "out_has 'Last reset: by flr in 0.11 s, verified: ok (2023-11-14 22:13:20.000, job 42)'" \
                "out_lacks 'Physical function'"
        run show 0000:01:00.1
        check "show: nothing hostile" all "exits 0" "harmless $work/out" "out_has 'In use: no'" \
                "out_has 'Owner: alice'" "out_has 'Lease: L1'"
        run show 0000:02:00.0
        check "show: a root bus, no methods, no reset" all "exits 0" "out_has 'on a root bus'" \
                "out_has 'Methods: none'" "out_has 'none that the daemon knows of'"
        run --json show 10000:03:1F.7
        check "show --json, upper case" all "exits 0" "json_is properties.Generation 18446744073709551615" \
                "json_is properties.Address 10000:03:1f.7" "json_is methods.0.name flr" \
                "json_is path /org/pciresetd1/device/_310000_3a03_3a1f_2e7"
        run show 09:00.0
        check "show: no such device" all "exits 4" "err_has 'no such device'" "err_has 'pcireset list'"
        run show 04:00.0
        check "show: gone in between" all "exits 4" "err_has 'pcireset list'"
}

test_methods() {
        run methods 01:00.0
        check "methods" all "exits 0" err_empty \
                "out_has 'NAME  SCOPE     ADVERTISED  ENABLED  USABLE  PROVEN'" \
                "out_has 'flr   function  yes         yes      yes     3 of 3, 0.11 s'" \
                "out_has '1 of 2, 1 dead'" "out_has 'siblings: other functions'" \
                "out_has 'from-the-future: a reason newer'" "out_has 'odd             no '"
        run methods 01:00.0 --json --in-use
        check "methods --json" all "exits 0" "json_is 1.name bus" "json_is 1.why.1 from-the-future" \
                "json_is 0.proven.median_usec 110000" "json_is 0.usable true"
        run methods 02:00.0
        check "no methods" all "exits 0" "out_has 'no method'"
        run methods 09:00.0 --json
        check "methods: no such device" all "exits 4" \
                "json_is error.name org.pciresetd1.Error.NoSuchDevice" "json_is error.details '{ }'"
}

test_plan() {
        run plan 01:00.0
        check "plan" all "exits 0" err_empty "harmless $work/out" "out_has 'a reset by \"any\"'" \
                "out_has '1. flr (function scope)'" "out_has 'polkit asks: org.pciresetd1.reset'" \
                "out_has '2. future_reset (power scope): not usable now'" "out_has 'driver-bound: '" \
                "out_has 'storage-in-use: a file system'" "out_has 'from-the-future: a reason newer'" \
                "out_has '   Waits for:   held: a program or'" "out_has '0000:01:00.0, 0000:01:00.1'" \
                "out_has '   Owned by:    0000:01:00.0 root (lease L1 of the VM), 0000:01:00.1 nobody'" \
                "out_has '   Used by:     nobody'" \
                "out_has '   Used by:     0000:01:00.0 process 4242 (Xorg) of root in session-2.scope: /dev/dri/card0'" \
                "out_has '                0000:01:00.1 mount: /dev/nvme0n1p1 on /mnt'" \
                "out_has 'only firmware knows'" "out_has 'have set up: 0000:01:00.1 e1000e'" "out_has '0.10 s'" \
                "[ \$(grep -c 'Owned by' $work/out) = 1 ]"
        run plan 01:00.0 link
        check "an empty plan" all "exits 0" "out_has nothing"
        run --json plan 01:00.0 flr --in-use
        check "plan --json" all "exits 0" "harmless $work/out" "json_is rungs.1.holders.1.kind mount" \
                "json_is rungs.0.usable true" "json_is rungs.1.owners.0.lease L1"
}

test_quarantine() {
        run quarantine 01:00.0 'it smokes'
        check "quarantine" all "exits 0" err_empty "out_has '0000:01:00.0 is in quarantine from now on.'" \
                "grep -qx 'it smokes' $work/daemon"
        run quarantine 01:00.0 smokes --json
        check "quarantine --json" all "exits 0" err_empty "json_is quarantined 0000:01:00.0"
        run quarantine 10000:03:1f.7 again
        check "quarantine: in already" all "exits 5" "err_has 'it is in already'" "err_has 'pcireset release'"
        run quarantine 09:00.0 x
        check "quarantine: no such device" all "exits 4"
        run quarantine 01:00.0
        check "quarantine: no reason" all "exits 2" "err_has 'pcireset quarantine ADDRESS REASON'"
        run quarantine 01:00.0 it smokes
        check "quarantine: a reason in several words" all "exits 2" "err_has 'one argument too many'"
        run release 10000:03:1f.7 'new fan'
        check "release" all "exits 0" err_empty "out_has '10000:03:1f.7 is in no quarantine any more.'" \
                "grep -qx 'new fan' $work/daemon"
        run release 10000:03:1f.7 x --json
        check "release --json" all "exits 0" "json_is released 10000:03:1f.7"
        run release 01:00.0 x
        check "release: in none" all "exits 5" "err_has 'it is in none'"
        run show 10000:03:1f.7
        check "show: why it is in quarantine" all "exits 0" "harmless $work/out" "out_has 'Quarantine: degraded: '" \
                "out_has \"bars was 'fe000000' and is '0'\"" "out_lacks 'aer was'"
        run show 10000:03:1f.7 --json
        check "show --json: why it is in quarantine" all "exits 0" \
                "json_is properties.Quarantine.cause degraded" "json_is properties.Quarantine.checks.0.check bars"
        run show 01:00.0
        check "show: in none" all "exits 0" "out_lacks Quarantine"
}

test_jobs() {
        run jobs
        check "no jobs" all "exits 0" "out_has 'No reset'"
        run jobs --json
        check "no jobs, as JSON" all "exits 0" json \
                "[ \"\$(tr -d ' \\n' <$work/out)\" = '[]' ]"
        run cancel 42
        check "cancel" all "exits 0" "out_has 'Job 42 is cancelled'"
        run cancel 42 --json
        check "cancel --json" all "exits 0" "json_is cancelled 42"
        run cancel 41
        check "cancel: too late" all "exits 5" "err_has 'has begun'" "err_lacks methods"
        run cancel 7
        check "cancel: no such job" all "exits 4" "err_has 'pcireset jobs'"
        stop_daemon
        FAKE_JOBS=1 start_daemon
        run jobs
        check "jobs" all "exits 0" "out_has 'JOB  ADDRESS       METHOD  PHASE   USER'" \
                "out_has '42   0000:01:00.0  bus     queued  root'"
        run jobs --json
        check "jobs --json" all "exits 0" "json_is 0.id 42" "json_is 0.queued_at 1700000000000000"
}

test_reset() {
        run reset 01:00.0
        check "reset" all "exits 0" err_empty "out_is '0000:01:00.0: reset by flr in 0.11 s, verified: ok'"
        run reset 01:00.0 --json
        check "reset --json" all "exits 0" err_empty "json_is verdict ok" "json_is attempts.0.outcome done"
        run reset 01:00.0 bus
        check "reset: what else was reset, what failed before" all "exits 0" \
                "out_has 'reset by bus in 0.11 s, verified: ok; also reset: 0000:01:00.1'" \
                "err_has 'flr: failed after 0.10 s'" "err_has '(ENOTTY)'" "err_has 'could not be written back'"
        run reset 01:00.0 degraded
        check "reset: a success that proves nothing is none" all "exits 6" "out_has 'verified: degraded'"
        run reset 01:00.0 options
        check "no options" out_has "by interactive=0 in"
        run reset 01:00.0 options --in-use --no-wait --timeout=5
        check "all options" out_has "by in_use=1 no_wait=1 timeout_usec=5000000 interactive=0 in"
        run_tty "$PCIRESET reset 01:00.0 options"
        check "a terminal may be asked" out_has "interactive=1"
        run_tty "$PCIRESET reset 01:00.0 options --no-ask-password"
        check "--no-ask-password" out_has "interactive=0"
        run reset 01:00.0 slow
        check "reset: quiet where nobody looks" all "exits 0" err_empty \
                "out_is '0000:01:00.0: reset by flr in 0.11 s, verified: ok'"
        run_tty "$PCIRESET reset 01:00.0 slow"
        check "reset: progress on a terminal" all "exits 0" \
                "out_has '0000:01:00.0: flr: waiting for another reset to end (0 s)'" \
                "out_has '0000:01:00.0: flr: waiting for authorisation'" \
                "out_has '0000:01:00.0: flr: resetting'" "out_has '0000:01:00.0: flr: verifying ('" \
                "out_lacks foreign" "tail -n 1 $work/out | grep -qF $'\r\e[K0000:01:00.0: reset by flr'"
        run_tty "stty cols 30; $PCIRESET reset 01:00.0 slow"
        check "reset: progress never wraps" all "exits 0" "out_has $'\r0000:01:00.0: flr: waiting fo\e[K'" \
                "out_lacks 'waiting for'"
        run_tty "TERM=dumb $PCIRESET reset 01:00.0 slow"
        check "reset: no progress on a dumb terminal" all "exits 0" "out_lacks waiting"
        run_tty "$PCIRESET reset 01:00.0 slow 2>/dev/null"
        check "reset: progress is on stderr" all "exits 0" "out_lacks waiting"
}

test_recover() {
        run recover 01:00.0
        check "recover: each method as its turn comes" all "exits 0" "err_has '0000:01:00.0: trying flr'" \
                "out_is '0000:01:00.0: reset by flr in 0.11 s, verified: ok'"
        run recover 01:00.0 --json
        check "recover --json" all "exits 0" err_empty "json_is verdict ok"
        run recover 02:00.0
        check "recover: nothing helps" all "exits 7" "err_has 'it needs a cold power cycle'" "err_has 'flr: failed after'"
        run recover
        check "recover: no device" all "exits 2" "err_has 'pcireset recover ADDRESS'"
        run recover 01:00.0 flr
        check "recover: by no method in particular" all "exits 2" "err_has 'one argument too many'"
}

test_health() {
        run health 01:00.0
        check "health" all "exits 0" err_empty "harmless $work/out" "out_has '0000:01:00.0: ok, found by a reset by flr at 2023-11-1'" \
                "out_has 'CHECK    RESULT'" "out_has 'answers  ok'"
        run health 01:00.0 --probe
        check "health --probe: dead" all "exits 7" "out_has '0000:01:00.0: dead, found by a look without a reset at '" \
                "out_has 'answers  failed'" "out_has 'all ones'"
        run health 01:00.0 --probe --json
        check "health --json" all "exits 7" err_empty "json_is verdict dead" "json_is checks.0.after 'all ones'"
        run health 02:00.0
        check "health: nobody has looked" all "exits 0" "out_has 'nobody has looked yet'" "out_has 'pcireset health --probe'"
        run health 02:00.0 --json
        check "health --json: nobody has looked" all "exits 0" "[ \"\$(tr -d ' \\n' <$work/out)\" = '{}' ]"
        run health 09:00.0
        check "health: no such device" all "exits 4"
        run show 01:00.0 --probe
        check "--probe is for health" all "exits 2" "err_has 'no meaning for'"
}

test_errors() {
        local scene code advice
        while read -r scene code advice; do
                run reset 01:00.0 "error_$scene"
                check "error_$scene" all "exits $code" out_empty "harmless $work/err" \
                        "err_has '0000:01:00.0: the daemon'" "err_has \"$advice\""
                run reset 01:00.0 "error_$scene" --json
                check "error_$scene as JSON" all "exits $code" err_empty json \
                        "json_is error.message \"0000:01:00.0: the daemon's own words\""
        done <<-END
                access_denied 3 pcireset plan 0000:01:00.0 error_access_denied
                interactive 3 --no-ask-password
                policy_denied 3 policy of this machine
                device_gone 4 pcireset list
                invalid_method 5 pcireset methods 0000:01:00.0
                not_usable 5 pcireset methods 0000:01:00.0
                in_use 5 org.pciresetd1.reset-in-use
                leased 5 lease
                inhibited 5 inhibitor
                quarantined 5 administrator
                recovering 5 pcireset monitor
                limits 5 pcireset jobs
                reset_failed 6 journalctl -u pciresetd
                device_dead 7 power cycle
                timed_out 8 pcireset jobs
                cancelled 9 words
                invalid_args 2 pcireset --help
                other 1 words
END
        run reset 01:00.0 error_in_use --in-use
        check "in use although --in-use" all "exits 5" "err_has 'does not lift this'"
        run reset 01:00.0 error_device_dead
        check "the evidence" all "err_has 'flr: failed after 0.10 s: Inapp'" \
                "err_has '(ENOTTY)'" "err_has 'bus: unusable'" "err_has 'pm: done after 0.10 s, verified: dead'" \
                "err_has 'check command of 0000:01:00.0 failed: before 0x0006, after 0xffff'" "err_lacks 'check ids'"
        run reset 01:00.0 error_device_dead --json
        check "the evidence as JSON" all "json_is error.details.attempts.0.errno 25" \
                "json_is error.details.checks.0.after 0xffff" "json_is error.details.job 42" \
                "json_is error.name org.pciresetd1.Error.DeviceDead"
        run reset 01:00.0 why_busy
        check "another reset is in the way" all "exits 5" "err_has 'pcireset jobs'" "err_lacks denied"
        run reset 01:00.0 why_polkit
        check "polkit is not there" all "exits 3" "err_has 'systemctl status polkit'"
        run reset 01:00.0 why_dismissed
        check "the password was not given" all "exits 3" "err_has 'call again'"
        run reset 01:00.0 garbled_error
        check "an error body of another type" all "exits 6" "err_has words"
        run reset 01:00.0 garbled
        check "a result of another type" all "exits 6" "harmless $work/err"
        run reset 01:00.0 hostile
        check "a hostile message" all "exits 6" "harmless $work/err" "err_has '\x1b[2J'"
        run reset 01:00.0 hostile --json
        check "a hostile message as JSON" all "exits 6" "harmless $work/out" json
        run reset 09:00.0
        check "reset: no such device" all "exits 4"
}

not_ignored=INT,TERM,HUP
end_of() { # PID: waits for its end, a minute at most
        local _
        for _ in {1..600}; do
                kill -0 "$1" 2>/dev/null || break
                sleep 0.1
        done
        kill -KILL "$1" 2>/dev/null
        wait "$1"
        status=$?
}

interrupt() { # SIGNAL WORD SCENE [OPTION…]: sends the signal once the daemon has said the word
        local signal=$1 word=$2
        shift 2
        : >"$work/daemon"
        # A shell lets its background jobs ignore SIGINT, and whoever runs the tests may ignore others, which
        # the client respects.
        env --default-signal="$not_ignored" "$PCIRESET" reset 01:00.0 "$@" >"$work/out" 2>"$work/err" </dev/null &
        local client=$!
        await "$work/daemon" "$word" 1
        sleep 0.3
        kill -s "$signal" "$client"
        end_of "$client"
}

# A terminal of its own for a command, on which somebody presses Ctrl-C once the file says `waiting`. What is
# shown is shown, the exit status is returned.
press_ctrl_c() { # FILE COMMAND…
        timeout -k 5 60 python3 - "$@" <<'END'
import os, pty, select, sys
said, *command = sys.argv[1:]
pid, master = pty.fork()
if pid == 0:
    os.execvp(command[0], command)
pressed = False
while True:
    if not pressed and os.path.exists(said) and "waiting" in open(said).read():
        os.write(master, b"\003")
        pressed = True
    if select.select([master], [], [], 0.1)[0]:
        try:
            shown = os.read(master, 4096)
        except OSError:
            break
        if not shown:
            break
        os.write(1, shown)
_, end = os.waitpid(pid, 0)
sys.exit(os.waitstatus_to_exitcode(end) & 255)
END
}

test_interrupt() {
        interrupt INT waiting in_authorizing
        check "Ctrl-C before there is a job" all "exits 9" "err_has 'nothing was reset'"
        interrupt INT waiting in_queued
        check "Ctrl-C in the queue" all "exits 9" "err_has 'nothing was reset'"
        interrupt INT waiting in_resetting
        check "Ctrl-C during the reset" all "exits 9" "err_has 'cannot be stopped'" "err_has 'pcireset jobs'"
        interrupt INT between between
        check "Ctrl-C between two methods" all "exits 9" "err_has 'what was tried has happened'"
        interrupt TERM waiting in_queued --json
        check "SIGTERM, as JSON" all "exits 9" "json_is error.name org.pciresetd1.Client.Interrupted"
        interrupt HUP waiting in_queued
        check "SIGHUP" exits 9
        : >"$work/daemon"
        press_ctrl_c "$work/daemon" env --default-signal="$not_ignored" "$PCIRESET" reset 01:00.0 in_queued \
                >"$work/out" 2>"$work/err"
        status=$?
        check "Ctrl-C on a terminal" all "exits 9" "out_has 'nothing was reset'"
        trap '' HUP
        not_ignored=INT,TERM
        interrupt HUP waiting slow
        not_ignored=INT,TERM,HUP
        trap - HUP
        check "nohup" all "exits 0" "out_has 'verified: ok'"
}

test_vanish() {
        run reset 01:00.0 vanish
        check "the daemon vanishes during the reset" all "exits 10" "err_has 'left the bus during'" \
                "err_has 'systemctl status pciresetd'"
        daemon_died
        start_daemon
        run reset 01:00.0 vanish_early --json
        check "the daemon vanishes before the reset" all "exits 10" err_empty json
        daemon_died
        start_daemon
}

test_monitor() {
        : >"$work/daemon"
        "$PCIRESET" monitor >"$work/out" 2>"$work/err" </dev/null &
        local text=$!
        "$PCIRESET" monitor --json >"$work/lines" 2>"$work/err2" </dev/null &
        local lines=$!
        await "$work/daemon" listed 2
        sleep 0.3
        # Not the daemon: must not be believed.
        busctl --address="$DBUS_SYSTEM_BUS_ADDRESS" emit /org/pciresetd1 org.pciresetd1.Manager JobNew uos 66 \
                /org/pciresetd1/job/66 0000:01:00.0
        "$PCIRESET" reset 01:00.0 events >/dev/null </dev/null
        stop_daemon
        start_daemon
        await "$work/daemon" listed 2
        "$PCIRESET" reset 01:00.0 events >/dev/null </dev/null
        await "$work/out" ' removed' 2
        await "$work/lines" device-removed 2
        kill -TERM "$text" "$lines"
        wait "$text"
        status=$?
        check "monitor" all "exits 0" err_empty "harmless $work/out" \
                "out_has '0000:05:00.0  added: evil'" "out_has ', driver nvme'" \
                "out_has '0000:05:00.0  Driver: nvme -> vfio-pci'" \
                "out_has '0000:01:00.0  State: idle -> resetting'" \
                "out_has '0000:01:00.0  reset: by flr in 0.11 s, verified: ok'" \
                "out_has '0000:01:00.0  job 42 is about to reset: 0000:01:00.0, 0000:05:00.0'" \
                "out_has '0000:01:00.0  job 42 is over with: 0000:01:00.0, 0000:05:00.0'" \
                "grep -q '0000:01:00.0  in use\$' $work/out" "out_has '0000:05:00.0  not in use any more'" \
                "out_has '0000:01:00.0  Lease: L1'" "out_has '0000:01:00.0  job 42 new'" "out_has '0000:01:00.0  job 42 ended: done'" \
                "out_has '0000:01:00.0  job 42 Phase: resetting'" "out_has '0000:05:00.0  removed'" \
                "out_has 'pciresetd     left the bus'" "out_has 'pciresetd     is on the bus'" "out_lacks 'job 66'" \
                "[ \$(grep -c ' removed' $work/out) = 2 ]"
        wait "$lines"
        status=$?
        local bad=0 line events=
        while IFS= read -r line; do
                printf '%s\n' "$line" >"$work/out"
                json event && json time_usec || bad=1
                json event
                events+="$(cat "$work/value") "
        done <"$work/lines"
        check "monitor --json" all "exits 0" "[ ! -s $work/err2 ]" "[ $bad = 0 ]" "harmless $work/lines" \
                "[ '${events%% daemon-vanished*}' = 'device-added device-changed job-new prepare-for-reset device-changed device-changed job-changed device-changed prepare-for-reset job-removed device-removed' ]"
        grep -m 1 prepare-for-reset "$work/lines" >"$work/out"
        check "monitor --json: a reset that is about to begin" all "json_is job 42" "json_is start true" \
                "json_is reset_set.1 /org/pciresetd1/device/_30000_3a05_3a00_2e0"
        grep -m 1 InUse "$work/lines" >"$work/out"
        check "monitor --json: a device that became busy" all "json_is properties.InUse true"
        "$PCIRESET" monitor 2>"$work/err" </dev/null | head -n 1 >"$work/out" &
        local reader=$!
        await "$work/daemon" listed 3
        "$PCIRESET" reset 01:00.0 events >/dev/null </dev/null
        "$PCIRESET" reset 01:00.0 events >/dev/null </dev/null
        wait "$reader"
        check "monitor: a reader that leaves" all "out_has added" err_empty
}

test_output() {
        "$PCIRESET" list >/dev/full 2>"$work/err"
        status=$?
        check "output that cannot be written" all "exits 1" "err_has 'could not be written'"
}

# shellcheck source=tests/client/claims.sh
. "$here/claims.sh"
# shellcheck source=tests/client/run.sh
. "$here/run.sh"

test_usage
test_unreachable
start_daemon
test_list
test_show
test_methods
test_plan
test_reset
test_recover
test_health
test_errors
test_holders
test_claims
test_refusals_with_holders
test_reset_options
test_run
test_run_failures
test_run_signals
test_run_streams
test_inhibit
test_interrupt
test_vanish
test_monitor
test_output
test_quarantine
test_jobs

echo "1..$n"
[ "$failures" = 0 ]
