# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash disable=SC2154 # `work` is set by test-client.sh, which sources this
#
# Who uses devices, who has taken them, who forbids their reset.

test_holders() {
        run holders 01:00.0
        check "holders" all "exits 0" err_empty "harmless $work/out" \
                "out_has 'ADDRESS       KIND             PID   USER        COMMAND'" \
                "out_has '0000:01:00.0  process          4242  root        Xorg'" \
                "out_has 'session-2.scope'" "out_has '/dev/nvme0n1p1 on /mnt'" "out_has '4000000000'" \
                "out_has '2 of other users'" "out_has '0000:01:00.0  from-the-future  -     -           -'" \
                "out_has 'evil\x1b[2J'"
        check "holders: each kind is explained once" all "out_has 'mount: a file system on it is mounted'" \
                "out_has 'from-the-future: a use that this client does not know, and that no option goes past'" \
                "[ \$(grep -c '^process: ' $work/out) = 1 ]" "out_has 'vfio: '"
        check "holders: that there are more" all "out_has 'There are more than these'"
        run holders 01:00.0 --json
        check "holders --json" all "exits 0" err_empty "harmless $work/out" "json_is 0.pid 4242" \
                "json_is 1.hard true" "json_is 3.count 2" "json_is 4.kind from-the-future" \
                "json_is 2.unit \$'evil\e[2J\e]0;owned\a\nfake line \u009b1m\u202etxt\x7f'"
        run holders 02:00.0
        check "no holders" all "exits 0" "out_is 'Nobody uses 0000:02:00.0.'"
        run holders 02:00.0 --json
        check "no holders, as JSON" all "exits 0" "[ \"\$(tr -d ' \\n' <$work/out)\" = '[]' ]"
        run holders 09:00.0
        check "holders: no such device" all "exits 4" "err_has 'no such device'"
        run holders 04:00.0
        check "holders: gone in between" all "exits 4" "err_has 'pcireset list'"
        run holders
        check "holders: of what?" exits 2
        run holders 01:00.0 --in-use
        check "holders --in-use" all "exits 2" "err_has 'no meaning for'"
}

test_claims() {
        run leases
        check "no leases" all "exits 0" "out_is 'Nobody has a lease.'"
        run inhibitors
        check "no inhibitors" all "exits 0" "out_is 'Nobody forbids or delays a reset.'"
        run leases --json
        check "no leases, as JSON" all "exits 0" "[ \"\$(tr -d ' \\n' <$work/out)\" = '[]' ]"
        stop_daemon
        FAKE_CLAIMS=1 start_daemon
        run leases
        check "leases" all "exits 0" err_empty "harmless $work/out" "out_has 'LEASE  USER        DEVICES'" \
                "out_has 'L1     root        0000:01:00.0 0000:01:00.1  '" "out_has '  the VM  '" \
                "out_has ' d '" "out_has '4000000000  0000:02:00.0               -  '" "out_has 'evil\x1b[2J'" \
                "[ \$(wc -l <$work/out) = 3 ]"
        run leases --json
        check "leases --json" all "exits 0" "harmless $work/out" "json_is 0.id L1" "json_is 0.uid 0" \
                "json_is 0.who 'the VM'" "json_is 0.devices.1 0000:01:00.1" "json_is 1.since 0"
        run inhibitors
        check "inhibitors" all "exits 0" err_empty "harmless $work/out" \
                "out_has 'INHIBITOR  MODE   USER        DEVICES'" "out_has 'L1         block  root        all  '" \
                "out_has 'L2         delay  4000000000  0000:02:00.0'"
        run inhibitors --json
        check "inhibitors --json" all "exits 0" "harmless $work/out" "json_is 0.mode block" "json_is 0.devices '[ ]'"
        stop_daemon
        start_daemon
}

