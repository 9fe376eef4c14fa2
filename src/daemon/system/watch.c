/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Who causes what: a scan that is made because a node was opened opens block nodes itself, which must not
 * lead to the next one, but an opening by somebody else meanwhile must. Events cannot be counted, since the
 * kernel merges equal ones, and they do not tell who caused them. But they are in order:
 *
 *      worker   ── claims block nodes ── raises its fence ── looks at all processes ── answers
 *      queue    ── events of nodes ───── the fence ───────── events of nodes ──────────
 *                  skipped: whoever had opened a node               noticed: the look may have
 *                  by then is seen by the look                      passed by already
 *
 * So what comes before the fence of any scan of the device is skipped, and the worker opens nothing after
 * it. One thing is seen before the fence: that somebody has a block device for himself. If that came to
 * nothing since and was skipped, the answer is stale; so if events were skipped and an answer with such a
 * holder differs from the one before, there is another look.
 *
 * A node that has had its say is not listened to until the notice is given, just before which it is again:
 * somebody who opens a node a million times costs one wake-up a second.
 */

#include "daemon/system/watch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon/system/watch-internal.h"
#include "shared/cleanup.h"

/* How much later than asked for the kernel may wake us, to do so together with others. */
#define ACCURACY_USEC(delay_usec) ((delay_usec) / 5 + 1)

DEFINE_CLEANUP(Watch *, watch_free);

static Watched *find(const Watch *watch, const PciAddress *address)
{
        uint64_t key = pci_address_key(address);
        Watched *device;

        HASH_FIND(hh, watch->devices, &key, sizeof(key), device);
        return device;
}

Watched *watch_get(Watch *watch, const PciAddress *address)
{
        Watched *device = find(watch, address);

        if (device)
                return device;
        device = calloc(1, sizeof(Watched));
        if (!device)
                return NULL;
        device->key = pci_address_key(address);
        device->address = *address;
        HASH_ADD(hh, watch->devices, key, sizeof(device->key), device);
        return device;
}

/* Notices */

static void arm(Watch *watch)
{
        uint64_t now = 0, when;
        int enabled = SD_EVENT_OFF;

        (void) sd_event_source_get_enabled(watch->timer, &enabled);
        if (enabled != SD_EVENT_OFF)
                return;
        (void) sd_event_now(watch->event, CLOCK_MONOTONIC, &now);
        when = now + watch->delay_usec;
        if (watch->last_usec != 0 && watch->last_usec + watch->gap_usec > when)
                when = watch->last_usec + watch->gap_usec;
        (void) sd_event_source_set_time(watch->timer, when);
        (void) sd_event_source_set_enabled(watch->timer, SD_EVENT_ONESHOT);
}

void watch_touch(Watch *watch, Watched *device, bool owners)
{
        device->is_pending = true;
        device->is_pending_owners = device->is_pending_owners || owners;
        arm(watch);
}

void watch_touch_kind(Watch *watch, WatchKind kind, bool owners)
{
        for (Watched *device = watch->devices; device; device = device->hh.next)
                if (kind == WATCH_ALL || (kind == WATCH_BLOCK && device->has_block) ||
                    (kind == WATCH_NETWORK && device->has_network) ||
                    (kind == WATCH_WITH_NODES && device->links))
                        watch_touch(watch, device, owners);
}

static void watched_free(Watch *watch, Watched *device)
{
        watch_causes_drop(watch, device);
        HASH_DEL(watch->devices, device);
        free(device);
}

