/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What the daemon and pcireset-worker say to each other.
 *
 * One connected stream socket per request. The daemon sends one line of JSON, the request. The worker
 * answers with lines of JSON: any number of `phase` events, then exactly one `result`, then it exits. The
 * end of the connection without a result means that the worker died; what it did is then unknown.
 *
 * Both ends are written here, so that the format has one owner. Neither end trusts the other: a parser
 * accepts exactly what the formatter of the same version can produce (every key present, of the right type,
 * within its bounds, none unknown, none twice) and refuses everything else with -EBADMSG.
 *
 * Request:
 *   {"version":2,"operation":"reset","job":7,"uid":1001,"method":"flr","settle_usec":0,"retry_usec":0,
 *    "allow_held":false,"driver":"keep","slot":"","n_fds":0,"owners":false,
 *    "members":[{"address":"0000:01:00.0","inode":4711,"vendor":32902,"device":4307,"class":131072,
 *                "driver":"","must_be_disabled":false},…],
 *    "bridge":{…as a member…}}           the key is absent on a root bus
 *                                        (of the bridge only address, inode and ids are compared)
 * With "queued_at" and "started_at", both or none, the record tells the next daemon how old the job is:
 * CLOCK_REALTIME, microseconds.
 *
 * With "n_fds" over 0 so many descriptors come along with the line's first byte (SCM_RIGHTS): VFIO groups.
 *
 * The operation `scan` writes nothing and leaves no record. It takes the same request; its method is "scan",
 * and of the members only address and inode count. It answers with one `scan` event in place of the result.
 *
 * The operation `order` has `reset_method` read what the policy wants, without a reset; it leaves no record
 * either. Its method is "order", it has one member, and one more key: "list":"flr bus", which may be empty.
 * Of the result the outcome (`done`, `failed`, `gone`), `errno`, `message` and `reset_method` mean
 * something.
 *
 * The operation `health` looks whether the members are healthy, without a reset and without a record
 * (worker/checkup.h). Its method is "health"; of the members only address, inode and ids count, and the
 * bridge may be there or not. Of the result the outcome (`done`, `failed`, `gone`), `errno`, `message`, the
 * verdict and the checks mean something.
 *
 * The operation `mend` comes after a worker that was killed. It takes the request of that one, whose record
 * it takes over, puts back what was changed and is saved there, and looks at the devices. Its result has the
 * outcome `failed` with the reason `worker-died`: nobody knows whether a reset was written. The checks tell
 * how the devices are, and the verdict is dead, degraded or unverified. Or the outcome is `gone`, if the
 * target is not there any more. One more key, "machine_stopped":true, says that it was the machine that went
 * down in the middle: then there is no record, and the reason is `machine-stopped`.
 *
 * The operation `hold` is about a device in quarantine: it reads its serial number and keeps drivers off it,
 * or lets them at it again (worker/keep-off.h); it leaves no record. Its method is "hold", it has one
 * member, and two more keys: "action":"look", "keep" or "release", and "serial", the serial number of the
 * card that is meant, empty: any. Of the result the outcome (`done`, `failed`, `gone`), `errno`, `message`,
 * `written` (the override was changed), `override` and `serials` mean something.
 *
 * The operation `log` finds out what the kernel has said about its one member, without a record
 * (worker/kernel-lines.h). Its method is "log"; the bridge may be there or not. Of the result the outcome
 * (`done`, `failed`), `errno`, `message` and the checks mean something.
 *
 * A member that may leave quarantine by this reset has one more key: "hand_back":"igb", the driver that is
 * to be bound to it again once it is proved to be well, empty: none.
 *
 * A result has `images` of the members and the bridge: how they were before this method. The request for the
 * next method of the same job has the first one of each, so that what an earlier method has changed is not
 * taken for how a device is to be (worker/image.h).
 *
 * Events:
 *   {"event":"phase","phase":"resetting"}  the next thing is the write; nothing was written before it
 *   {"event":"phase","phase":"verifying"}  the write has returned
 *   {"event":"result","outcome":"done","why":"","errno":0,"verdict":"ok","written":true,
 *    "reset_method":"exact","started_usec":…,"finished_usec":…,"message":"",
 *    "checks":[{"device":"0000:01:00.0","check":"command","result":"ok","before":"0x0006","after":"0x0006"},…],
 *    "holders":[{"device":"0000:01:00.0","kind":"process","pid":812,"uid":1000,"command":"qemu","unit":"",
 *                "what":"/dev/dri/card0","truncated":false},…]}
 *   {"event":"scan","errno":0,"message":"","uses":[…],"holders":[…]}
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/address.h"
#include "shared/holder.h"
#include "shared/method.h"
#include "shared/worker-scan.h"

