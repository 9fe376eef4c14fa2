/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "daemon/system/history-row.h"

#include <errno.h>
#include <sqlite3.h>
#include <string.h>

#include "shared/json.h"
#include "shared/utf8.h"
#include "shared/worker-wire.h"

/* A line, its checks, a check, what is in there. */
#define DEPTH_MAX 4U

typedef enum FieldKind {
        FIELD_ID,
        FIELD_NUMBER, /* unsigned, of `size` bytes, at most `max` */
        FIELD_UID, /* NULL for HISTORY_UID_NONE */
        FIELD_FLAG,
        FIELD_CHOICE, /* an enum, stored by its name */
        FIELD_ADDRESS,
        FIELD_METHOD,
        FIELD_TEXT, /* an array of `size` bytes */
        FIELD_CHECKS,
} FieldKind;

typedef struct Field {
        const char *name;
        FieldKind kind;
        size_t offset, size;
        uint64_t max;
        const char *const *names;
        bool local; /* not in a line */
        bool optional; /* not in lines of the first version either: zero */
} Field;

static const char *const event_names[] = {
        [HISTORY_RESET] = "reset",
        [HISTORY_QUARANTINE] = "quarantine",
        [HISTORY_RELEASE] = "release",
        [HISTORY_EVIDENCE] = "evidence",
        [HISTORY_ERROR] = "error",
};
static const char *const source_names[] = {[HISTORY_OWN] = "own", [HISTORY_IMPORTED] = "imported"};

/* As attempt_outcome_to_string() and verdict_to_string() have them: they are on disk, so they stay. */
static const char *const outcome_names[] = {
        [ATTEMPT_DONE] = "done", [ATTEMPT_FAILED] = "failed", [ATTEMPT_REFUSED] = "refused",
        [ATTEMPT_GONE] = "gone", [ATTEMPT_DENIED] = "denied", [ATTEMPT_UNUSABLE] = "unusable",
};
static const char *const verdict_names[] = {
        [VERDICT_UNVERIFIED] = "unverified",
        [VERDICT_OK] = "ok",
        [VERDICT_DEGRADED] = "degraded",
        [VERDICT_DEAD] = "dead",
};

#define AT(member) offsetof(HistoryRow, member), sizeof(((HistoryRow *) NULL)->member)
#define NUMBER(member, max)                                                                                 \
        {                                                                                                   \
#member, FIELD_NUMBER, AT(member), max                                                      \
        }
#define TEXT(member)                                                                                        \
        {                                                                                                   \
#member, FIELD_TEXT, AT(member)                                                             \
        }
#define CHOICE(member, choice)                                                                              \
        {                                                                                                   \
#member, FIELD_CHOICE, AT(member), ELEMENTSOF(choice) - 1, choice                           \
        }

static const Field fields[] = {
        {"id", FIELD_ID, AT(id), .local = true},
        NUMBER(time_usec, INT64_MAX),
        TEXT(boot_id),
        NUMBER(job, UINT32_MAX),
        {"address", FIELD_ADDRESS, AT(address)},
        NUMBER(vendor, UINT16_MAX),
        NUMBER(device, UINT16_MAX),
        NUMBER(subsystem_vendor, UINT16_MAX),
        NUMBER(subsystem_device, UINT16_MAX),
        NUMBER(revision, UINT8_MAX),
        NUMBER(class, 0xffffffU),
        TEXT(driver_before),
        TEXT(driver_after),
        TEXT(kernel),
        TEXT(firmware),
        TEXT(port),
        {"method", FIELD_METHOD, AT(method)},
        NUMBER(set_size, UINT32_MAX),
        CHOICE(outcome, outcome_names),
        NUMBER(error, 4095U), /* MAX_ERRNO of the kernel */
        TEXT(why),
        {"written", FIELD_FLAG, AT(written)},
        CHOICE(verdict, verdict_names),
        {"checks", FIELD_CHECKS, AT(checks)},
        NUMBER(checks_left_out, UINT32_MAX),
        NUMBER(duration_usec, INT64_MAX),
        {"uid", FIELD_UID, AT(uid), .local = true},
        TEXT(rule),
        TEXT(policy),
        {"source", FIELD_CHOICE, AT(source), ELEMENTSOF(source_names) - 1, source_names, .local = true},
        {"origin", FIELD_TEXT, AT(origin), .local = true},
        {"event", FIELD_CHOICE, AT(event), ELEMENTSOF(event_names) - 1, event_names, .optional = true},
        {"reason", FIELD_TEXT, AT(reason), .local = true},
};

_Static_assert(ELEMENTSOF(fields) == HISTORY_ROW_COLUMNS, "HISTORY_ROW_COLUMNS");

