#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# `pcireset doctor` against a stand-in that says what doctor.json says. Prints TAP.
# Run it in the build directory, or name the programs by PCIRESET, FAKE_WORLD and JSON_GET.

# shellcheck source=tests/client/session.sh
. "$(dirname "$0")/session.sh"
# shellcheck source=tests/client/world.sh
. "$here/world.sh"

# What is told of one device has these lines, and no others of that kind.
doctor() { # ADDRESS NAME EXIT_STATUS CONDITION…
        local address=$1 name=$2 code=$3
        shift 3
        run doctor "$address"
        check "$name" all "exits $code" err_empty "harmless $work/out" "[ \$(grep -c '^0000:' $work/out) = 1 ]" "$@"
}
steps() { [ "$(grep -c '^    next: ' "$work/out")" = "$1" ]; }
doubts() { [ "$(grep -c '^    doubt: ' "$work/out")" = "$1" ]; }

test_ready() {
        doctor 01:00.0 "a device that can be reset" 0 \
                "out_has '0000:01:00.0 can be reset now by flr, which disturbs no other device and takes about 0.11 s.'" \
                "out_has 'next:  \`pcireset reset 0000:01:00.0\`'" "steps 1" "doubts 0"
        run doctor 01:00.0 --json
        check "as JSON" all "exits 0" err_empty "json_is address 0000:01:00.0" "json_is status ready" \
                "json_is method flr" "json_is authorization yes" "json_is why '[ ]'" "json_is doubts '[ ]'"
        doctor 0b:00.0 "a password that nobody can ask for" 3 "out_has 'polkit asks for a password'" \
                "out_has 'is lost: 0000:0b:00.0 e1000e'" \
                "out_has 'To do so without a password a polkit rule'" "steps 2"
        run_tty "$PCIRESET doctor 0b:00.0"
        check "and one that can be typed" all "exits 0" "out_has 'polkit asks for a password'"
        doctor 02:00.0 "polkit says no, the method is doubtful" 3 "out_has 'polkit does not allow it to you'" \
                "out_has 'which resets all of 0000:02:00.0, 0000:02:00.1'" \
                "out_has 'org.pciresetd1.reset, org.pciresetd1.reset-shared'" "steps 1" \
                "out_has 'of 4 resets of this kind of device 1 went well, and 2 left it dead'" \
                "out_has 'quirk_no_flr'" "out_has 'pcireset reset 0000:02:00.0 bus'" \
                "out_has 'failed-recovery'" "out_has 'rule site in'" \
                "out_has 'It is dirty: what its last user has left in it may still be there.'" "doubts 6"
}

test_in_the_way() {
        doctor 03:00.0 "programs and a driver" 5 "out_lacks 'is dirty'" "out_has 'cannot be reset now by flr: '" "out_lacks 'other functions'" \
                "out_has 'process 4242 (Xorg) of root in session-2.scope: /dev/dri/card0: a program has it open'" \
                "out_has 'Take the driver snd_hda_intel off 0000:03:00.0'" "out_has 'driverctl set-override 0000:03:00.0 vfio-pci'" \
                "out_has 'pcireset reset 0000:03:00.0 --in-use'" "out_has org.pciresetd1.reset-in-use" "steps 4"
        run doctor 03:00.0 --json
        check "programs and a driver, as JSON" all "exits 5" "json_is status not-now" "json_is why.0 held" \
                "json_is why.1 driver-bound" "json_is authorization ''" "harmless $work/out"
        doctor 04:00.0 "a file system and addresses, in the middle of a reset" 5 "out_has 'just now it is resetting'" \
                "out_has 'mount: /dev/nvme0n1p1 on /mnt: a file system on it is mounted; unmount it first'" \
                "out_has 'network: eth7'" "out_lacks '--in-use\`'" "steps 2"
        doctor 05:00.0 "a lease and an inhibitor" 5 "out_has 'The lease L9 of \"the VM\" (user root) on 0000:05:00.0'" \
                "out_has '\"flasher\" (user root) forbids it, for: firmware'" "out_lacks other" "out_lacks late" "steps 2"
        doctor 09:00.0 "the policy" 5 "out_has 'cannot be reset now by bus: the policy allows no reset'" \
                "out_has 'Rule no-links in 50.json says so'" "steps 1"
        doctor 0d:00.0 "the policy leaves nothing" 5 \
                "out_has '0000:0d:00.0 cannot be reset: flr: the policy forbids it; bus: the policy allows no reset'" \
                "out_has 'Rule site (50.json) says so'" "out_lacks 'power cycle'" "steps 1"
        run doctor 0d:00.0 --json
        check "the policy leaves nothing, as JSON" all "exits 5" "json_is status not-as-configured" "json_is why.0 forbidden"
        doctor 0e:00.0 "only what is known to do harm" 5 "out_has 'is reset only by a method that is named: flr: '" \
                "out_has 'By name flr could be tried'" "out_has 'flr is not tried: it is known to do harm, says https://example.org/thread'" \
                "steps 1" "doubts 1"
        run doctor 09:00.0 --json
        check "the policy, as JSON" all "exits 5" "json_is status not-as-configured" "json_is why.0 link-forbidden"
}

