/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The ids of journal messages (sd_journal_send's MESSAGE_ID). They never change their meaning: scripts match
 * on them, and systemd/pciresetd.catalog explains each.
 */

#define MESSAGE_ID_REQUESTED  "da6b14f0322f47eb93a58c608296bcd6" /* somebody asked for a reset */
#define MESSAGE_ID_AUTHORIZED "6a86fa99bee44a97895fd727aef3ea92" /* polkit allowed a method */
#define MESSAGE_ID_DENIED                                                                                   \
        "c002b54d40f64c339f2dc425fed23f6a" /* polkit refused a method, or could not be asked */
#define MESSAGE_ID_STARTED  "8f199ce7b6cd437ca18113e79890b6d3" /* the worker is about to write */
#define MESSAGE_ID_FINISHED "1e0849b671b3456b990ae567c73187df" /* a reset ended, well or not */
#define MESSAGE_ID_NOREPLY  "e29617eb02dc478b81997ffc2987e3ca" /* a call without reply was dropped */
#define MESSAGE_ID_EVENTS_LOST                                                                              \
        "849a3b49fe6a4f53b64920ebf4d06fe9" /* udev events were lost, all was read again */
#define MESSAGE_ID_ADOPTED "93c479026e6446059ef8777d515fd6e2" /* a reset of an earlier daemon still runs */
#define MESSAGE_ID_LEFT_BEHIND                                                                              \
        "4f49c178135c48ad92429a13181ed356" /* a worker ended that nobody heard out                          \
                                            */
#define MESSAGE_ID_INTERRUPTED                                                                              \
        "a7e0c1be5d0c4f83a6c13a1c31f7b6d4" /* the machine went down in the middle of a reset */
#define MESSAGE_ID_LEFT_OUT "0d4fd5f0a5ea4a5d9a1f1de6b7c38e52" /* the journal did not take entries */
#define MESSAGE_ID_NOT_MENDED                                                                               \
        "63b1d5b0a0f64f0fa6c4b0c14c2d7e95" /* a worker died and what it changed is not put back */
#define MESSAGE_ID_WORKER_FAILED                                                                            \
        "29337e5f079a408c9f03101fc44b4d65" /* a worker could not be used or ended badly */
#define MESSAGE_ID_POLICY_REFUSED                                                                           \
        "a580cb2c7d0d4acabcee9be9f87e8250" /* a policy file is not right: the daemon does not start */
#define MESSAGE_ID_POLICY_LOADED "b3c7c31ad43a4c4a9f3a8b6f2d1f0c57" /* a policy holds from now on */
#define MESSAGE_ID_POLICY_KEPT                                                                              \
        "9d7be0f54c8a4f3e8b0a5b7d3c1e6f24" /* a policy that was read again is not right */
#define MESSAGE_ID_POLICY_CHANGED "e2a4c6d80b1f4e7795c3a1f0d8b6e453" /* a rule was set or taken away */
#define MESSAGE_ID_ORDERED        "c84d6e0f7a2b4d1596b3f0e8d7c5a219" /* reset_method follows a rule */
#define MESSAGE_ID_WORKAROUND                                                                               \
        "0f6f3b7c4f5f4a0d8b7a5e0c9d2e6a18" /* a rule's order is followed instead of the device's own */
#define MESSAGE_ID_QUARANTINED                                                                              \
        "71d08b3a45da4e729c6f8bc464b028a1" /* a device is given to nobody from now on */
#define MESSAGE_ID_UNQUARANTINED                                                                            \
        "ab6719a45dad47eeb13913bec72cf86b" /* and now it may be given away again                            \
                                            */
#define MESSAGE_ID_DEVICE_ERROR "68c2c4cb30984ce695a859badc2c6041" /* the kernel has announced an error */
#define MESSAGE_ID_ERROR_LOOK                                                                               \
        "a54e4ed28d50436782ddd0486fa4845f" /* how a device is after an error, as was found by looking */
#define MESSAGE_ID_KEPT_OFF                                                                                 \
        "3d9b5f0c7a1e4c62a8f47e20d6b1c953" /* drivers are kept off a device, or not any more */
#define MESSAGE_ID_QUARANTINE_STORE                                                                         \
        "9c5a8a640ce14470b545a2b036e9a296" /* a quarantine cannot be stored, or was not read */
#define MESSAGE_ID_RELEASE_WAITS                                                                            \
        "ceb9ac0863984509b7e18fe3b1117f18" /* a device that was let go cannot be reset yet */
#define MESSAGE_ID_LEASE_TAKEN    "44fe8df151c542daba06053e0b4dc917" /* somebody has a lease now */
#define MESSAGE_ID_LEASE_RELEASED "fab2e094bf0f401789409f7727a1bb05" /* a lease has ended */
#define MESSAGE_ID_INHIBITED      "5bd86ec9898e4225a28daee187d2d4c3" /* somebody forbids or delays resets */
#define MESSAGE_ID_UNINHIBITED    "c2890a28c9434cd2a73d7f514e17611e" /* and does so no more */
#define MESSAGE_ID_HISTORY_ASIDE                                                                            \
        "99a522d433ba401fbbc44ce5aa07a259" /* the history was damaged and put aside, or has vanished */
#define MESSAGE_ID_HISTORY_UNWRITABLE                                                                       \
        "c5eccfce8cac471898ec7112c8c5f7b0" /* the history cannot be written, rows are kept in memory */
#define MESSAGE_ID_HISTORY_WRITABLE "5f4f1e20ad1248e48f8e83e789b6b2f5" /* and now it can again */
#define MESSAGE_ID_HISTORY_LOST                                                                             \
        "f34a52190b2c4634b1c75dec99ef77ee" /* rows are not in the history and never will be */
#define MESSAGE_ID_HISTORY_IMPORTED                                                                         \
        "054d9da48c174843a3d02112c19f3006" /* somebody else's rows are in the history now */
