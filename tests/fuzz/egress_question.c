// SPDX-License-Identifier: Apache-2.0
/* egress/question: names are host names, and an answer parses as what was asked. */
#include "fuzz/target.h"

#include "egress/question.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static void require(bool holds)
{
    if (!holds)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct question question;
    struct question again;
    enum question_code code;
    enum question_code code_again;
    uint8_t answer[QUESTION_ANSWER_MAX_BYTES];
    const uint8_t address[4] = { 198, 18, 0, 1 };
    uint8_t *copy = malloc(size + 1);
    require(copy != NULL);
    memcpy(copy, data, size);
    if (question_parse(copy, size, &question, &code)) {
        require(strlen(question.name) <= 253);
        require(code != QUESTION_NOERROR ||
                strspn(question.name, "abcdefghijklmnopqrstuvwxyz0123456789-_.") ==
                    strlen(question.name));
        size_t len = question_answer(&question, code, address, 30, answer);
        require(len >= 12 && len <= sizeof(answer) && (answer[2] & 0x80) != 0);
        if (code == QUESTION_NOERROR) {
            answer[2] &= 0x7f;
            require(question_parse(answer, len, &again, &code_again) &&
                    code_again == QUESTION_NOERROR && strcmp(again.name, question.name) == 0);
        }
    }
    free(copy);
    return 0;
}