test_impossible() {
        doctor 06:00.0 "a method that only a name starts" 5 "out_has 'cannot be reset: other functions'" \
                "out_has 'pciresetd(8)'" "out_has 'By name rescan could be tried'" "steps 1"
        doctor 07:00.0 "a bridge" 5 "out_has 'is a bridge'" "out_has 'Reset a device behind it by link'" "steps 1"
        doctor 08:00.0 "quarantine, after death" 5 "out_has 'the kernel offers no method'" \
                "out_has quarantine" \
                "out_has 'It is in quarantine (dead after flr) since 2023-11-14 22:13:20.000: it does not answer.'" "out_has 'by flr, left it dead'" "out_has 'pcireset recover 0000:08:00.0'" \
                "out_has 'just now it is quarantined'"
        doctor 0c:00.0 "nothing is told" 5 "out_has 'power cycle'" "out_has 'pcireset report 0000:0c:00.0'"
}

test_failures() {
        run doctor 0a:00.0
        check "a device that is gone" all "exits 4" out_empty "err_has 'just been removed'"
        run doctor ff:00.0
        check "no such device" all "exits 4" out_empty "err_has 'no such device'"
        run doctor ff:00.0 --json
        check "no such device, as JSON" all "exits 4" err_empty "json_is error.name org.pciresetd1.Error.NoSuchDevice"
        run doctor 01:00.0 extra
        check "an argument too many" all "exits 2" "err_has '\"extra\"'"
        run doctor nonsense
        check "no address" all "exits 2" "err_has '\"nonsense\" is not the address'"
        run doctor --in-use
        check "an option of another verb" all "exits 2" "err_has 'no meaning for'"
}

test_all() {
        run doctor
        check "all devices" all "exits 0" err_empty "harmless $work/out" "[ \$(grep -c '^0000:' $work/out) = 14 ]" \
                "out_has '0000:0a:00.0: the device has just been removed.'" "out_has 'by flr, which disturbs no other'"
        run doctor --json
        check "all devices, as JSON" all "exits 0" err_empty "json_is 0.status ready" "json_is 13.address 0000:0c:00.0" \
                "json_is 9.status unknown" "json_is 9.error.name org.pciresetd1.Error.DeviceGone" "! json 14"
}

test_without_daemon() {
        local verb
        stop_world
        for verb in doctor "doctor 01:00.0"; do
                # shellcheck disable=SC2086 # several words
                run $verb
                check "$verb, and nobody answers" all "exits 10" out_empty "err_has 'systemctl status pciresetd'"
        done
        "$JSON_GET" devices <"$here/doctor.json" | sed '1s/^/{"devices": /; $s/$/}/' >"$work/world.json"
        start_world "$work/world.json"
        run doctor 01:00.0
        check "no polkit" all "exits 3" "out_has 'polkit, which has to allow it, does not answer'" \
                "out_has 'systemctl status polkit'"
}

start_world "$here/doctor.json"
test_ready
test_in_the_way
test_impossible
test_failures
test_all
test_without_daemon

echo "1..$n"
[ "$failures" = 0 ]
