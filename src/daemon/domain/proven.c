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

typedef struct Sample {
        uint64_t finished_at;
        uint64_t duration_usec;
} Sample;

typedef struct Entry {
        ProvenKey key;
        uint64_t tries, ok, dead;
        Sample samples[PROVEN_DURATIONS]; /* the last good ones, the oldest first */
        size_t n_samples;
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

bool proven_is_empty(const Proven *proven)
{
        return !proven->entries;
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

static Entry *find_or_add(Proven *proven, const ProvenKey *key)
{
        Entry *entry = find(proven, key);

        if (entry || HASH_COUNT(proven->entries) >= PROVEN_MAX)
                return entry;
        entry = calloc(1, sizeof(Entry));
        if (!entry)
                return NULL;
        entry->key = *key;
        HASH_ADD(hh, proven->entries, key, sizeof(entry->key), entry);
        return entry;
}

static void drop_oldest(Entry *entry)
{
        entry->n_samples--;
        memmove(entry->samples, entry->samples + 1, entry->n_samples * sizeof(Sample));
}

/* Keeps the order of time, and of arrival among equals. */
static void add_sample(Entry *entry, const Sample *sample)
{
        size_t i = entry->n_samples;

        while (i > 0 && entry->samples[i - 1].finished_at > sample->finished_at)
                i--;
        if (entry->n_samples == PROVEN_DURATIONS) {
                if (i == 0)
                        return;
                drop_oldest(entry);
                i--;
        }
        memmove(entry->samples + i + 1, entry->samples + i, (entry->n_samples - i) * sizeof(Sample));
        entry->samples[i] = *sample;
        entry->n_samples++;
}

void proven_note(Proven *proven, uint16_t vendor, uint16_t device, const char *method, Verdict verdict,
                 uint64_t duration_usec, uint64_t finished_at)
{
        const Sample sample = {.finished_at = finished_at, .duration_usec = duration_usec};
        ProvenKey key = make_key(vendor, device, method);
        Entry *entry = find_or_add(proven, &key);

        if (!entry)
                return;
        entry->tries++;
        if (verdict == VERDICT_OK) {
                entry->ok++;
                add_sample(entry, &sample);
        } else if (verdict == VERDICT_DEAD) {
                entry->dead++;
        }
}

void proven_merge(Proven *proven, const Proven *other)
{
        for (const Entry *from = other->entries; from; from = from->hh.next) {
                Entry *entry = find_or_add(proven, &from->key);

                if (!entry)
                        continue;
                entry->tries += from->tries;
                entry->ok += from->ok;
                entry->dead += from->dead;
                for (size_t i = 0; i < from->n_samples; i++)
                        add_sample(entry, &from->samples[i]);
        }
}

static uint64_t minus(uint64_t a, uint64_t b)
{
        return a > b ? a - b : 0;
}

void proven_subtract(Proven *proven, const Proven *other)
{
        for (const Entry *from = other->entries; from; from = from->hh.next) {
                Entry *entry = find(proven, &from->key);

                if (!entry)
                        continue;
                entry->tries = minus(entry->tries, from->tries);
                entry->ok = minus(entry->ok, from->ok);
                entry->dead = minus(entry->dead, from->dead);
                while (entry->n_samples > entry->ok)
                        drop_oldest(entry);
                if (entry->tries == 0) {
                        HASH_DEL(proven->entries, entry);
                        free(entry);
                }
        }
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
        n = entry->n_samples;
        for (size_t i = 0; i < n; i++)
                sorted[i] = entry->samples[i].duration_usec;
        qsort(sorted, n, sizeof(*sorted), compare);
        return (ProvenFacts){
                .tries = entry->tries,
                .ok = entry->ok,
                .dead = entry->dead,
                .median_usec = n > 0 ? sorted[n / 2] : 0,
        };
}