static void *member(HistoryRow *row, const Field *field)
{
        return (char *) row + field->offset;
}

static const void *member_of(const HistoryRow *row, const Field *field)
{
        return (const char *) row + field->offset;
}

static uint64_t get_number(const HistoryRow *row, const Field *field)
{
        const void *at = member_of(row, field);
        uint8_t byte;
        uint16_t half;
        uint32_t word;
        uint64_t number;

        switch (field->size) {
        case sizeof(byte):
                memcpy(&byte, at, sizeof(byte));
                return byte;
        case sizeof(half):
                memcpy(&half, at, sizeof(half));
                return half;
        case sizeof(word):
                memcpy(&word, at, sizeof(word));
                return word;
        default:
                memcpy(&number, at, sizeof(number));
                return number;
        }
}

static void set_number(HistoryRow *row, const Field *field, uint64_t number)
{
        const uint8_t byte = (uint8_t) number;
        const uint16_t half = (uint16_t) number;
        const uint32_t word = (uint32_t) number;
        void *at = member(row, field);

        switch (field->size) {
        case sizeof(byte):
                memcpy(at, &byte, sizeof(byte));
                break;
        case sizeof(half):
                memcpy(at, &half, sizeof(half));
                break;
        case sizeof(word):
                memcpy(at, &word, sizeof(word));
                break;
        default:
                memcpy(at, &number, sizeof(number));
        }
}

void history_row_done(HistoryRow *row)
{
        free(steal_pointer(row->checks));
}

void history_rows_free(HistoryRow *rows, size_t n)
{
        for (size_t i = 0; rows && i < n; i++)
                history_row_done(&rows[i]);
        free(rows);
}

static bool checks_fit(const char *checks)
{
        return !checks || (strlen(checks) < HISTORY_CHECKS_MAX && utf8_is_valid(checks));
}

bool history_row_is_idle(const HistoryRow *row)
{
        return row->event == HISTORY_RESET && !row->written;
}

/* Only a reset needs one. */
static bool method_is_valid(const HistoryRow *row)
{
        return (row->event != HISTORY_RESET && row->method[0] == '\0') ||
               reset_method_name_is_valid(row->method);
}

static bool field_is_valid(const HistoryRow *row, const Field *field)
{
        const void *at = member_of(row, field);

        switch (field->kind) {
        case FIELD_NUMBER:
        case FIELD_CHOICE:
                return get_number(row, field) <= field->max;
        case FIELD_METHOD:
                return memchr(at, '\0', field->size) && method_is_valid(row);
        case FIELD_TEXT:
                return memchr(at, '\0', field->size) != NULL;
        case FIELD_CHECKS:
                return checks_fit(row->checks);
        case FIELD_ADDRESS:
                return row->address.device < 32 && row->address.function < 8;
        case FIELD_ID:
        case FIELD_UID:
        case FIELD_FLAG:
                break;
        }
        return true;
}

int history_row_copy(const HistoryRow *from, HistoryRow *ret)
{
        HistoryRow row = *from;

        for (size_t i = 0; i < ELEMENTSOF(fields); i++) {
                if (!field_is_valid(from, &fields[i]))
                        return -EINVAL;
                if (fields[i].kind == FIELD_TEXT)
                        (void) utf8_sanitize(member(&row, &fields[i]));
        }
        if (row.time_usec == 0)
                return -EINVAL;
        if (row.checks) {
                row.checks = strdup(row.checks);
                if (!row.checks)
                        return -ENOMEM;
        }
        *ret = row;
        return 0;
}

/* A line */

static void write_checks(JsonWriter *writer, const HistoryRow *row)
{
        _cleanup_free_ WorkerCheck *checks = NULL;
        json_object *array = NULL;
        size_t n = 0;

        /* What cannot be understood is nobody's business elsewhere. */
        if (history_checks_parse(row->checks, &checks, &n) == -ENOMEM && writer->error == 0)
                writer->error = -ENOMEM;
        (void) json_array_write(checks, n, sizeof(WorkerCheck), worker_check_write, &array);
        json_write_value(writer, "checks", array);
}

static void write_field(JsonWriter *writer, const HistoryRow *row, const Field *field)
{
        char address[PCI_ADDRESS_STRING_MAX];

        switch (field->kind) {
        case FIELD_ID:
        case FIELD_UID:
                break;
        case FIELD_NUMBER:
                json_write_unsigned(writer, field->name, get_number(row, field));
                break;
        case FIELD_FLAG:
                json_write_boolean(writer, field->name, get_number(row, field) != 0);
                break;
        case FIELD_CHOICE:
                json_write_text(writer, field->name, field->names[get_number(row, field)]);
                break;
        case FIELD_ADDRESS:
                json_write_text(writer, field->name, pci_address_format(&row->address, address));
                break;
        case FIELD_METHOD:
        case FIELD_TEXT:
                json_write_text(writer, field->name, member_of(row, field));
                break;
        case FIELD_CHECKS:
                write_checks(writer, row);
                break;
        }
}

