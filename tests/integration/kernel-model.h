/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* clang-format off */
/*
 * Where the kernel model (kernel-model.c) and the tests meet: a folder of knobs and one log.
 *
 * Knobs, all optional, in KERNEL_MODEL_DIR/<address>/. A knob for one method, `name.<method>`, comes before
 * the knob for all of them.
 *   supported          the methods that a write to `reset_method` accepts, and what `default` stores
 *   errno[.<method>]   the reset fails with this errno, in decimal
 *   after[.<method>]/  attributes that a successful reset replaces: dead devices, lost links, cleared
 *                      registers; of a device that is found again, too (methods `slot` and `rescan`), so
 *                      that with another `vendor` it is a stranger
 *   gate               the reset goes on once nobody else holds an exclusive flock() on this file; so does
 *                      a removal of the device, a scan below this bridge, switching this slot on
 *   busy               held exclusively while a reset runs: reads of `config` and the like wait for it
 *   list-gate          the same for writes to `reset_method`; not there unless a test makes it
 *   list-errno         "SKIP ERRNO": after SKIP more writes, `reset_method` refuses every write
 *   again              so many writes to `reset_subordinate` of this bridge fail with EAGAIN before
 *   errno.subordinate  and then with this errno
 *   unbind-errno, bind-errno   writes of this address to a driver's `unbind` and `bind` fail so
 *   rescan-errno       a scan below this bridge fails so
 *   lost               1: once removed, the device is not found again
 *   late               so many scans do not find it
 *   autoprobe          the driver that is bound to the device when it is found again
 *
 * Of a slot, in KERNEL_MODEL_DIR/<name>/:
 *   bridge             the bridge whose bus its devices are on
 *   off-errno, on-errno   switching it fails so
 *
 * The log KERNEL_MODEL_LOG has one line for each thing that happened. INODE is the device's directory, so
 * that a successor at the same address can be told apart; USEC is CLOCK_MONOTONIC.
 *   begin ADDRESS INODE PID USEC          a valid write to `reset` has arrived
 *   method ADDRESS INODE PID USEC NAME ERRNO
 *   end ADDRESS INODE PID USEC ERRNO
 *   listing ADDRESS INODE PID USEC        a write to `reset_method` has come to its gate
 *   list ADDRESS INODE PID USEC ERRNO NAMES   a write to `reset_method`, blanks in NAMES kept
 *   unbind, bind ADDRESS INODE PID USEC DRIVER ERRNO
 *   override ADDRESS INODE PID USEC DRIVER
 *   keep-off ADDRESS INODE PID USEC DRIVER   the same, to keep drivers off or to let them in
 *   power SLOT INODE PID USEC 0|1 ERRNO
 *   removing ADDRESS INODE PID USEC       a write to `remove` has come to its gate
 *   removed, found ADDRESS INODE PID USEC METHOD   a device has gone, a device has come
 *   rescan ADDRESS INODE PID USEC ERRNO            below this bridge
 *   bad ADDRESS INODE PID USEC NAME       a write of nonsense, or to something that is never written
 *   touch ADDRESS INODE PID USEC NAME COMM  something was opened whose reading can hang during a reset
 */
/* clang-format on */

#define KERNEL_MODEL_DIR "/run/kernel-model"
#define KERNEL_MODEL_LOG KERNEL_MODEL_DIR "/log"
