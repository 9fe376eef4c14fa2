/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "worker/order.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "shared/cleanup.h"
#include "worker/device.h"
#include "worker/method-list.h"

DEFINE_CLEANUP(WorkerResult *, worker_result_free);

static void cleanup_device(Device *device)
{
        device_close(device);
}

static void end(WorkerResult *result, WorkerOutcome outcome, int error, const char *name, const char *what)
{
        result->outcome = outcome;
        result->error = error;
        (void) snprintf(result->message, sizeof(result->message), "%s: %s: %s", name, what, strerror(error));
}

int order_run(int devices_fd, const WorkerRequest *request, WorkerResult **ret)
{
        _cleanup_(cleanup_worker_result_free) WorkerResult *result = calloc(1, sizeof(WorkerResult));
        _cleanup_(cleanup_device) Device device = {.fd = -EBADF};
        char name[PCI_ADDRESS_STRING_MAX];
        ResetMethodList now;
        int r;

        if (!result)
                return -ENOMEM;
        pci_address_format(&request->members[0].address, name);
        r = device_open(devices_fd, &request->members[0], &device);
        if (r < 0) {
                end(result, WORKER_GONE, -r, name, "the device cannot be opened");
        } else if (method_list_read(&device, &now) == -ENOENT && !device_is_gone(&device)) {
                end(result, WORKER_REFUSED, ENOENT, name, "it has no list of reset methods");
                (void) snprintf(result->why, sizeof(result->why), "%s", WORKER_WHY_UNSUPPORTED);
        } else {
                result->reset_method = method_list_renew(&device, &request->list);
                if (result->reset_method == LIST_LOST)
                        end(result, device_is_gone(&device) ? WORKER_GONE : WORKER_FAILED, EIO, name,
                            "its list of reset methods cannot be written");
        }
        *ret = steal_pointer(result);
        return 0;
}