#define WORKER_PROTOCOL_VERSION 2

#define WORKER_MEMBERS_MAX 512U
#define WORKER_CHECKS_MAX  (WORKER_MEMBERS_MAX * 16U)

#define WORKER_DRIVER_MAX  64U /* driver names, with NUL */
#define WORKER_VALUE_MAX   128U /* the values in a check, with NUL */
#define WORKER_MESSAGE_MAX 512U

/* Bounds of a line in bytes, newline included. Every request of WORKER_MEMBERS_MAX members fits into the
 * first. What the worker says of that many members is much longer: some 100 bytes for each of their checks,
 * up to 600 if the values are as long as they may be. */
#define WORKER_REQUEST_MAX (768U * 1024U)
#define WORKER_LINE_MAX    (6U * 1024U * 1024U)
#define WORKER_RECORD_MAX  (WORKER_REQUEST_MAX + WORKER_LINE_MAX + WORKER_SAVED_MAX + 4096U)
/* What the record has of settings: a list and the name of a driver for each member, and the keys. */
#define WORKER_SAVED_MAX (WORKER_MEMBERS_MAX * (RESET_METHOD_LIST_STRING_MAX + WORKER_DRIVER_MAX + 64U))

#define WORKER_SETTLE_MAX_USEC UINT64_C(60000000)
#define WORKER_RETRY_MAX_USEC  UINT64_C(60000000)

#define WORKER_SLOT_MAX 32U /* the name of a slot, with NUL */
#define WORKER_FDS_MAX  16U

#define WORKER_SCAN_METHOD   "scan"
#define WORKER_ORDER_METHOD  "order"
#define WORKER_HEALTH_METHOD "health"
#define WORKER_HOLD_METHOD   "hold"
#define WORKER_LOG_METHOD    "log"

/* What stands among the checks of a device in quarantine and is none: a line of the kernel's. */
#define WORKER_LOG_CHECK     "log"
#define WORKER_LOG_LINES_MAX 6U

/* What `driver_override` begins with where drivers are kept off; what it was before follows. */
#define WORKER_OVERRIDE_PREFIX "pciresetd-quarantine:"
/* Where a file with a device's address as its name says that this was done to it in this boot, with the
 * inode number of the directory that the device had. */
#define WORKER_KEPT_OFF_DIR "/run/pciresetd/kept-off"

/* A Device Serial Number (PCI Express extended capability 3), as lspci writes it, with NUL. */
#define WORKER_SERIAL_MAX 24U

/* A device as the daemon pinned it before it asked for authorisation. The worker opens the device's
 * directory itself and refuses (outcome `gone`) unless the inode number, which kernfs never gives to a
 * second node while the first is held open, and the ids are these. */
typedef struct WorkerMember {
        PciAddress address;
        uint64_t inode;
        uint16_t vendor;
        uint16_t device;
        uint32_t class; /* 24 bits, as `class` in sysfs */
        char driver[WORKER_DRIVER_MAX]; /* the driver bound now must have this name; empty: no driver */
        bool must_be_disabled; /* `enable` in sysfs must read 0: no VFIO user has it open */
        bool may_hand_back; /* drivers were kept off it, and may be let at it once it is proved to be well;
                             */
        char hand_back[WORKER_DRIVER_MAX]; /* and this one is bound then; empty: none */
} WorkerMember;

/* How a device was before a reset. */
#define WORKER_IMAGE_BARS 8U
typedef struct WorkerImage {
        PciAddress address;
        uint64_t inode; /* of the directory it had then */
        bool answers; /* if not, nothing of the rest is known */
        uint16_t vendor, device;
        uint32_t subsystem;
        uint8_t header_type;
        uint32_t class_revision;
        uint16_t command;
        uint32_t bars[WORKER_IMAGE_BARS];
        size_t n_bars;
        bool has_link;
        unsigned link_speed, link_width;
        bool link_reports_active, link_active;
        char driver[WORKER_DRIVER_MAX]; /* that was bound when the registers were read, empty: none */
        char probe[WORKER_VALUE_MAX]; /* how its driver found it working, empty: it did not, or cannot say */
} WorkerImage;

typedef enum WorkerOperation {
        WORKER_RESET,
        WORKER_SCAN,
        WORKER_ORDER,
        WORKER_HEALTH,
        WORKER_MEND,
        WORKER_HOLD,
        WORKER_LOG,
} WorkerOperation;

typedef enum WorkerHold {
        HOLD_LOOK, /* nothing is written */
        HOLD_KEEP, /* drivers are kept off, if none is bound, and if it is the card that is meant */
        HOLD_RELEASE, /* and not any more */
} WorkerHold;

