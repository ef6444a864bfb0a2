// SPDX-License-Identifier: Apache-2.0
#include "cmocka_all.h"

#include "egress/question.h"

#include <stdlib.h>
#include <string.h>

/* Header of a standard query with recursion, number 0x1234, one question. */
#define HEAD "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"
#define IN_A "\x00\x01\x00\x01"

static struct question question;
static enum question_code code;

static bool parse(const char *data, size_t len)
{
    uint8_t *copy = malloc(len); /* so that a read past the end is seen */
    assert_non_null(copy);
    memcpy(copy, data, len);
    bool answered = question_parse(copy, len, &question, &code);
    free(copy);
    return answered;
}
#define PARSE(TEXT) parse(TEXT, sizeof(TEXT) - 1)

static void test_good(void **state)
{
    (void)state;
    assert_true(PARSE(HEAD "\3Www\4ACME\4test\0" IN_A));
    assert_int_equal(code, QUESTION_NOERROR);
    assert_string_equal(question.name, "www.acme.test");
    assert_int_equal(question.type, QUESTION_TYPE_A);
    assert_int_equal(question.wire_len, 19);
    assert_true(question.recursion);
    assert_true(PARSE(HEAD "\4_sip\1x\0\x00\x1c\x00\x01"));
    assert_int_equal(code, QUESTION_NOERROR);
    assert_int_equal(question.type, QUESTION_TYPE_AAAA);
    /* What follows the question, such as EDNS, does not matter. */
    assert_true(PARSE("\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01\1x\0" IN_A
                      "\x00\x00\x29\x10\x00\x00\x00\x00\x00\x00\x00"));
    assert_int_equal(code, QUESTION_NOERROR);
}

static void expect(enum question_code wanted, const char *data, size_t len)
{
    assert_true(parse(data, len));
    assert_int_equal(code, wanted);
}
#define EXPECT(CODE, TEXT) expect(CODE, TEXT, sizeof(TEXT) - 1)

static void test_bad(void **state)
{
    (void)state;
    assert_false(PARSE("\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00"));               /* cut */
    assert_false(PARSE("\x12\x34\x81\x00\x00\x01\x00\x00\x00\x00\x00\x00\1x\0" IN_A)); /* answer */
    EXPECT(QUESTION_NOTIMP, HEAD "\1x\0\x00\x0f\x00\x01");                             /* MX */
    EXPECT(QUESTION_NOTIMP, HEAD "\1x\0\x00\xff\x00\x01");                             /* ANY */
    EXPECT(QUESTION_NOTIMP, HEAD "\1x\0\x00\x01\x00\x03");                             /* CHAOS */
    EXPECT(QUESTION_FORMERR, "\x12\x34\x29\x00\x00\x01\x00\x00\x00\x00\x00\x00\1x\0" IN_A);
    EXPECT(QUESTION_FORMERR, "\x12\x34\x01\x00\x00\x02\x00\x00\x00\x00\x00\x00\1x\0" IN_A);
    EXPECT(QUESTION_FORMERR, "\x12\x34\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00");
    EXPECT(QUESTION_FORMERR, HEAD "\0" IN_A);          /* the root */
    EXPECT(QUESTION_FORMERR, HEAD "\1x\xc0\x0c" IN_A); /* a pointer, to itself */
    EXPECT(QUESTION_FORMERR, HEAD "\1x");              /* cut in the name */
    EXPECT(QUESTION_FORMERR, HEAD "\5x");
    EXPECT(QUESTION_FORMERR, HEAD "\1x\0\0\1\0");       /* cut after it */
    EXPECT(QUESTION_FORMERR, HEAD "\3a b\0" IN_A);      /* no host name */
    EXPECT(QUESTION_FORMERR, HEAD "\3a\0b\0" IN_A);     /* a NUL within */
    EXPECT(QUESTION_FORMERR, HEAD "\3a.b\0" IN_A);      /* a dot within */
    EXPECT(QUESTION_FORMERR, HEAD "\2\xc3\xa9\0" IN_A); /* not ASCII */
    EXPECT(QUESTION_FORMERR, HEAD "\x40"
                                  "aaaa"
                                  "\0" IN_A); /* a label of 64 */
}

static void test_length(void **state)
{
    (void)state;
    char wire[512];
    for (unsigned labels = 126; labels <= 128; labels++) {
        size_t len = sizeof(HEAD) - 1;
        memcpy(wire, HEAD, len);
        for (unsigned i = 0; i < labels; i++) {
            wire[len++] = 1;
            wire[len++] = 'a';
        }
        memcpy(wire + len, "\0" IN_A, 5);
        assert_true(parse(wire, len + 5));
        assert_int_equal(code, labels <= 127 ? QUESTION_NOERROR : QUESTION_FORMERR);
    }
    static char large[QUESTION_MAX_BYTES + 1] = HEAD "\1x\0" IN_A;
    assert_true(parse(large, sizeof(large) - 1));
    assert_int_equal(code, QUESTION_NOERROR);
    assert_true(parse(large, sizeof(large)));
    assert_int_equal(code, QUESTION_FORMERR);
}

static void test_answer(void **state)
{
    (void)state;
    static const char asked[] = HEAD "\1x\0" IN_A;
    static const char found[] = "\x12\x34\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00\1x\0" IN_A
                                "\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x1e\x00\x04\xc6\x12\x00\x01";
    static const char refused[] = "\x12\x34\x81\x85\x00\x01\x00\x00\x00\x00\x00\x00\1x\0" IN_A;
    static const char failed[] = "\x12\x34\x81\x81\x00\x00\x00\x00\x00\x00\x00\x00";
    const uint8_t address[4] = { 198, 18, 0, 1 };
    uint8_t out[QUESTION_ANSWER_MAX_BYTES];
    assert_true(question_parse((const uint8_t *)asked, sizeof(asked) - 1, &question, &code));
    assert_int_equal(question_answer(&question, QUESTION_NOERROR, address, 30, out),
                     sizeof(found) - 1);
    assert_memory_equal(out, found, sizeof(found) - 1);
    assert_int_equal(question_answer(&question, QUESTION_REFUSED, NULL, 30, out),
                     sizeof(refused) - 1);
    assert_memory_equal(out, refused, sizeof(refused) - 1);
    assert_true(PARSE(HEAD "\0"));
    assert_int_equal(question_answer(&question, QUESTION_FORMERR, NULL, 30, out),
                     sizeof(failed) - 1);
    assert_memory_equal(out, failed, sizeof(failed) - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_length),
        cmocka_unit_test(test_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