test_refusals_with_holders() {
        run reset 01:00.0 holders_in_use
        check "in use: by whom" all "exits 5" "harmless $work/err" \
                "err_has '  0000:01:00.0 process 4242 (Xorg) of root in session-2.scope: /dev/dri/card0'" \
                "err_has '  0000:01:00.1 mount: /dev/nvme0n1p1 on /mnt'" \
                "err_has '  0000:01:00.0 vfio: 2 of other users'" "err_has 'from-the-future: a thing'" \
                "err_has '--in-use does not lift this'" "err_has '--when-idle'"
        run reset 01:00.0 holders_in_use --json
        check "in use, as JSON" all "exits 5" "harmless $work/out" "json_is error.details.holders.0.pid 4242" \
                "json_is error.name org.pciresetd1.Error.InUse"
        run reset 01:00.0 told_in_use --when-idle
        check "in use: what the message names is not said again" all "exits 5" "err_lacks 'process 4242 (Xorg)'" \
                "err_lacks 'mount: '" "err_lacks 'of other users'" "err_has 'process 666 ('" \
                "err_lacks '--when-idle'"
        run reset 01:00.0 holders_leased
        check "leased: by whom" all "exits 5" "err_has 'process 4242'" "err_has 'pcireset leases'" \
                "err_has '--when-idle'"
        run reset 01:00.0 holders_inhibited
        check "inhibited: by whom" all "exits 5" "err_has 'process 4242'" "err_has 'pcireset inhibitors'"
        run reset 01:00.0 no_rule
        check "not authorised: the actions are named once" all "exits 3" "err_has 'example of such a rule'" \
                "err_lacks 'pcireset plan'" "[ \$(grep -o 'polkit rule' $work/err | wc -l) = 1 ]"
}

test_reset_options() {
        run reset 01:00.0 options --when-idle --lease=L1
        check "--when-idle --lease" out_has "by when_idle=1 lease=L1 interactive=0 in"
        run reset 01:00.0 options --lease ''
        check "--lease without an id" all "exits 2" "err_has 'pcireset leases'"
        run reset 01:00.0 options --lease $'\xff'
        check "--lease that is no text" all "exits 2" "err_has 'not UTF-8'" "harmless $work/err"
        run reset 01:00.0 --lease
        check "--lease without a value" all "exits 2" "err_has '--lease=ID'"
        run methods 01:00.0 --when-idle
        check "--when-idle for methods" all "exits 2" "err_has 'no meaning for'"
        run reset 01:00.0 --when-idle --no-wait
        check "--when-idle and --no-wait" all "exits 2" "err_has 'only one can be given'"
        mkfifo "$work/fifo"
        exec {fifo}<>"$work/fifo" {pipe}<> <(:)
        PCIRESET_LEASE_FD=$fifo run reset 01:00.0 options
        check "an inherited lease is presented" all "exits 0" err_empty "out_has 'by lease_fd=fifo interactive=0 in'"
        PCIRESET_LEASE_FD=$fifo run reset 01:00.0 options --lease=L7
        check "an inherited lease and one that is named" all "exits 0" err_empty \
                "out_has 'by lease=L7 lease_fd=fifo interactive=0 in'"
        PCIRESET_LEASE_FD=$fifo run plan 01:00.0 options --when-idle --in-use --lease L7
        check "plan with the options of reset" all "exits 0" err_empty \
                "out_has '1. in_use=1 when_idle=1 lease=L7 lease_fd=fifo interactive=0 ('"
        PCIRESET_LEASE_FD=$fifo run reset 01:00.0 no_lease
        check "an inherited descriptor that the daemon does not know" all "exits 2" \
                "err_has 'unset that to go on'"
        exec {fifo}>&-
        local value
        for value in "$fifo" "$pipe" 0x1 -1 99999999999 junk $'\e[2J' 0; do
                PCIRESET_LEASE_FD=$value run reset 01:00.0 options
                check "an inherited lease that is none" all "exits 0" "harmless $work/err" \
                        "err_has 'going on without it'" "out_has 'by interactive=0 in'"
        done
        exec {pipe}>&-
        PCIRESET_LEASE_FD='' run reset 01:00.0 options
        check "no inherited lease" all "exits 0" err_empty "out_has 'by interactive=0 in'"
        interrupt INT waiting in_waiting_idle --when-idle
        check "Ctrl-C while waiting for others" all "exits 9" "err_has 'nothing was reset'"
}
