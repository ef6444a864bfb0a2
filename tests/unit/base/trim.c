// SPDX-License-Identifier: Apache-2.0
/* What is given back is there again when it is needed, and what was written stays. */
#include "cmocka_all.h"

#include "base/fd.h"
#include "base/harden.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static long file_pages(void)
{
    OSA_AUTO(osa_free) char *text = NULL;
    struct osa_error err;
    long size;
    long resident;
    long shared;
    assert_int_equal(osa_read_file(AT_FDCWD, "/proc/self/statm", 4096, &text, NULL, &err), OSA_OK);
    assert_int_equal(sscanf(text, "%ld %ld %ld", &size, &resident, &shared), 3);
    return shared;
}

static char written[65536] = "kept";

static void test_trim(void **state)
{
    (void)state;
    char *heap = malloc(100000);
    memset(heap, 'h', 100000);
    written[40000] = 'w';
    long before = file_pages();
    osa_trim_memory();
    assert_true(file_pages() < before);
    assert_string_equal(written, "kept");
    assert_int_equal(written[40000], 'w');
    for (size_t i = 0; i < 100000; i++)
        assert_int_equal(heap[i], 'h');
    free(heap);
    osa_trim_memory(); /* again */
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_trim) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
