/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "daemon/domain/proven.h"

#include <errno.h>
#include <string.h>
#include <uthash.h>

#include "shared/cleanup.h"

typedef struct ProvenKey {
        uint16_t vendor;
        uint16_t device;
        char method[RESET_METHOD_NAME_MAX]; /* padded with NUL, since all of it is hashed */
} ProvenKey;

typedef struct Entry {
        ProvenKey key;
        uint64_t tries, ok, dead;
        uint64_t durations[PROVEN_DURATIONS]; /* a ring of the last good ones */
        UT_hash_handle hh;
} Entry;

struct Proven {
        Entry *entries;
};

int proven_new(Proven **ret)
{
        Proven *proven = calloc(1, sizeof(Proven));

        if (!proven)
                return -ENOMEM;
        *ret = proven;
        return 0;
}

Proven *proven_free(Proven *proven)
{
        Entry *entry, *next;

        if (!proven)
                return NULL;
        HASH_ITER (hh, proven->entries, entry, next) {
                HASH_DEL(proven->entries, entry);
                free(entry);
        }
        free(proven);
        return NULL;
}

static ProvenKey make_key(uint16_t vendor, uint16_t device, const char *method)
{
        ProvenKey key;

        memset(&key, 0, sizeof(key));
        key.vendor = vendor;
        key.device = device;
        memcpy(key.method, method, strnlen(method, sizeof(key.method) - 1));
        return key;
}

static Entry *find(const Proven *proven, const ProvenKey *key)
{
        Entry *entry;

        HASH_FIND(hh, proven->entries, key, sizeof(*key), entry);
        return entry;
}

void proven_note(Proven *proven, uint16_t vendor, uint16_t device, const char *method, Verdict verdict,
                 uint64_t duration_usec)
{
        ProvenKey key = make_key(vendor, device, method);
        Entry *entry = find(proven, &key);

        if (!entry) {
                if (HASH_COUNT(proven->entries) >= PROVEN_MAX)
                        return;
                entry = calloc(1, sizeof(Entry));
                if (!entry)
                        return;
                entry->key = key;
                HASH_ADD(hh, proven->entries, key, sizeof(entry->key), entry);
        }
        entry->tries++;
        if (verdict == VERDICT_OK)
                entry->durations[entry->ok++ % PROVEN_DURATIONS] = duration_usec;
        else if (verdict == VERDICT_DEAD)
                entry->dead++;
}

static int compare(const void *a, const void *b)
{
        uint64_t x = *(const uint64_t *) a, y = *(const uint64_t *) b;

        return x < y ? -1 : x > y;
}

ProvenFacts proven_get(const Proven *proven, uint16_t vendor, uint16_t device, const char *method)
{
        ProvenKey key = make_key(vendor, device, method);
        const Entry *entry = find(proven, &key);
        uint64_t sorted[PROVEN_DURATIONS];
        size_t n;

        if (!entry)
                return (ProvenFacts){};
        n = entry->ok < PROVEN_DURATIONS ? (size_t) entry->ok : PROVEN_DURATIONS;
        memcpy(sorted, entry->durations, sizeof(sorted));
        qsort(sorted, n, sizeof(*sorted), compare);
        return (ProvenFacts){
                .tries = entry->tries,
                .ok = entry->ok,
                .dead = entry->dead,
                .median_usec = n > 0 ? sorted[n / 2] : 0,
        };
}
