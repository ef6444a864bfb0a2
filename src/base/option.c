// SPDX-License-Identifier: Apache-2.0
/*
 * Every value, whatever its source, takes one way: osa_option_convert() turns the text into a cell and refuses
 * what is wrong; store() keeps the cell when its origin is not weaker than what is there.
 */
#include "base/option_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the parser remembers of one row. */
struct slot {
    const struct osa_option *option;
    void *field; /* in the target */
    enum osa_option_origin origin;
    const char **items; /* of a list; owned, shown to readers through the target */
    size_t room;        /* elements that fit before items grows */
};

struct text {
    struct text *next;
    char data[];
};

struct osa_options {
    struct slot *slots; /* owned */
    size_t count;
    struct text *texts; /* owned: copies of strings that targets point to */
};

static const char *keep(struct osa_options *o, const char *string)
{
    size_t size = strlen(string) + 1;
    struct text *text = malloc(sizeof(*text) + size);
    if (text == NULL)
        return NULL;
    memcpy(text->data, string, size);
    text->next = o->texts;
    o->texts = text;
    return text->data;
}

/* ---- storage ---- */

static bool append(struct slot *slot, const char *string)
{
    struct osa_strings *list = slot->field;
    if (list->count + 1 >= slot->room) {
        size_t room = slot->room == 0 ? 4 : slot->room * 2;
        const char **grown = realloc(slot->items, room * sizeof(*grown));
        if (grown == NULL)
            return false;
        slot->items = grown;
        slot->room = room;
    }
    slot->items[list->count++] = string;
    slot->items[list->count] = NULL;
    list->items = slot->items;
    return true;
}

static enum osa_code store(struct osa_options *o, struct slot *slot, enum osa_option_origin origin,
                           const union osa_option_cell *cell, struct osa_error *err)
{
    const char *string = NULL;
    if (origin < slot->origin)
        return OSA_OK;
    switch (slot->option->type) {
    case OSA_OPTION_STRING:
    case OSA_OPTION_PATH:
    case OSA_OPTION_LIST:
        string = keep(o, cell->string);
        if (string == NULL)
            return osa_fail_errno(err, ENOMEM, "--%s", slot->option->flag);
        if (slot->option->type != OSA_OPTION_LIST) {
            *(const char **)slot->field = string;
            break;
        }
        if (origin > slot->origin)
            ((struct osa_strings *)slot->field)->count = 0;
        if (!append(slot, string))
            return osa_fail_errno(err, ENOMEM, "--%s", slot->option->flag);
        break;
    case OSA_OPTION_BOOL:
        *(bool *)slot->field = cell->boolean;
        break;
    case OSA_OPTION_U32:
    case OSA_OPTION_MODE:
        *(uint32_t *)slot->field = cell->u32;
        break;
    case OSA_OPTION_U64:
    case OSA_OPTION_BYTES:
    case OSA_OPTION_CPU:
        *(uint64_t *)slot->field = cell->u64;
        break;
    case OSA_OPTION_DURATION:
        *(int64_t *)slot->field = cell->i64;
        break;
    case OSA_OPTION_ENUM:
        memcpy(slot->field, &cell->number, sizeof(cell->number));
        break;
    }
    slot->origin = origin;
    return OSA_OK;
}

static enum osa_code set(struct osa_options *o, struct slot *slot, enum osa_option_origin origin,
                         const char *value, const char *where, struct osa_error *err)
{
    union osa_option_cell cell = { 0 };
    enum osa_code code = osa_option_convert(slot->option, value, where, &cell, err);
    return code != OSA_OK ? code : store(o, slot, origin, &cell, err);
}

/* Sets each element of a list that stands in one text, or the whole text for other types. */
static enum osa_code set_text(struct osa_options *o, struct slot *slot,
                              enum osa_option_origin origin, const char *value, const char *where,
                              struct osa_error *err)
{
    if (slot->option->type != OSA_OPTION_LIST)
        return set(o, slot, origin, value, where, err);
    OSA_AUTO(osa_free) char *copy = strdup(value);
    if (copy == NULL)
        return osa_fail_errno(err, ENOMEM, "%s", where);
    enum osa_code code = OSA_OK;
    char *rest = copy;
    for (char *item = strsep(&rest, ","); item != NULL && code == OSA_OK; item = strsep(&rest, ","))
        code = set(o, slot, origin, item, where, err);
    return code;
}

