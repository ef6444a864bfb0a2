// SPDX-License-Identifier: Apache-2.0
/*
 * Messages of DNS, as far as a resolver needs them that answers with one address or none: one
 * question in, the same question out with an answer. Nothing is compressed in what is read.
 *
 * Source: RFC 1035, 4; RFC 2181, 11; RFC 9619 (one question).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What may follow the header's two flags of its own: RFC 1035, 4.1.1, RCODE. */
enum question_code {
    QUESTION_NOERROR = 0,
    QUESTION_FORMERR = 1,
    QUESTION_SERVFAIL = 2,
    QUESTION_NXDOMAIN = 3,
    QUESTION_NOTIMP = 4,
    QUESTION_REFUSED = 5,
};

enum { QUESTION_TYPE_A = 1, QUESTION_TYPE_AAAA = 28 };

/* A longer message is no question that anybody asks in good faith. */
#define QUESTION_MAX_BYTES 8192u
/* Header, the longest question, one address. */
#define QUESTION_ANSWER_MAX_BYTES (12u + 255u + 4u + 16u)

/**
 * struct question - One question
 * @id:   of the asker, as it stands in the message
 * @recursion: the asker wants it (RD)
 * @name: lower case, labels joined by dots, no dot at the end
 * @wire, @wire_len: the question's section as it was sent, borrowed; 0 when it was not understood
 */
struct question {
    uint8_t id[2];
    uint8_t opcode;
    bool recursion;
    char name[256];
    uint16_t type;
    const uint8_t *wire;
    size_t wire_len;
};

/**
 * question_parse() - Read a message
 * @ret: written when true is returned
 * @ret_code: NOERROR: a question for an A or AAAA in class IN about a host name; FORMERR and NOTIMP:
 *       the answer that it gets
 * Return: false for what gets no answer at all: no whole header, or an answer itself.
 */
bool question_parse(const uint8_t *data, size_t len, struct question *ret,
                    enum question_code *ret_code);

/**
 * question_answer() - Write the answer
 * @address: IPv4, in network order; NULL: none, whatever the code
 * Return: its length.
 */
size_t question_answer(const struct question *question, enum question_code code,
                       const uint8_t address[4], uint32_t ttl_s,
                       uint8_t ret[QUESTION_ANSWER_MAX_BYTES]);