/* Takes those out of the pending ones that go into one notice. */
static size_t take(Watch *watch, bool owners, PciAddress *ret)
{
        Watched *device, *next;
        size_t n = 0;

        HASH_ITER (hh, watch->devices, device, next) {
                if (!device->is_pending || device->is_pending_owners != owners)
                        continue;
                device->is_pending = device->is_pending_owners = false;
                watch_causes_rearm(watch, device);
                ret[n++] = device->address;
                /* Only an event told of it, and maybe it is gone. */
                if (!device->links && !device->has_network && device->n_looking == 0)
                        watched_free(watch, device);
        }
        return n;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
        Watch *watch = userdata;
        size_t size = HASH_COUNT(watch->devices) + 1, n, n_owners;
        _cleanup_free_ PciAddress *devices = calloc(size, sizeof(*devices));

        (void) sd_event_now(watch->event, CLOCK_MONOTONIC, &watch->last_usec);
        if (!devices) {
                arm(watch);
                return 0;
        }
        n = take(watch, false, devices);
        n_owners = take(watch, true, devices + n);
        if (n > 0)
                watch->handler(watch->userdata, devices, n, false);
        if (n_owners > 0)
                watch->handler(watch->userdata, devices + n, n_owners, true);
        return 0;
}

void watch_set_pace(Watch *watch, uint64_t delay_usec, uint64_t gap_usec)
{
        watch->delay_usec = delay_usec;
        watch->gap_usec = gap_usec;
        (void) sd_event_source_set_time_accuracy(watch->timer, ACCURACY_USEC(delay_usec));
}

/* Scans */

static Window *find_window(const Watch *watch, uint32_t job)
{
        Window *window;

        HASH_FIND(hh, watch->windows, &job, sizeof(job), window);
        return window;
}

void watch_scan_begun(Watch *watch, uint32_t job, const WorkerMember *members, size_t n)
{
        Window *window = find_window(watch, job) ? NULL : calloc(1, sizeof(Window));

        /* Without memory its own opening is noticed, no worse. */
        if (!window)
                return;
        window->devices = calloc(n, sizeof(PciAddress));
        if (!window->devices) {
                free(window);
                return;
        }
        window->job = job;
        window->n_devices = n;
        for (size_t i = 0; i < n; i++) {
                Watched *device = watch_get(watch, &members[i].address);

                window->devices[i] = members[i].address;
                if (device)
                        device->n_looking++;
        }
        HASH_ADD(hh, watch->windows, job, sizeof(window->job), window);
}

static void fence(Watch *watch, Window *window)
{
        if (window->is_fenced)
                return;
        window->is_fenced = true;
        window->fence = ++watch->n_fences;
        for (size_t i = 0; i < window->n_devices; i++) {
                Watched *device = find(watch, &window->devices[i]);

                if (device && device->n_looking > 0)
                        device->n_looking--;
        }
}

void watch_fence(Watch *watch, uint32_t job)
{
        Window *window = find_window(watch, job);

        if (window)
                fence(watch, window);
}

static void window_free(Watch *watch, Window *window)
{
        HASH_DEL(watch->windows, window);
        free(window->devices);
        free(window);
}

/* Two scans of a device may go on at once, one of them for its owners. The answer that comes last stays,
 * and may be the one that looked first: what happened between the two fences was skipped, and is not in it.
 */
static void look_again_if_overtaken(Watch *watch, const Window *window)
{
        for (size_t i = 0; i < window->n_devices; i++) {
                Watched *device = find(watch, &window->devices[i]);

                if (!device)
                        continue;
                if (window->fence < device->answered)
                        watch_touch(watch, device, false);
                else
                        device->answered = window->fence;
        }
}

void watch_scan_ended(Watch *watch, uint32_t job)
{
        Window *window = find_window(watch, job);

        if (!window)
                return;
        /* All that the worker did to nodes is in the queue. */
        watch_causes_drain(watch);
        fence(watch, window);
        look_again_if_overtaken(watch, window);
        window_free(watch, window);
}

/* Devices */

static uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t n)
{
        const unsigned char *p = bytes;

        while (n-- > 0)
                hash = (hash ^ *p++) * UINT64_C(0x100000001b3);
        return hash;
}

