/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Quarantine: devices that are given to nobody, since a reset has left them dead or changed, or since
 * somebody in charge has said so.
 *
 * A device goes in by the verdict of a reset or by hand, and comes out by a reset that is proved to have put
 * it right, or by hand. In between there is no lease on it, and whoever wants to reset it, or something
 * together with it, has to be authorised for that (ACTION_QUARANTINE).
 *
 * It outlasts the daemon and the machine's restart, so a device is known by the port that it is in, which
 * keeps its name when buses are numbered anew, by its ids, and by its serial number. That is read by workers
 * as long as it answers: of every reset's devices before the reset, and of what is found where a quarantine
 * was begun. A card whose number is another one is not in it, and the quarantine waits for the first one to
 * come back. Where either number is not known the card cannot be told from its twin: then it stays, until
 * somebody says that it may end.
 *
 * A number alone lets nobody out: a card that has lost its firmware has another one, and so has one whose
 * memory a guest has written. So the device that was put in is pinned, by its directory's inode and the boot
 * in which it has that, and as long as it has not left its slot it stays, whatever it reads. After a reboot
 * nobody knows what was done to the slot in between: what is there then is pinned, too.
 */

#include "daemon/domain/claim.h"
#include "daemon/domain/registry.h"
#include "shared/method.h"
#include "shared/worker-protocol.h"

#define QUARANTINE_PORT_MAX   160U /* with NUL, as all of these */
#define QUARANTINE_REASON_MAX 256U
#define QUARANTINE_CHECKS_MAX 16U
#define QUARANTINE_BOOT_MAX   33U
/* Those of devices that are not there; the oldest make room for new ones. */
#define QUARANTINES_ABSENT_MAX 512U

typedef enum QuarantineCause {
        QUARANTINE_DEAD, /* it did not answer */
        QUARANTINE_DEGRADED, /* it answers, and is not as it was before its reset */
        QUARANTINE_REQUESTED, /* somebody in charge said so */
        QUARANTINE_UNCLEAN, /* its last user has let go of it, and it could not be reset since */
        QUARANTINE_UNREADABLE, /* it is known that there was a reason, and no more: its record is damaged */
        QUARANTINE_ERROR, /* the kernel has announced an error (error-events.h) */
} QuarantineCause;

typedef struct QuarantineRecord {
        char port[QUARANTINE_PORT_MAX]; /* quarantine_port() */
        ClaimDevice device; /* the address is the last one that it had */
        QuarantineCause cause;
        char reason[QUARANTINE_REASON_MAX]; /* for people, one line */
        char method[RESET_METHOD_NAME_MAX]; /* the reset that left it so, empty: none */
        uint32_t uid; /* who asked for that reset, or put it in */
        uint64_t since; /* CLOCK_REALTIME, microseconds */
        WorkerCheck
                checks[QUARANTINE_CHECKS_MAX]; /* of this device, by that reset; failed ones first, and
                                                * after them what the kernel has said (WORKER_LOG_CHECK) */
        size_t n_checks;
        char serial[WORKER_SERIAL_MAX]; /* of the device, empty: not known */
        char driver[WORKER_DRIVER_MAX]; /* that a reset has taken off and left off, empty: none */
        char boot_id[QUARANTINE_BOOT_MAX]; /* in which it was pinned last, empty: never */
        uint64_t inode; /* of the directory of the device that was, 0: none was there */
} QuarantineRecord;

/* In a device: which one it is in. */
typedef struct Quarantine {
        QuarantineRecord record;
        uint64_t id; /* that no other one of this daemon's has, never 0 */
        uint32_t job; /* of this daemon, that found it; 0: none */
        uint64_t generation; /* of the device with which it began, 0: under another daemon */
        uint64_t pinned; /* of the device that is in it whatever its number is, 0: none */
        bool wants_lines; /* nobody has asked yet what the kernel has said */
        struct Quarantine *prev, *next;
} Quarantine;

typedef enum QuarantineEvent {
        QUARANTINE_BEGUN,
        QUARANTINE_CHANGED, /* there is worse to tell about the device */
        QUARANTINE_IDENTIFIED, /* its serial number is known now */
        QUARANTINE_EVIDENCE, /* what the kernel has said about the device is among the checks now */
        QUARANTINE_PINNED, /* to what is in its place, or that there is nothing */
        QUARANTINE_PROVED_WELL, /* over, by a verified reset */
        QUARANTINE_RELEASED, /* over, by hand */
        QUARANTINE_DROPPED, /* of a device that is not there, to make room */
} QuarantineEvent;