int history_line_format(const HistoryRow *row, char **ret)
{
        _cleanup_json_writer_ JsonWriter writer = json_writer_begin();
        _cleanup_json_ json_object *object = NULL;
        int r;

        for (size_t i = 0; i < ELEMENTSOF(fields); i++)
                if (!fields[i].local)
                        write_field(&writer, row, &fields[i]);
        r = json_writer_finish(&writer, &object);
        return r < 0 ? r : json_text_format(object, HISTORY_LINE_MAX, ret);
}

static int take_checks(JsonReader *reader, HistoryRow *row)
{
        json_object *array = json_read_array(reader, "checks", 0, HISTORY_CHECKS_MAX);
        _cleanup_free_ WorkerCheck *checks = NULL;
        uint32_t left_out = 0;
        size_t n = 0;
        int r;

        if (!array)
                return 0;
        r = history_checks_read(array, &checks, &n);
        if (r >= 0)
                r = history_checks_format(checks, n, &row->checks, &left_out);
        if (r == -ENOMEM)
                return r;
        if (r < 0 || left_out > 0)
                json_reader_fail(reader, "checks");
        return 0;
}

static int read_field(JsonReader *reader, HistoryRow *row, const Field *field)
{
        switch (field->kind) {
        case FIELD_ID:
        case FIELD_UID:
                break;
        case FIELD_NUMBER:
                set_number(row, field, json_read_unsigned(reader, field->name, 0, field->max));
                break;
        case FIELD_FLAG:
                set_number(row, field, json_read_boolean(reader, field->name));
                break;
        case FIELD_CHOICE:
                set_number(row, field, json_read_choice(reader, field->name, field->names, field->max + 1));
                break;
        case FIELD_ADDRESS:
                if (pci_address_parse(json_read_text(reader, field->name, PCI_ADDRESS_STRING_MAX),
                                      &row->address) < 0)
                        json_reader_fail(reader, field->name);
                break;
        case FIELD_METHOD:
        case FIELD_TEXT:
                json_read_text_to(reader, field->name, member(row, field), field->size);
                break;
        case FIELD_CHECKS:
                return take_checks(reader, row);
        }
        return 0;
}

/* Reader's culprits may be keys of the object, which goes. */
static const char *own_name(const char *name)
{
        for (size_t i = 0; name && i < ELEMENTSOF(fields); i++)
                if (strcmp(fields[i].name, name) == 0)
                        return fields[i].name;
        return "";
}

int history_line_parse(const char *line, size_t length, HistoryRow *ret, const char **ret_culprit)
{
        _cleanup_json_ json_object *object = NULL;
        JsonReader reader;
        int r;

        *ret = (HistoryRow){.uid = HISTORY_UID_NONE, .source = HISTORY_IMPORTED};
        if (ret_culprit)
                *ret_culprit = "";
        if (length >= HISTORY_LINE_MAX)
                return -EBADMSG;
        r = json_text_parse(line, length, DEPTH_MAX, NULL, &object);
        if (r < 0)
                return r;
        reader = json_reader_begin(object);
        for (size_t i = 0; i < ELEMENTSOF(fields) && r >= 0; i++)
                if (!fields[i].local && (!fields[i].optional || json_reader_has(&reader, fields[i].name)))
                        r = read_field(&reader, ret, &fields[i]);
        if (r < 0)
                return r;
        if (ret->time_usec == 0)
                json_reader_fail(&reader, "time_usec");
        if (!method_is_valid(ret))
                json_reader_fail(&reader, "method");
        r = json_reader_finish(&reader);
        if (r < 0 && ret_culprit)
                *ret_culprit = own_name(reader.culprit);
        return r;
}

const char *history_event_to_string(HistoryEvent event)
{
        return event_names[event];
}

int history_event_from_string(const char *text, HistoryEvent *ret)
{
        for (size_t i = 0; i < ELEMENTSOF(event_names); i++)
                if (strcmp(event_names[i], text) == 0) {
                        *ret = (HistoryEvent) i;
                        return 0;
                }
        return -EINVAL;
}

const char *history_source_to_string(HistorySource source)
{
        return source_names[source];
}

int history_source_from_string(const char *text, HistorySource *ret)
{
        for (size_t i = 0; i < ELEMENTSOF(source_names); i++)
                if (strcmp(source_names[i], text) == 0) {
                        *ret = (HistorySource) i;
                        return 0;
                }
        return -EINVAL;
}

/* SQL */

