/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Reset methods: their names, their scope, and the aliases a caller may use instead of a name.
 *
 * The kernel's names come from `reset_method` in sysfs (drivers/pci/pci.c, pci_reset_fn_methods). A name
 * that this program does not know stays an opaque string of unknown scope: it is shown, and never run, since
 * without its scope nobody can say which devices it would disturb.
 *
 * Beside the kernel's there are ours, which the kernel offers by other ways than `reset_method`.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The kernel knows seven methods and its array holds eight; the room beyond that is for newer kernels. */
#define RESET_METHODS_MAX 16U
/* With the terminating NUL. The longest of the kernel has 15 letters; each device has room for a list. */
#define RESET_METHOD_NAME_MAX 24U

#define RESET_METHOD_SUBORDINATE "subordinate" /* `reset_subordinate` of the bridge above */
#define RESET_METHOD_VFIO_HOT    "vfio_hot" /* VFIO_DEVICE_PCI_HOT_RESET */
#define RESET_METHOD_SLOT        "slot" /* power off and on of the hotplug slot */
#define RESET_METHOD_RESCAN      "rescan" /* removed, and found again by a scan of the bus */

/* Lets a frozen partitionable endpoint work again (powerpc, EEH). No reset: all that is in it stays as it
 * is. */
#define RESET_METHOD_THAW "thaw"

/* Files in the directory of pciback, of the same names, that some kernels for Xen hosts have: what is
 * written to them is the device's address. */
#define RESET_METHOD_DO_FLR       "do_flr" /* a reset of the function */
#define RESET_METHOD_RESET_DEVICE "reset_device" /* the gentlest of function, slot and bus that works */

typedef enum ResetScope {
        RESET_SCOPE_UNKNOWN,
        RESET_SCOPE_FUNCTION, /* one function (with its virtual functions) */
        RESET_SCOPE_LINK, /* everything below a bridge */
        RESET_SCOPE_POWER, /* last resorts that remove power or the device itself */
} ResetScope;

typedef enum ResetAlias {
        RESET_ALIAS_NONE, /* the text names one method */
        RESET_ALIAS_ANY, /* every enabled method, gentlest scope first */
        RESET_ALIAS_FUNCTION, /* only methods of function scope */
        RESET_ALIAS_LINK, /* only methods of link scope */
        RESET_ALIAS_RECOVER, /* as `any`, and then the last resorts: what brings a broken device back */
} ResetAlias;

/* The methods of one device, in the kernel's order. A value type: copying it copies everything. */
typedef struct ResetMethodList {
        char names[RESET_METHODS_MAX][RESET_METHOD_NAME_MAX];
        size_t n;
} ResetMethodList;

/* True for a name in the form the kernel uses: 1 to 31 characters of `a-z0-9_`, not starting with a digit.
 * Says nothing about whether anybody knows it. */
bool reset_method_name_is_valid(const char *name);

/* The scope of a method, RESET_SCOPE_UNKNOWN for a name that is not known. */
ResetScope reset_method_scope(const char *name);

/* True for the methods that are not the kernel's own, so that a kernel that came to list one of these names
 * would not be confused with them. */
bool reset_method_is_ours(const char *name);

/* True for those that are files of pciback's. */
bool reset_method_is_pciback(const char *name);

/* True for a method that returns without error on many devices which keep all their state: what one guest
 * left behind is then there for the next one. That is `pm`: a device may keep its registers in D3hot and
 * declare that it does not, and nothing in configuration space tells. */
bool reset_method_is_doubtful(const char *name);

/* False for a method that brings a device back as it is, so that its success says nothing of what was left
 * in it: `rescan` and `thaw`. */
bool reset_method_resets(const char *name);

/* `function`, `link`, `power` or `unknown`. */
const char *reset_scope_to_string(ResetScope scope);

/* RESET_ALIAS_NONE for everything that is not `any`, `function`, `link` or `recover`. */
ResetAlias reset_alias_from_string(const char *text);

/* How long the method may take on a healthy device, in microseconds, from the constants in the kernel's code
 * (pcie_flr, pci_pm_reset, pci_bridge_secondary_bus_reset). 0 where only firmware knows. */
uint64_t reset_method_expected_usec(const char *name);

/* Parses the contents of `reset_method`: names separated by blanks, an empty file is an empty list. Names
 * of a form the kernel never uses, and more names than fit, give -EBADMSG; `ret` is then empty. */
int reset_method_list_parse(const char *text, ResetMethodList *ret);

/* Joins the names with single blanks, as the kernel prints them but without a newline. `buffer` must have
 * room for RESET_METHOD_LIST_STRING_MAX bytes. Returns `buffer`. */
#define RESET_METHOD_LIST_STRING_MAX (RESET_METHODS_MAX * RESET_METHOD_NAME_MAX)
const char *reset_method_list_format(const ResetMethodList *list, char *buffer);

bool reset_method_list_contains(const ResetMethodList *list, const char *name);
