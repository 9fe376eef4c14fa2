# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash disable=SC2034,SC2154,SC2016 # `work` is set by test-client.sh, which sources this; inner shells
#
# Commands that run under a lease or an inhibitor.

# The last lease or inhibitor that the stand-in has given away, and the end of one.
claimed() { grep -o "claimed F[0-9]*" "$work/daemon" | tail -n 1 | cut -d ' ' -f 2; }
released() { grep -qx "released $1" "$work/daemon"; }
is_released() {
        await "$work/daemon" "^released $1$" 1
        released "$1"
}

test_run() {
        : >"$work/daemon"
        run run 01:00.0 0000:02:00.1 --who 'the VM' --why=because -- sh -c \
                'echo "$PCIRESET_LEASE"; readlink "/proc/$$/fd/$PCIRESET_LEASE_FD"; exit 5' --json
        check "run: the command's output and exit status" all "exits 5" err_empty "out_has /fake-claim." \
                "grep -q 'claimed F[0-9]* devices=0000:01:00.0 0000:02:00.1 who=the VM why=because mode=$' $work/daemon" \
                "out_has \"\$(claimed)\""
        check "run: the lease ends with the command" is_released "$(claimed)"

        run run 01:00.0 -- "$PCIRESET" reset 01:00.0 options
        check "run: a reset inside presents the lease" all "exits 0" "out_has 'by lease_fd=fifo interactive=0 in'"
        run run 01:00.0 -- "$PCIRESET" leases
        check "run: the lease is listed, under the command's name" all "exits 0" \
                "out_has '0000:01:00.0  '" "out_has 'pcireset'"
        # A shell that has closed the descriptor: the lease is still there.
        run run 01:00.0 -- sh -c "eval \"exec \$PCIRESET_LEASE_FD>&-\"; $PCIRESET reset 01:00.0 options; $PCIRESET leases"
        check "run: whoever closes the descriptor keeps the lease" all "exits 0" "out_has '0000:01:00.0  '" \
                "err_has 'going on without it'"

        : >"$work/daemon"
        "$PCIRESET" run 01:00.0 -- sh -c 'exec >/dev/null 2>&1; sleep 100 & echo $! >'"$work/pid" </dev/null
        status=$?
        local id behind
        id=$(claimed) behind=$(cat "$work/pid")
        run leases
        check "run: what was left behind keeps the lease" all "exits 0" "out_has '$id '" "! released $id" \
                "kill -0 $behind"
        kill "$behind"
        check "run: until it is gone" is_released "$id"
}

test_run_failures() {
        : >"$work/daemon"
        run run 01:00.0 -- /nonexistent/command
        check "run: no such command" all "exits 127" "err_has '/nonexistent/command: No such file'" out_empty
        check "run: no such command keeps no lease" is_released "$(claimed)"
        run run 01:00.0 -- $'no-such\e[2J' --json
        check "run: no such command in PATH" all "exits 127" "harmless $work/err"
        run run --json 01:00.0 -- no-such-command
        check "run: no such command, as JSON" all "exits 127" err_empty \
                "json_is error.name org.pciresetd1.Client.CommandNotExecuted"
        run run 01:00.0 -- /
        check "run: no command at all" all "exits 126" "err_has '/: Permission denied'"
        : >"$work/daemon"
        run run 02:00.0 -- touch "$work/ran"
        check "run: the lease is refused" all "exits 125" "err_has 'somebody else has a lease'" \
                "err_has 'pcireset leases'" "err_lacks '--when-idle'" "harmless $work/err" "[ ! -e $work/ran ]"
        run run 02:00.0 --json -- touch "$work/ran"
        check "run: the lease is refused, as JSON" all "exits 125" err_empty "harmless $work/out" \
                "json_is error.name org.pciresetd1.Error.Leased" "[ ! -e $work/ran ]"
        run run 01:00.1 -- touch "$work/ran"
        check "run: not authorised" all "exits 125" "err_has 'example of such a rule'" "[ ! -e $work/ran ]"
        run run 01:00.0 09:00.0 -- touch "$work/ran"
        check "run: all or none" all "exits 125" "err_has 'no such device'" "[ ! -e $work/ran ]" \
                "! grep -q claimed $work/daemon"
        run run 01:00.0 true
        check "run: a command without --" all "exits 125" "err_has '-- COMMAND'"
        run run 01:00.0 --
        check "run: -- without a command" all "exits 125" "err_has 'the command is missing'"
        run run -- true
        check "run: no device" all "exits 125" "err_has 'needs more arguments'"
        run run 01:00.0 02:00 -- true
        check "run: no address" all "exits 125" "err_has '\"02:00\" is not the address'"
        run run 01:00.0 --who $'\xc3\x28' -- true
        check "run: --who that is no text" all "exits 125" "err_has 'not UTF-8'" "harmless $work/err"
        run run 01:00.0 --in-use -- true
        check "run --in-use" all "exits 125" "err_has 'no meaning for'"
        DBUS_SYSTEM_BUS_ADDRESS=unix:path=/nonexistent run run 01:00.0 -- touch "$work/ran"
        check "run: without a bus" all "exits 125" "err_has 'cannot be reached'" "[ ! -e $work/ran ]"
        run run 01:00.0 --who $'\e[31mw' --why $'\u202ey' -- "$PCIRESET" leases
        check "run: hostile texts come out harmless" all "exits 0" "harmless $work/out" "out_has '\x1b[31mw'" \
                "out_has '\u202ey'"
        run run 01:00.0 -- ''
        check "run: an empty command" all "exits 127" "grep -q 'who=pcireset ' $work/daemon"
        run run 01:00.0 -- $'/bin/../bin/\xff\e'
        check "run: the name of a command that is no text" all "exits 127" "harmless $work/err"
}