/* Notes what the holders say about the device itself. */
static void look_at_holders(Watched *device, const WorkerScan *scan, bool *ret_claimed, uint64_t *ret_hash)
{
        uint64_t hash = UINT64_C(0xcbf29ce484222325);

        *ret_claimed = false;
        for (size_t i = 0; i < scan->n_holders; i++) {
                const Holder *holder = &scan->holders[i];

                if (!pci_address_equal(&holder->device, &device->address))
                        continue;
                hash = hash_bytes(hash, &holder->kind, sizeof(holder->kind));
                hash = hash_bytes(hash, &holder->pid, sizeof(holder->pid));
                hash = hash_bytes(hash, holder->what, strlen(holder->what) + 1);
                *ret_claimed = *ret_claimed || holder->kind == HOLDER_BLOCK ||
                               (holder->kind == HOLDER_MOUNT && holder->silent);
                if (holder->kind == HOLDER_NETWORK || holder->kind == HOLDER_INTERFACE ||
                    holder->kind == HOLDER_HIDDEN)
                        device->has_network = true;
        }
        *ret_hash = hash;
}

int watch_set(Watch *watch, const PciAddress *address, const WorkerScan *scan)
{
        const WorkerUse *use = NULL;
        bool is_claimed, is_stale;
        Watched *device;
        uint64_t hash;
        int r;

        for (size_t i = 0; i < scan->n_uses && !use; i++)
                if (pci_address_equal(&scan->uses[i].device, address))
                        use = &scan->uses[i];
        if (!use)
                return -ENOENT;
        device = watch_get(watch, address);
        if (!device)
                return -ENOMEM;

        look_at_holders(device, scan, &is_claimed, &hash);
        is_stale = device->skipped && is_claimed && hash != device->holders_hash;
        device->skipped = false;
        device->holders_hash = hash;
        r = watch_causes_set(watch, device, use, scan);
        if (r != 0 || is_stale)
                watch_touch(watch, device, false);
        return r < 0 ? r : 0;
}

void watch_forget(Watch *watch, const PciAddress *address)
{
        Watched *device = find(watch, address);

        if (device)
                watched_free(watch, device);
}

void watch_set_touched(Watch *watch, WatchTouched touched)
{
        watch->touched = touched;
}

void watch_drain(Watch *watch)
{
        watch_causes_drain(watch);
}

void watch_listen(Watch *watch, const PciAddress *address)
{
        Watched *device = find(watch, address);

        if (device)
                watch_causes_rearm(watch, device);
}

int watch_new(sd_event *event, const char *fence_directory, WatchHandler handler, void *userdata,
              Watch **ret)
{
        _cleanup_(cleanup_watch_free) Watch *watch = calloc(1, sizeof(Watch));
        int r;

        if (!watch)
                return -ENOMEM;
        watch->event = sd_event_ref(event);
        watch->handler = handler;
        watch->userdata = userdata;
        watch->delay_usec = WATCH_DELAY_USEC;
        watch->gap_usec = WATCH_GAP_USEC;
        watch->inotify = -EBADF;
        r = sd_event_add_time(event, &watch->timer, CLOCK_MONOTONIC, 0, ACCURACY_USEC(WATCH_DELAY_USEC),
                              on_timer, watch);
        if (r >= 0)
                r = sd_event_source_set_enabled(watch->timer, SD_EVENT_OFF);
        if (r >= 0)
                r = watch_causes_new(watch, fence_directory);
        if (r >= 0)
                r = watch_machine_new(watch, &watch->machine);
        if (r < 0)
                return r;
        *ret = steal_pointer(watch);
        return 0;
}

Watch *watch_free(Watch *watch)
{
        Watched *device, *next;
        Window *window, *next_window;

        if (!watch)
                return NULL;
        watch_machine_free(watch->machine);
        HASH_ITER (hh, watch->devices, device, next)
                watched_free(watch, device);
        HASH_ITER (hh, watch->windows, window, next_window)
                window_free(watch, window);
        watch_causes_free(watch);
        sd_event_source_disable_unref(watch->timer);
        sd_event_unref(watch->event);
        free(watch);
        return NULL;
}
