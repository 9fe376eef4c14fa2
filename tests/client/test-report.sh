#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# `pcireset report` on a /sys and a kernel command line of its own, and against a stand-in that says what report.json
# says. Needs root for the mounts, which are gone with this script. Prints TAP.
# Run it in the build directory, or name the programs by PCIRESET, FAKE_WORLD and JSON_GET.

around=(unshare --mount --propagation private --)
# shellcheck source=tests/client/session.sh
. "$(dirname "$0")/session.sh"
# shellcheck source=tests/client/world.sh
. "$here/world.sh"

# Everything that identifies the card or its machine, in each form in which it could come out.
secrets=(00-11-22-33-44-55-66-77 '77 66 55 44 33 22 11 00' 0011223344556677 52:54:00:de:ad:01 525400dead01 NVMESERIAL77
        VPD123 '39 39 4e 53' hunter2 4242424 bootbootboot somebody@example.org)
no_secrets() {
        local secret
        for secret in "${secrets[@]}"; do
                ! grep -qiF -- "$secret" "$work/out" "$work/err" || { echo "# it has $secret"; return 1; }
        done
}

test_text() {
        run report 01:00.0
        check "the device and its registers" all "exits 0" err_empty "harmless $work/out" \
                "out_has '0x15b3'" "out_has 'NoSoftRst+'" "out_has 'DevCap: FLReset+ RBE+'" "out_has 'AFCap: TP+ FLR+'" \
                "out_has 'UnsupReq+ TransPend+'" "out_has 'CmpltTO+'" "out_has 'Total VFs: 4, Number of VFs: 2'" \
                "out_has 'DLP 1,TOTAL_ERR_FATAL 1'" "grep -qx 'slot  *7' $work/out" "out_has 'immediate_readiness    true'"
        check "what is above" all "out_has '0000:00:1c.0'" "out_has 'Root Port, Slot+'" "out_has 'SltCap: Slot #7'" \
                "out_has 'PwrCtrl+ MRL- HotPlug+'" "out_has 'ACSCtl: SrcValid+ TransBlk- ReqRedir+'" \
                "out_has 'LLActRep+'" "out_has 'Speed 8GT/s, Width x4'"
        check "methods, advertised and proven, and history" all "out_has 'reset_method           flr bus'" \
                "out_has '5 tries, 2 ok, 3 dead, median 0.11 s, held, known to be bad'" \
                "out_has '0000:01:00.0 flr: failed, dead in 0.11 s, kernel 6.1.0-evil\x1b[2J, ENOTTY'"
        check "its last reset, and why it is in quarantine" all "grep -q '^LastReset.verdict  *dead' $work/out" \
                "grep -q '^Quarantine.reason  *it smells' $work/out"
        check "the machine" all "out_has 'pci=noaer iommu=pt'" "grep -q 'parameters_left_out  *3' $work/out" \
                "out_has \"\$(uname -r)\""
        check "nothing that identifies it" no_secrets
        check "which is said" all "out_has 'see --with-serials'" "out_has '140: 03 00 01 18 xx xx xx xx xx xx xx xx 00'" \
                "out_has '050: 03 60 00 80 xx xx xx xx'"
}

test_json() {
        run report 01:00.0 --json
        check "as JSON" all "exits 0" err_empty no_secrets "harmless $work/out" "json_is address 0000:01:00.0" \
                "json_is function.reset_method 'flr bus'" "json_is topology.0.address 0000:00:1c.0" \
                "json_is topology.0.reset_subordinate true" "! json topology.1" "json_is config.bytes 4096" \
                "json_is methods.0.proven.dead 3" "json_is history.0.errno 25" "json_is capabilities.0.name 'Power Management'" \
                "json_is daemon.LastReset.verdict dead" \
                "json_is daemon.Quarantine.reason 'it smells'" "! json serials"
}

test_with_serials() {
        local secret
        run report 01:00.0 --with-serials
        for secret in 00-11-22-33-44-55-66-77 '77 66 55 44 33 22 11 00' 52:54:00:de:ad:01 NVMESERIAL77 VPD123 '39 39 4e 53' \
                hunter2; do
                check "with serials: $secret" all "exits 0" "out_has '$secret'"
        done
        check "with serials: harmless, and no more than the device's" all "harmless $work/out" "out_lacks bootbootboot" \
                "out_lacks 4242424"
        run report 01:00.0 --with-serials --json
        check "with serials, as JSON" all "exits 0" "json_is serials.nvme/nvme3/serial NVMESERIAL77" \
                "json_is 'serials.Device Serial Number' 00-11-22-33-44-55-66-77"
        run show 01:00.0 --with-serials
        check "--with-serials of another verb" all "exits 2" "err_has 'no meaning for'"
}

test_less() {
        run report 01:00.1
        check "in the middle of a reset nothing is read that would wait" all "exits 0" "out_has 'just being reset'" \
                "out_lacks 'Configuration space'" "out_lacks 'Root Port'" "out_has '0000:00:1c.0'"
        run report 7f:00.0
        check "a device that has just gone" all "exits 4" out_empty "err_has 'no such device'"
        run report 02:00.0 --json
        check "no such device" all "exits 4" err_empty "json_is error.name org.pciresetd1.Error.NoSuchDevice"
        stop_world
        run report 01:00.0
        check "without the daemon" all "exits 0" err_empty no_secrets "out_has 'pciresetd cannot be reached'" \
                "out_has 'DevCap: FLReset+'" "out_lacks 'as proven'"
        run report 01:00.1
        check "a device that does not answer" all "exits 0" "out_has 'all bits are one'" "out_lacks 'DevCap: FLReset+'" \
                "out_has 'immediate_readiness    false'"
        run report 02:00.0
        check "without the daemon and without the device" all "exits 4" out_empty "err_has 'no such device'"
        "$JSON_GET" devices <"$here/report.json" | sed '1s/^/{"devices": /; $s/$/}/' >"$work/world.json"
        start_world "$work/world.json"
        run report 01:00.0
        check "a daemon without a history" all "exits 0" "out_has 'tells no history'"
}

"$here/make-sysfs.py" "$work/fixture" || { echo "Bail out! make-sysfs.py"; exit 1; }
echo 'BOOT_IMAGE=/vmlinuz root=UUID=1 pci=noaer iommu=pt luks.password=hunter2' >"$work/cmdline"
if ! mount --bind "$work/fixture" /sys || ! mount --bind "$work/cmdline" /proc/cmdline; then
        echo "Bail out! no mounts"
        exit 1
fi
start_world "$here/report.json"
test_text
test_json
test_with_serials
test_less

echo "1..$n"
[ "$failures" = 0 ]