# Sends a signal to `run` while its command waits; the command notes each one that it gets.
signal_run() { # SIGNAL
        : >"$work/signals"
        : >"$work/out"
        env --default-signal=INT,TERM,HUP "$PCIRESET" run 01:00.0 -- sh -c '
                for s in INT TERM HUP; do trap "echo $s >>'"$work/signals"'; trap - $s; kill -s $s \$\$" $s; done
                echo up; while :; do sleep 0.1; done' >"$work/out" 2>"$work/err" </dev/null &
        local client=$!
        await "$work/out" up 1
        kill -s "$1" "$client"
        end_of "$client"
}

test_run_signals() {
        run run 01:00.0 -- sh -c 'kill -s TERM $$'
        check "run: a command that is killed" all "exits 143" err_empty
        local signal
        for signal in INT:130 TERM:143 HUP:129; do
                signal_run "${signal%:*}"
                check "run: SIG${signal%:*} is passed on" all "exits ${signal#*:}" err_empty \
                        "[ \"\$(cat $work/signals)\" = ${signal%:*} ]"
                check "run: SIG${signal%:*} leaves no lease behind" is_released "$(claimed)"
        done
        rm -f "$work/up"
        press_ctrl_c "$work/up" env --default-signal=INT,TERM,HUP "$PCIRESET" run 01:00.0 -- python3 -c '
import signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
open(sys.argv[1], "w").write("waiting")
info = signal.sigwaitinfo([signal.SIGINT])
while info:
    print("SIGINT from", info.si_pid)
    info = signal.sigtimedwait([signal.SIGINT], 1)
sys.exit(6)' "$work/up" >"$work/out" 2>"$work/err"
        status=$?
        check "run: Ctrl-C on a terminal reaches the command once" all "exits 6" "out_has 'SIGINT from 0'" \
                "[ \$(grep -c SIGINT $work/out) = 1 ]"
        run run 01:00.0 -- sh -c 'grep -h SigBlk /proc/self/status'
        check "run: no signal stays blocked in the command" out_has 0000000000000000
        run_ignoring INT run 01:00.0 -- sh -c 'kill -s INT $$; echo survived'
        check "run: what was ignored stays ignored" all "exits 0" "out_has survived"
        run_ignoring CHLD run 01:00.0 -- sh -c 'exit 4'
        check "run: with SIGCHLD ignored" all "exits 4"
}

run_ignoring() { # SIGNAL ARGUMENT…
        local signal=$1
        shift
        timeout -k 5 20 env --ignore-signal="$signal" "$PCIRESET" "$@" >"$work/out" 2>"$work/err" </dev/null
        status=$?
}

test_run_streams() {
        printf 'from stdin' >"$work/in"
        "$PCIRESET" run 01:00.0 -- cat <"$work/in" >"$work/out" 2>"$work/err"
        status=$?
        check "run: stdin is the command's" all "exits 0" "out_is 'from stdin'"
        "$PCIRESET" run 01:00.0 -- sh -c 'echo "$PCIRESET_LEASE_FD" >'"$work/out" <&- >&- 2>&-
        status=$?
        check "run: closed streams are not taken by the lease" all "exits 0" "[ \$(cat $work/out) -ge 3 ]"
        run run 01:00.0 --no-ask-password -- printf '%s|' --json -- 'a b' ''
        check "run: arguments of the command are its own" all "exits 0" "out_is '--json|--|a b||'"
        run --why x run 01:00.0 -- printenv PCIRESET_LEASE
        check "run: options before the verb" all "exits 0" "out_has F"
}

test_inhibit() {
        : >"$work/daemon"
        run inhibit 01:00.0 --who me --why firmware -- "$PCIRESET" inhibitors --json
        check "inhibit" all "exits 0" err_empty "json_is 0.mode block" "json_is 0.who me" "json_is 0.why firmware" \
                "json_is 0.devices.0 0000:01:00.0"
        check "inhibit: ends with the command" is_released "$(claimed)"
        run inhibit --mode=delay -- "$PCIRESET" inhibitors
        check "inhibit --mode=delay, all devices" all "exits 0" "out_has '  delay  '" "out_has '  all  '"
        run inhibit -- sh -c 'echo "fd $PCIRESET_LEASE_FD"; exit 3'
        check "inhibit: exit status, and no lease" all "exits 3" "out_is 'fd '"
        : >"$work/daemon"
        run inhibit 01:00.0 -- sh -c 'sleep 100 >/dev/null 2>&1 & echo $!'
        check "inhibit: what is left behind does not inhibit" all "is_released $(claimed)" "kill $(cat "$work/out")"
        run inhibit --mode=never -- true
        check "inhibit: no such mode" all "exits 125" "err_has 'neither block nor delay'"
        run inhibit --mode
        check "inhibit: --mode without a value" all "err_has '--mode=block'"
        run run 01:00.0 --mode=block -- true
        check "run --mode" all "exits 125" "err_has 'no meaning for'"
        run inhibit 09:00.0 -- touch "$work/ran"
        check "inhibit: refused" all "exits 125" "err_has 'no such device'" "[ ! -e $work/ran ]"
        run inhibit 01:00.1 -- touch "$work/ran"
        check "inhibit: not authorised" all "exits 125" "err_has 'example of such a rule'"
        run inhibit -- no-such-command
        check "inhibit: no such command" exits 127
}
