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
 *   {"version":1,"operation":"reset","job":7,"uid":1001,"method":"flr","settle_usec":0,
 *    "members":[{"address":"0000:01:00.0","inode":4711,"vendor":32902,"device":4307,"class":131072,
 *                "driver":"","must_be_disabled":false},…],
 *    "bridge":{…as a member…}}           the key is absent on a root bus
 *                                        (of the bridge only address, inode and ids are compared)
 * Events:
 *   {"event":"phase","phase":"resetting"}  the next thing is the write; nothing was written before it
 *   {"event":"phase","phase":"verifying"}  the write has returned
 *   {"event":"result","outcome":"done","why":"","errno":0,"verdict":"ok","written":true,
 *    "reset_method":"exact","started_usec":…,"finished_usec":…,"message":"",
 *    "checks":[{"device":"0000:01:00.0","check":"command","result":"ok","before":"0x0006","after":"0x0006"},…]}
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/address.h"
#include "shared/method.h"

#define WORKER_PROTOCOL_VERSION 1

#define WORKER_MEMBERS_MAX 512U
#define WORKER_CHECKS_MAX  (WORKER_MEMBERS_MAX * 16U)

#define WORKER_DRIVER_MAX  64U /* driver names, with NUL */
#define WORKER_VALUE_MAX   128U /* the values in a check, with NUL */
#define WORKER_MESSAGE_MAX 512U

/* Bounds of a line in bytes, newline included. Every request of WORKER_MEMBERS_MAX members fits into the
 * first. What the worker says of that many members is much longer: some 100 bytes for each of their checks,
 * up to 600 if the values are as long as they may be. */
#define WORKER_REQUEST_MAX (256U * 1024U)
#define WORKER_LINE_MAX    (6U * 1024U * 1024U)
#define WORKER_RECORD_MAX  (WORKER_REQUEST_MAX + WORKER_LINE_MAX + 4096U)

#define WORKER_SETTLE_MAX_USEC UINT64_C(60000000)

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
} WorkerMember;

typedef struct WorkerRequest {
        uint32_t job;
        uint32_t uid; /* who asked: goes into the record, decides nothing */
        char method[RESET_METHOD_NAME_MAX];
        uint64_t settle_usec; /* waited between the write and the verification */
        WorkerMember *members; /* the reset set; the first one is the target, whose `reset` is written */
        size_t n_members;
        WorkerMember bridge; /* the upstream bridge; valid if has_bridge */
        bool has_bridge;
} WorkerRequest;

typedef enum WorkerOutcome {
        WORKER_DONE, /* the write to `reset` succeeded */
        WORKER_FAILED, /* the write to `reset` failed, `error` says how */
        WORKER_REFUSED, /* nothing was reset: a precondition did not hold (`why`), or `reset_method` refused
                         * the method (`error`) */
        WORKER_GONE, /* nothing was reset: a member vanished or is another device now */
} WorkerOutcome;

/*
 * The reasons (`why`) that go with WORKER_REFUSED; all other outcomes have an empty one.
 *   denied          the peer is not one that the worker serves
 *   bad-request     the request is malformed, too long, or too slow in coming
 *   job-running     another worker lives for the same job
 *   record          the record could not be written
 *   driver-changed  a member is bound otherwise than requested
 *   in-use          a member must be disabled and is not
 *   tsm-bound       a member is assigned to a confidential guest
 *   set-changed     a member has a virtual function that is no member
 *   bridge          the target is a bridge
 *   dead            the target does not answer, so the kernel would save garbage and write it back; verdict:
 * dead unreadable      what must be known could not be read unsupported     there is no `reset` or
 * `reset_method` to write method-refused  `reset_method` did not take the method internal        out of
 * memory and the like `error` says more where there is more to say.
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
#define WORKER_WHY_DEAD           "dead"
#define WORKER_WHY_UNREADABLE     "unreadable"
#define WORKER_WHY_UNSUPPORTED    "unsupported"
#define WORKER_WHY_METHOD_REFUSED "method-refused"
#define WORKER_WHY_INTERNAL       "internal"

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
        char check[RESET_METHOD_NAME_MAX]; /* answers ids header command bars link aer driver */
        CheckResult result;
        char before[WORKER_VALUE_MAX];
        char after[WORKER_VALUE_MAX];
} WorkerCheck;

