/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "daemon/domain/device.h"

#include <string.h>

#include "shared/cleanup.h"

static const char *const state_names[] = {
        [DEVICE_IDLE] = "idle",
        [DEVICE_QUEUED] = "queued",
        [DEVICE_RESETTING] = "resetting",
};

static const char *const error_state_names[] = {
        [ERROR_STATE_NONE] = "",
        [ERROR_STATE_BEGIN_RECOVERY] = "begin-recovery",
        [ERROR_STATE_SUCCESSFUL_RECOVERY] = "successful-recovery",
        [ERROR_STATE_FAILED_RECOVERY] = "failed-recovery",
};

/* Drivers with reset_prepare and reset_done in their pci_error_handlers. */
static const char *const reset_aware_drivers[] = {
        "nvme",      "virtio-pci", "ice",        "i40e",           "fm10k",    "igbvf",
        "cxgb4",     "hns3",       "hibmcge",    "ionic",          "pds_core", "mwifiex_pcie",
        "qla2xxx",   "idxd",       "habanalabs", "intel_vpu",      "qaic",     "mhi-pci-generic",
        "hisi_hpre", "hisi_sec2",  "hisi_zip",   "hisi_sas_v3_hw",
};

DeviceState device_state(const Device *device)
{
        if (device->n_resetting > 0)
                return DEVICE_RESETTING;
        return device->n_queued > 0 ? DEVICE_QUEUED : DEVICE_IDLE;
}

const char *device_state_to_string(DeviceState state)
{
        return state_names[state];
}

const char *error_state_to_string(ErrorState state)
{
        return error_state_names[state];
}

ErrorState error_state_from_uevent(const char *value)
{
        if (strcmp(value, "BEGIN_RECOVERY") == 0)
                return ERROR_STATE_BEGIN_RECOVERY;
        if (strcmp(value, "SUCCESSFUL_RECOVERY") == 0)
                return ERROR_STATE_SUCCESSFUL_RECOVERY;
        if (strcmp(value, "FAILED_RECOVERY") == 0)
                return ERROR_STATE_FAILED_RECOVERY;
        return ERROR_STATE_NONE;
}

static bool ends_with(const char *text, const char *suffix)
{
        size_t n = strlen(text), m = strlen(suffix);

        return n >= m && strcmp(text + n - m, suffix) == 0;
}

DriverKind driver_kind(const char *driver)
{
        if (driver[0] == '\0')
                return DRIVER_NONE;
        if (strcmp(driver, "pciback") == 0)
                return DRIVER_PCIBACK;
        /* Variant drivers (mlx5_vfio_pci, nvgrace-gpu-vfio-pci, …) share vfio-pci's open and close. */
        if (ends_with(driver, "vfio-pci") || ends_with(driver, "vfio_pci") ||
            strcmp(driver, "pci-stub") == 0)
                return DRIVER_ASSIGNABLE;
        return DRIVER_HOST;
}

bool driver_is_reset_aware(const char *driver)
{
        for (size_t i = 0; i < ELEMENTSOF(reset_aware_drivers); i++)
                if (strcmp(reset_aware_drivers[i], driver) == 0)
                        return true;
        return false;
}

bool device_is_alone_below_parent(const Device *device)
{
        /* In utlist's rings the first element's predecessor is the last one: alone, it is its own. */
        return !device->next_sibling && (!device->prev_sibling || device->prev_sibling == device);
}

bool device_is_below(const Device *device, const Device *above)
{
        for (const Device *d = device->parent; d; d = d->parent)
                if (d == above)
                        return true;
        return false;
}
