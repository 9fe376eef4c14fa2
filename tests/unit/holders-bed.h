/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The look at who uses devices, over trees of plain files that stand for /proc, /sys, /dev and /run.
 *
 * A descriptor in the fake /proc is a link, and what counts of it is the device number behind it: so devices
 * here have the numbers of /dev/null, /dev/zero and /dev/full. Claims, the machine's addresses and anonymous
 * descriptors are not in files; functions here stand for them, by the linker's --wrap.
 */

#include "unit.h"
#include "worker/holders-look.h"
#include "worker/scan.h"

#define A_NAME "0000:01:00.0"
#define B_NAME "0000:01:00.1"
#define A_PATH "devices/pci0000:00/" A_NAME
#define B_PATH "devices/pci0000:00/" B_NAME

extern char root[]; /* the directory of all trees */
extern HoldersRoots roots;
extern WorkerMember members[2]; /* the first one is there from the start */
extern WorkerRequest request; /* about it alone */
extern WorkerScan *scan; /* the last answer */

/* A case whose tests begin with an idle machine that has the first device. */
TCase *holders_case(Suite *suite, const char *name);

/* The caller frees it. */
char *textf(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- the trees; names are below the root ---- */

void put(const char *name, const char *text);
void link_to(const char *name, const char *target);
void make_directory(const char *name);
void take_away(const char *name);

/* The member at this index. */
void add_device(const char *name, const char *path, const char *class, size_t index);
/* Of the first device. */
void set_driver(const char *driver);
/* A device with a node: a directory below the member's, of a class. `number` ends with a newline; `node` is
 * below /dev, NULL: udev has made none. */
void add_class_device(const char *directory, const char *subsystem, const char *number, const char *node);
/* A block device, in /sys/class/block too. */
void add_block(const char *directory, const char *number, const char *node);
void add_partition(const char *directory, const char *number, const char *node);
void add_process(const char *pid, const char *command, const char *uid, const char *groups);

/* The first device is an NVMe disk with two partitions, */
#define DISK A_PATH "/nvme/nvme0/nvme0n1"
void add_disk(void);
/* or is in a group of VFIO, */
void add_vfio_group(void);
/* or some device has a network interface. */
void add_interface(const char *name, const char *directory, const char *flags);

/* ---- what stands for the kernel ---- */

extern const char *claimed; /* the path of a node that somebody has claimed, among blanks */
extern int claim_error; /* of all others */
extern unsigned n_claims; /* how often was one tried? */

/* What the file behind the descriptor 66 of any process says, and what reading its link does: 0: it is a
 * file. */
extern int stat_error, link_error;

extern int guest; /* what xen_guest_of() returns */

/* An address of the machine. */
typedef struct Address {
        const char *interface;
        const char *text;
        unsigned bits;
} Address;

void set_addresses(const Address *list, size_t n);

/* ---- asking ---- */

/* Looks, whatever becomes of it. */
void look_with(HoldersClaims *claims);
/* The look succeeds, */
void look(void);
/* and gives these holders, as one text, in order: `kind what;`, */
void expect(const char *wanted);
/* or fails. */
void expect_failure(int error, const char *message);