/* ---- life ---- */

static bool same(const char *a, const char *b)
{
    return a != NULL && b != NULL && strcmp(a, b) == 0;
}

static void assert_distinct(const struct osa_options *o, const struct osa_option *row)
{
    for (size_t i = 0; i < o->count; i++) {
        const struct osa_option *other = o->slots[i].option;
        assert(!same(other->flag, row->flag) && !same(other->variable, row->variable) &&
               !same(other->key, row->key) && (row->letter == 0 || row->letter != other->letter));
        (void)other;
    }
    (void)row;
}

/* @target: of all groups; NULL: each has its own. */
static enum osa_code make(const struct osa_option_group *groups, size_t group_count, void *target,
                          struct osa_options **ret_options, struct osa_error *err)
{
    OSA_AUTO(osa_options_auto) struct osa_options *o = calloc(1, sizeof(*o));
    size_t total = 0;
    for (size_t g = 0; g < group_count; g++)
        total += groups[g].count;
    if (o == NULL || (o->slots = calloc(OSA_MAX(total, (size_t)1), sizeof(*o->slots))) == NULL)
        return osa_fail_errno(err, ENOMEM, "options");
    for (size_t g = 0; g < group_count; g++) {
        char *fields = target != NULL ? target : groups[g].target;
        for (size_t i = 0; i < groups[g].count; i++) {
            const struct osa_option *row = &groups[g].options[i];
            assert_distinct(o, row);
            struct slot *slot = &o->slots[o->count++];
            *slot = (struct slot){ .option = row, .field = fields + row->offset };
            enum osa_code code =
                row->def == NULL ? OSA_OK
                                 : set_text(o, slot, OSA_ORIGIN_DEFAULT, row->def, row->flag, err);
            assert(code != OSA_INVALID_ARGUMENT);
            if (code != OSA_OK)
                return code;
        }
    }
    *ret_options = OSA_TAKE(o);
    return OSA_OK;
}

enum osa_code osa_options_new(const struct osa_option_group *groups, size_t group_count,
                              struct osa_options **ret_options, struct osa_error *err)
{
    return make(groups, group_count, /* target= */ NULL, ret_options, err);
}

enum osa_code osa_options_new_into(const struct osa_option_group *groups, size_t group_count,
                                   void *target, struct osa_options **ret_options,
                                   struct osa_error *err)
{
    return make(groups, group_count, target, ret_options, err);
}

void osa_options_free(struct osa_options *o)
{
    if (o == NULL)
        return;
    for (size_t i = 0; i < o->count; i++)
        free(o->slots[i].items);
    for (struct text *text = o->texts; text != NULL;) {
        struct text *next = text->next;
        free(text);
        text = next;
    }
    free(o->slots);
    free(o);
}

void osa_options_auto(struct osa_options **options)
{
    osa_options_free(*options);
}

static struct slot *find_field(const struct osa_options *o, const void *field)
{
    for (size_t i = 0; i < o->count; i++) {
        if (o->slots[i].field == field)
            return &o->slots[i];
    }
    return NULL;
}

enum osa_option_origin osa_options_origin(const struct osa_options *o, const void *field)
{
    const struct slot *slot = find_field(o, field);
    return slot != NULL ? slot->origin : OSA_ORIGIN_NONE;
}

enum osa_code osa_options_default(struct osa_options *o, const void *field, const char *value,
                                  struct osa_error *err)
{
    struct slot *slot = find_field(o, field);
    assert(slot != NULL);
    return set(o, slot, OSA_ORIGIN_DEFAULT, value, slot->option->flag, err);
}

/* ---- sources ---- */

static struct slot *find_flag(struct osa_options *o, const char *name, size_t len)
{
    for (size_t i = 0; i < o->count; i++) {
        const char *flag = o->slots[i].option->flag;
        if (strlen(flag) == len && strncmp(flag, name, len) == 0)
            return &o->slots[i];
    }
    return NULL;
}