typedef struct QuarantineListener {
        /* The record, as it is to be kept, or as it was before it ended. */
        void (*event)(void *userdata, const QuarantineRecord *record, QuarantineEvent event);
        void *userdata;
} QuarantineListener;

typedef struct Quarantines Quarantines;

int quarantines_new(Registry *registry, Quarantines **ret);
Quarantines *quarantines_free(Quarantines *quarantines);
/* Copied; NULL ends listening. The registry's listener is told of the devices. */
void quarantines_set_listener(Quarantines *quarantines, const QuarantineListener *listener);

/* Quarantine.id of the one that the device is in, 0: none. */
uint64_t quarantine_id(const Device *device);

/* Iterates in the order in which they began. */
const Quarantine *quarantines_next(const Quarantines *quarantines, const Quarantine *quarantine);

/* One of an earlier daemon. Not told to the listener. 0, -EEXIST if there is one of that device already,
 * -ENOMEM. */
int quarantines_restore(Quarantines *quarantines, const QuarantineRecord *record);

/* Once, when all devices and all of those are known: in the boot with this id (copied). Whatever is in one
 * of the same boot is pinned if it is the same directory still; in one of another boot, all that is there
 * is. */
void quarantines_pin(Quarantines *quarantines, const char *boot_id);

/* What is found in `record` but the device's names and port, which are filled in. `job` as in Quarantine. A
 * device that is in already stays for its first reason, unless it is dead now and was not before, or there
 * is more to tell of the same error: returns -EEXIST then, else 0 or -ENOMEM. */
int quarantines_begin(Quarantines *quarantines, Device *device, const QuarantineRecord *record,
                      uint32_t job);

/* Adds to the reason of one that was found to be necessary, unless it is said already: all that can be done
 * from here was done in vain. -ENOENT if the device is in none of that kind. */
#define QUARANTINE_NEEDS_POWER_CYCLE "it needs a cold power cycle"
int quarantines_add_reason(Quarantines *quarantines, Device *device, const char *reason);

/* One that is there by what was found, and of which nobody has asked yet what the kernel has said about the
 * device; NULL: there is none. It is not given again before there is more to tell. */
Device *quarantines_take_silent(Quarantines *quarantines);

/* Keeps what the kernel has said about it: the lines (WORKER_LOG_CHECK) of a worker's operation `log`, as
 * far as there is room beside the checks that failed. Whatever else the worker says is left out. -ENOENT if
 * it is not in quarantine, or nothing was said. */
int quarantines_add_lines(Quarantines *quarantines, Device *device, const WorkerResult *result);

/* Ends it, as `event` says. -ENOENT if the device is in none. */
int quarantines_end(Quarantines *quarantines, Device *device, QuarantineEvent event);

/* device->serial is known: it may be another device than the one that was meant, or that one. What is pinned
 * stays, and that its number is another one is added to the reason. */
#define QUARANTINE_OTHER_SERIAL                                                                             \
        "its Device Serial Number is another one now, and it was not seen to leave its slot"
void quarantines_identify(Quarantines *quarantines, Device *device);

/* Whether the device has not left its quarantine's slot, as far as anybody has seen. */
bool quarantine_is_pinned(const Device *device);

/* Whether drivers are to be kept off what is in it: not if a reset has said nothing against it. */
bool quarantine_keeps_drivers_off(const QuarantineRecord *record);

/* A device has appeared: it may be one that was in. */
void quarantines_device_added(Quarantines *quarantines, Device *device);

/* The device's place in the tree, without bus numbers but the first: "0000:00:1c.4/00.0/01.0"; a virtual
 * function's is its distance from its physical function's, "0000:00:1c.4/00.0+0x80". Empty if it is not
 * known (yet), or does not fit. Returns `port`. */
const char *quarantine_port(const Device *device, char port[static QUARANTINE_PORT_MAX]);

/* `dead`, `degraded`, `requested`, `unclean`, `unreadable`, `error` */
const char *quarantine_cause_to_string(QuarantineCause cause);
#define QUARANTINE_CAUSES 6U
extern const char *const quarantine_cause_names[QUARANTINE_CAUSES];

/* What a worker's result says of one member of a job, to be put in. Returns true if that is a reason, in
 * which case cause, reason, method and checks are filled in. */
bool quarantine_judge(const WorkerResult *result, const char *method, const PciAddress *member,
                      QuarantineRecord *ret);