typedef struct WorkerResult {
        WorkerOutcome outcome;
        char why[RESET_METHOD_NAME_MAX]; /* machine-readable reason of a refusal, else empty */
        int error; /* a positive errno, 0 if none */
        Verdict verdict;
        bool written; /* the write to `reset` was begun, and the kernel did not turn it away as one to a
                       * device that is gone (outcome `gone`) */
        ListRestored reset_method;
        uint64_t started_usec; /* CLOCK_MONOTONIC just before the write to `reset`, 0 if not written */
        uint64_t finished_usec; /* and just after it returned */
        char message[WORKER_MESSAGE_MAX]; /* for people, may be empty */
        WorkerCheck *checks;
        size_t n_checks;
} WorkerResult;

typedef enum WorkerEventType {
        WORKER_EVENT_RESETTING,
        WORKER_EVENT_VERIFYING,
        WORKER_EVENT_RESULT,
} WorkerEventType;

/* Each parser takes one line without its newline. 0, -EBADMSG, or -ENOMEM. The caller frees what it gets.
 * `*ret_result` is NULL unless the type is WORKER_EVENT_RESULT. */
int worker_request_parse(const char *line, size_t length, WorkerRequest **ret);
int worker_event_parse(const char *line, size_t length, WorkerEventType *ret_type,
                       WorkerResult **ret_result);

/* Each formatter returns a line with its newline in a new string. 0, -ENOMEM, -EMSGSIZE for a line over its
 * bound, or -EINVAL for a request that the parser would refuse. Control characters and bytes that are not
 * UTF-8 come out as `?`, so that whatever a device or a driver is called, the line can be read. `result` may
 * be NULL unless the type is WORKER_EVENT_RESULT. */
int worker_request_format(const WorkerRequest *request, char **ret);
int worker_event_format(WorkerEventType type, const WorkerResult *result, char **ret);

WorkerRequest *worker_request_free(WorkerRequest *request);
WorkerResult *worker_result_free(WorkerResult *result);

const char *verdict_to_string(Verdict verdict); /* unverified ok degraded dead */
const char *check_result_to_string(CheckResult result); /* ok failed skipped */
const char *worker_outcome_to_string(WorkerOutcome outcome); /* done failed refused gone */
const char *list_restored_to_string(ListRestored restored); /* untouched exact reduced default lost */

/*
 * The record. WORKER_RECORD_DIR/<job>.json holds the request, the worker's pid and, from before the first
 * write on, the old `reset_method`; before it replies the worker adds the result. While it lives it holds an
 * exclusive flock() on <job>.lock beside it. A daemon that was restarted finds there what is still running
 * and what ended while nobody listened. A record without a result whose lock is free belongs to a worker
 * that was killed: what it did is unknown, and `saved_reset_method`, if there is one, was perhaps not put
 * back.
 *
 * The directory is made by the daemon (or its unit). The files are written by the worker alone (to a
 * temporary file <job>.tmp, then renamed over) and removed by the daemon once it has read the result: it
 * takes the lock first, then removes the record, then the lock file.
 *
 *   {"version":1,"pid":4242,"saved_reset_method":"flr bus"|null,"request":{…},"result":{…}|null}
 */
#define WORKER_RECORD_DIR "/run/pciresetd/jobs"

typedef struct WorkerRecord {
        uint32_t pid;
        bool has_saved_reset_method;
        char saved_reset_method[RESET_METHOD_LIST_STRING_MAX];
        WorkerRequest *request;
        WorkerResult *result; /* NULL while it runs, and for ever if the worker was killed */
} WorkerRecord;

int worker_record_parse(const char *text, size_t length, WorkerRecord **ret);
int worker_record_format(const WorkerRecord *record, char **ret);
WorkerRecord *worker_record_free(WorkerRecord *record);