const char *history_row_columns(char buffer[static HISTORY_COLUMNS_TEXT_MAX])
{
        size_t n = 0;

        for (size_t i = 0; i < ELEMENTSOF(fields) && n < HISTORY_COLUMNS_TEXT_MAX; i++)
                n += (size_t) snprintf(buffer + n, HISTORY_COLUMNS_TEXT_MAX - n, "%s%s", i > 0 ? ", " : "",
                                       fields[i].name);
        return buffer;
}

static int bind_field(sqlite3_stmt *statement, int at, const HistoryRow *row, const Field *field)
{
        char address[PCI_ADDRESS_STRING_MAX];

        switch (field->kind) {
        case FIELD_ID:
                return sqlite3_bind_null(statement, at);
        case FIELD_UID:
                return row->uid == HISTORY_UID_NONE ? sqlite3_bind_null(statement, at)
                                                    : sqlite3_bind_int64(statement, at, row->uid);
        case FIELD_NUMBER:
        case FIELD_FLAG:
                return sqlite3_bind_int64(statement, at, (sqlite3_int64) get_number(row, field));
        case FIELD_CHOICE:
                return sqlite3_bind_text(statement, at, field->names[get_number(row, field)], -1,
                                         SQLITE_STATIC);
        case FIELD_ADDRESS:
                return sqlite3_bind_text(statement, at, pci_address_format(&row->address, address), -1,
                                         SQLITE_TRANSIENT);
        case FIELD_METHOD:
        case FIELD_TEXT:
                return sqlite3_bind_text(statement, at, member_of(row, field), -1, SQLITE_STATIC);
        case FIELD_CHECKS:
                return sqlite3_bind_text(statement, at, row->checks ? row->checks : "[]", -1, SQLITE_STATIC);
        }
        return SQLITE_MISUSE;
}

int history_row_bind(sqlite3_stmt *statement, const HistoryRow *row)
{
        int rc = SQLITE_OK;

        for (size_t i = 0; i < ELEMENTSOF(fields) && rc == SQLITE_OK; i++)
                rc = bind_field(statement, (int) i + 1, row, &fields[i]);
        return rc;
}

static const char *column_text(sqlite3_stmt *statement, int at)
{
        const unsigned char *text = sqlite3_column_text(statement, at);

        return text ? (const char *) text : "";
}

static uint64_t read_number(sqlite3_stmt *statement, int at, uint64_t max)
{
        sqlite3_int64 number = sqlite3_column_int64(statement, at);

        return number < 0 || (uint64_t) number > max ? 0 : (uint64_t) number;
}

static uint64_t read_choice(sqlite3_stmt *statement, int at, const Field *field)
{
        const char *text = column_text(statement, at);

        for (uint64_t i = 0; i <= field->max; i++)
                if (strcmp(field->names[i], text) == 0)
                        return i;
        return 0;
}

static int read_checks_column(sqlite3_stmt *statement, int at, HistoryRow *row)
{
        const char *text = column_text(statement, at);

        /* "[]" is what most rows of attempts have that came to nothing. */
        if (text[0] == '\0' || strcmp(text, "[]") == 0 || !checks_fit(text))
                return 0;
        row->checks = strdup(text);
        return row->checks ? 0 : -ENOMEM;
}

static int read_column(sqlite3_stmt *statement, int at, HistoryRow *row, const Field *field)
{
        switch (field->kind) {
        case FIELD_ID:
                row->id = sqlite3_column_int64(statement, at);
                break;
        case FIELD_UID:
                row->uid = sqlite3_column_type(statement, at) == SQLITE_NULL
                                   ? HISTORY_UID_NONE
                                   : (uint32_t) read_number(statement, at, UINT32_MAX);
                break;
        case FIELD_NUMBER:
                set_number(row, field, read_number(statement, at, field->max));
                break;
        case FIELD_FLAG:
                set_number(row, field, sqlite3_column_int64(statement, at) != 0);
                break;
        case FIELD_CHOICE:
                set_number(row, field, read_choice(statement, at, field));
                break;
        case FIELD_ADDRESS:
                (void) pci_address_parse(column_text(statement, at), &row->address);
                break;
        case FIELD_METHOD:
        case FIELD_TEXT:
                (void) utf8_quote(column_text(statement, at), member(row, field), field->size);
                break;
        case FIELD_CHECKS:
                return read_checks_column(statement, at, row);
        }
        return 0;
}

int history_row_read(sqlite3_stmt *statement, HistoryRow *ret)
{
        int r = 0;

        *ret = (HistoryRow){};
        for (size_t i = 0; i < ELEMENTSOF(fields) && r >= 0; i++)
                r = read_column(statement, (int) i, ret, &fields[i]);
        return r;
}
