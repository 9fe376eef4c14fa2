/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "shared/driver.h"

#include <string.h>

#include "shared/cleanup.h"

/* Drivers with reset_prepare and reset_done in their pci_error_handlers. virtio-pci is none of them: it has
 * both, but of the devices behind it only the block driver makes use of them, and newer kernels only. */
static const char *const reset_aware_drivers[] = {
        "nvme",      "ice",        "i40e",           "fm10k",    "igbvf",           "cxgb4",
        "hns3",      "hibmcge",    "ionic",          "pds_core", "mwifiex_pcie",    "qla2xxx",
        "idxd",      "habanalabs", "intel_vpu",      "qaic",     "mhi-pci-generic", "hisi_hpre",
        "hisi_sec2", "hisi_zip",   "hisi_sas_v3_hw",
};

static const char *const stub_drivers[] = {"pci-stub", "pci-pf-stub"};

static const char *const uio_drivers[] = {"uio_pci_generic", "igb_uio"};

static bool is_one_of(const char *const *names, size_t n, const char *driver)
{
        for (size_t i = 0; i < n; i++)
                if (strcmp(names[i], driver) == 0)
                        return true;
        return false;
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
        if (is_one_of(uio_drivers, ELEMENTSOF(uio_drivers), driver))
                return DRIVER_UIO;
        /* Variant drivers (mlx5_vfio_pci, nvgrace-gpu-vfio-pci, …) share vfio-pci's open and close. */
        if (ends_with(driver, "vfio-pci") || ends_with(driver, "vfio_pci") ||
            is_one_of(stub_drivers, ELEMENTSOF(stub_drivers), driver))
                return DRIVER_ASSIGNABLE;
        return DRIVER_HOST;
}

bool driver_is_reset_aware(const char *driver)
{
        return is_one_of(reset_aware_drivers, ELEMENTSOF(reset_aware_drivers), driver);
}