static enum osa_code read_long(struct osa_options *o, int argc, const char *const *argv, int *at,
                               struct osa_error *err)
{
    const char *name = argv[*at] + 2;
    const char *equals = strchr(name, '=');
    size_t len = equals != NULL ? (size_t)(equals - name) : strlen(name);
    char where[80];
    (void)snprintf(where, sizeof(where), "--%.*s", (int)OSA_MIN(len, (size_t)64), name);
    struct slot *slot = find_flag(o, name, len);
    const char *value = equals != NULL ? equals + 1 : NULL;
    if (slot == NULL && len > 3 && strncmp(name, "no-", 3) == 0) {
        slot = find_flag(o, name + 3, len - 3);
        if (slot != NULL && (slot->option->type != OSA_OPTION_BOOL || value != NULL))
            slot = NULL;
        value = "false";
    }
    if (slot == NULL)
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0, "%s: unknown option; --help lists them",
                        where);
    if (value == NULL && slot->option->type == OSA_OPTION_BOOL)
        value = "true";
    if (value == NULL && *at + 1 < argc)
        value = argv[++*at];
    if (value == NULL)
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0, "%s: needs a value: --%s %s", where,
                        slot->option->flag, slot->option->value);
    return set(o, slot, OSA_ORIGIN_FLAG, value, where, err);
}

static enum osa_code read_short(struct osa_options *o, int argc, const char *const *argv, int *at,
                                struct osa_error *err)
{
    for (const char *letter = argv[*at] + 1; *letter != '\0'; letter++) {
        const char where[] = { '-', *letter, '\0' };
        struct slot *slot = NULL;
        for (size_t i = 0; i < o->count && slot == NULL; i++) {
            if (o->slots[i].option->letter == *letter)
                slot = &o->slots[i];
        }
        if (slot == NULL)
            return osa_fail(err, OSA_INVALID_ARGUMENT, 0, "%s: unknown option; --help lists them",
                            where);
        if (slot->option->type == OSA_OPTION_BOOL) {
            enum osa_code code = set(o, slot, OSA_ORIGIN_FLAG, "true", where, err);
            if (code != OSA_OK)
                return code;
            continue;
        }
        const char *value = letter[1] != '\0' ? letter + 1 : NULL;
        if (value == NULL && *at + 1 < argc)
            value = argv[++*at];
        if (value == NULL)
            return osa_fail(err, OSA_INVALID_ARGUMENT, 0, "%s: needs a value: -%c %s", where,
                            *letter, slot->option->value);
        return set(o, slot, OSA_ORIGIN_FLAG, value, where, err);
    }
    return OSA_OK;
}

enum osa_code osa_options_flags(struct osa_options *o, int argc, const char *const *argv,
                                int *ret_used, struct osa_error *err)
{
    int at = 0;
    for (; at < argc && argv[at][0] == '-' && argv[at][1] != '\0'; at++) {
        if (strcmp(argv[at], "--") == 0) {
            at++;
            break;
        }
        enum osa_code code = argv[at][1] == '-' ? read_long(o, argc, argv, &at, err)
                                                : read_short(o, argc, argv, &at, err);
        if (code != OSA_OK)
            return code;
    }
    *ret_used = at;
    return OSA_OK;
}

enum osa_code osa_options_environment(struct osa_options *o, struct osa_error *err)
{
    for (size_t i = 0; i < o->count; i++) {
        const char *name = o->slots[i].option->variable;
        const char *value = name != NULL ? getenv(name) : NULL;
        if (value == NULL || *value == '\0')
            continue;
        enum osa_code code = set_text(o, &o->slots[i], OSA_ORIGIN_ENVIRONMENT, value, name, err);
        if (code != OSA_OK)
            return code;
    }
    return OSA_OK;
}

static struct slot *find_key(const struct osa_options *o, const char *key)
{
    for (size_t i = 0; i < o->count; i++) {
        if (same(o->slots[i].option->key, key))
            return &o->slots[i];
    }
    return NULL;
}

enum osa_code osa_options_file_value(struct osa_options *o, const char *key, const char *value,
                                     const char *where, struct osa_error *err)
{
    struct slot *slot = find_key(o, key);
    if (slot == NULL)
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0, "%s: unknown key '%.64s'", where, key);
    char place[512];
    (void)snprintf(place, sizeof(place), "%s: %s", where, key);
    return set(o, slot, OSA_ORIGIN_FILE, value, place, err);
}

int osa_options_key_is_list(const struct osa_options *o, const char *key)
{
    const struct slot *slot = find_key(o, key);
    return slot == NULL ? -1 : slot->option->type == OSA_OPTION_LIST;
}
