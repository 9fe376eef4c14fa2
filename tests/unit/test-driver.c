/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Drivers by name: who uses the device, and who can live with a reset. */

#include "shared/driver.h"
#include "unit.h"

static const struct {
        const char *driver;
        DriverKind kind;
        bool is_aware;
} drivers[] = {
        {"", DRIVER_NONE, false},
        {"vfio-pci", DRIVER_ASSIGNABLE, false},
        {"mlx5_vfio_pci", DRIVER_ASSIGNABLE, false},
        {"nvgrace-gpu-vfio-pci", DRIVER_ASSIGNABLE, false},
        {"vfio-pcix", DRIVER_HOST, false},
        {"pci-stub", DRIVER_ASSIGNABLE, false},
        {"pci-pf-stub", DRIVER_ASSIGNABLE, false},
        {"uio_pci_generic", DRIVER_UIO, false},
        {"igb_uio", DRIVER_UIO, false},
        {"pciback", DRIVER_PCIBACK, false},
        {"nvme", DRIVER_HOST, true},
        {"ice", DRIVER_HOST, true},
        {"hisi_sas_v3_hw", DRIVER_HOST, true},
        {"e1000e", DRIVER_HOST, false},
        {"nvidia", DRIVER_HOST, false},
        {"virtio-pci", DRIVER_HOST, false},
        {"nvme2", DRIVER_HOST, false},
        {"NVME", DRIVER_HOST, false},
        {"pcibacker", DRIVER_HOST, false},
};

START_TEST(kinds)
{
        ck_assert_int_eq(driver_kind(drivers[_i].driver), drivers[_i].kind);
        ck_assert_int_eq(driver_is_reset_aware(drivers[_i].driver), drivers[_i].is_aware);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("driver");

        unit_add_table(suite, kinds, drivers);
        return unit_run(suite);
}