/* What is done with a host driver that does not know resets (driver/unbind before, driver/bind after). */
typedef enum WorkerDriver {
        WORKER_DRIVER_KEEP, /* every driver stays bound */
        WORKER_DRIVER_REBIND, /* of each member that has a driver which is neither aware of resets nor
                               * assignable it is taken off before the reset and put back after the
                               * verification */
} WorkerDriver;

typedef struct WorkerRequest {
        WorkerOperation operation;
        uint32_t job;
        uint32_t uid; /* who asked: goes into the record, decides nothing */
        uint64_t queued_at, started_at; /* CLOCK_REALTIME, microseconds, and so do these; 0: not told */
        char method[RESET_METHOD_NAME_MAX];
        uint64_t settle_usec; /* waited between the write and the verification */
        uint64_t retry_usec; /* how long a method whose locks are taken (EAGAIN) is tried again */
        bool allow_held; /* soft holders (shared/holder.h) were authorised; hard ones never are */
        WorkerDriver driver;
        char slot[WORKER_SLOT_MAX]; /* below /sys/bus/pci/slots, for the method `slot`, else empty */
        ResetMethodList list; /* for the operation `order`, else empty */
        WorkerHold action; /* for the operation `hold`, and so is the next */
        char serial[WORKER_SERIAL_MAX];
        unsigned n_fds; /* VFIO groups that come with the request, for the method `vfio_hot` */
        bool owners; /* of a scan: owners are asked for, which on older kernels waits for resets of others */
        bool machine_stopped; /* for the operation `mend`: the reset was under way in an earlier boot */
        WorkerMember *members; /* the reset set; the first one is the target, whose `reset` is written */
        size_t n_members;
        WorkerMember bridge; /* the upstream bridge; valid if has_bridge */
        bool has_bridge;
        WorkerImage *images; /* of members and the bridge, before the first method of the job */
        size_t n_images;
} WorkerRequest;

typedef enum WorkerOutcome {
        WORKER_DONE, /* the write to `reset` succeeded */
        WORKER_FAILED, /* the write to `reset` failed, `error` says how */
        WORKER_REFUSED, /* nothing was reset: a precondition did not hold (`why`), or `reset_method` refused
                         * the method (`error`) */
        WORKER_GONE, /* nothing was reset: a member vanished or is another device now */
} WorkerOutcome;

/*
 * The reasons (`why`) that go with WORKER_REFUSED; all other outcomes have an empty one, but for what a
 * worker says that came after one that died (WORKER_WHY_DIED).
 *   denied          the peer is not one that the worker serves
 *   bad-request     the request is malformed, too long, or too slow in coming
 *   job-running     another worker lives for the same job
 *   record          the record could not be written
 *   driver-changed  a member is bound otherwise than requested
 *   in-use          a member must be disabled and is not
 *   tsm-bound       a member is assigned to a confidential guest
 *   set-changed     a member has a virtual function that is no member
 *   bridge          the target is a bridge
 *   held            a member has holders that were not authorised; `holders` of the result tells who
 *   not-vfio        a member is not bound to a VFIO driver, or its group is neither presented nor free
 *   no-slot         the slot is not there, or not the one of the target
 *   locked          somebody else held a lock that the kernel needs, as long as it was tried
 *   unbind          a driver could not be taken off; those taken off before are back
 *   dead            the target does not answer, so the kernel would save garbage and write it back
 *   unreadable      what must be known could not be read
 *   unsupported     what would have to be written is not there
 *   method-refused  `reset_method` did not take the method
 *   internal        out of memory and the like
 *
 * With `dead` the verdict is dead. `error` says more where there is more to say.
 */
#define WORKER_WHY_DENIED         "denied"
#define WORKER_WHY_BAD_REQUEST    "bad-request"
#define WORKER_WHY_BUSY           "job-running"
#define WORKER_WHY_RECORD         "record"
#define WORKER_WHY_DRIVER         "driver-changed"
#define WORKER_WHY_ENABLED        "in-use"
#define WORKER_WHY_TSM            "tsm-bound"
#define WORKER_WHY_SET            "set-changed"
#define WORKER_WHY_BRIDGE         "bridge"
#define WORKER_WHY_HELD           "held"
#define WORKER_WHY_NOT_VFIO       "not-vfio"
#define WORKER_WHY_NO_SLOT        "no-slot"
#define WORKER_WHY_LOCKED         "locked"
#define WORKER_WHY_UNBIND         "unbind"
#define WORKER_WHY_DEAD           "dead"
#define WORKER_WHY_UNREADABLE     "unreadable"
#define WORKER_WHY_UNSUPPORTED    "unsupported"
#define WORKER_WHY_METHOD_REFUSED "method-refused"
#define WORKER_WHY_INTERNAL       "internal"

/* Nobody knows whether a reset was written. */
#define WORKER_WHY_DIED    "worker-died"
#define WORKER_WHY_STOPPED "machine-stopped"

typedef enum Verdict {
        VERDICT_UNVERIFIED, /* nothing was proved */
        VERDICT_OK, /* every check of every member passed or did not apply */
        VERDICT_DEGRADED, /* the device answers, but is not as it was before */
        VERDICT_DEAD, /* the device does not answer */
} Verdict;

typedef enum CheckResult {
        CHECK_OK,
        CHECK_FAILED,
        CHECK_SKIPPED, /* does not apply to this device, or the worker may not read what it needs */
} CheckResult;

/* What became of the method list that was in `reset_method` before the reset. */
typedef enum ListRestored {
        LIST_UNTOUCHED, /* nothing had to be put back: it was not changed, or somebody else has written a
                         * newer one since, which stays */
        LIST_EXACT, /* the old list is back */
        LIST_REDUCED, /* the old list without the names that the kernel refuses now */
        LIST_DEFAULT, /* the kernel's default, since it refused everything else */
        LIST_LOST, /* could not be written, or is gone together with the device */
} ListRestored;

typedef struct WorkerCheck {
        PciAddress device;
        char check[RESET_METHOD_NAME_MAX]; /* answers ids header command bars link aer driver probe eeh log */
        CheckResult result;
        char before[WORKER_VALUE_MAX];
        char after[WORKER_VALUE_MAX];
} WorkerCheck;

/* Of a member that has one: which card it is. Nobody but root is told. */
typedef struct WorkerSerial {
        PciAddress device;
        char serial[WORKER_SERIAL_MAX];
} WorkerSerial;

typedef struct WorkerResult {
        WorkerOutcome outcome;
        char why[RESET_METHOD_NAME_MAX]; /* machine-readable reason of a refusal, else empty */
        int error; /* a positive errno, 0 if none */
        Verdict verdict;
        bool written; /* the write to `reset` was begun, and the kernel did not turn it away as one to a
                       * device that is gone (outcome `gone`) */
        ListRestored reset_method;
        unsigned n_tries; /* how often the kernel was asked: more than once if locks were taken; 0: never */
        uint64_t started_usec; /* CLOCK_MONOTONIC just before the write to `reset`, 0 if not written */
        uint64_t finished_usec; /* and just after it returned */
        char message[WORKER_MESSAGE_MAX]; /* for people, may be empty */
        char firmware[WORKER_VALUE_MAX]; /* the target's, as its driver tells; empty: it does not */
        WorkerCheck *checks;
        size_t n_checks;
        Holder *holders; /* who was in the way of a refused reset */
        size_t n_holders;
        WorkerSerial *serials;
        size_t n_serials;
        WorkerImage *images; /* of the members and the bridge, if they were looked at */
        size_t n_images;
        char override[WORKER_DRIVER_MAX]; /* of the operation `hold`: what `driver_override` reads in the
                                           * end, empty: nothing, or it is not known */
} WorkerResult;

typedef enum WorkerEventType {
        WORKER_EVENT_RESETTING,
        WORKER_EVENT_VERIFYING,
        WORKER_EVENT_RESULT,
        WORKER_EVENT_SCAN,
} WorkerEventType;

typedef struct WorkerEvent {
        WorkerEventType type;
        WorkerResult *result; /* owned; NULL unless it is a result */
        WorkerScan *scan; /* owned; NULL unless it is a scan */
} WorkerEvent;

/* Each parser takes one line without its newline. 0, -EBADMSG, or -ENOMEM. The caller frees what it gets. */
int worker_request_parse(const char *line, size_t length, WorkerRequest **ret);
int worker_event_parse(const char *line, size_t length, WorkerEvent *ret);

/* Each formatter returns a line with its newline in a new string. 0, -ENOMEM, -EMSGSIZE for a line over its
 * bound, or -EINVAL for a request that the parser would refuse. Control characters and bytes that are not
 * UTF-8 come out as `?`, so that whatever a device or a driver is called, the line can be read. */
int worker_request_format(const WorkerRequest *request, char **ret);
int worker_event_format(const WorkerEvent *event, char **ret);

/* The image of this device, NULL: there is none. */
const WorkerImage *worker_image_find(const WorkerImage *images, size_t n, const PciAddress *address);

WorkerRequest *worker_request_free(WorkerRequest *request);
WorkerResult *worker_result_free(WorkerResult *result);

const char *verdict_to_string(Verdict verdict); /* unverified ok degraded dead */
const char *check_result_to_string(CheckResult result); /* ok failed skipped */
const char *worker_outcome_to_string(WorkerOutcome outcome); /* done failed refused gone */
const char *list_restored_to_string(ListRestored restored); /* untouched exact reduced default lost */
