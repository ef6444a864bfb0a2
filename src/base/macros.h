// SPDX-License-Identifier: Apache-2.0
/* Attributes and small helpers that every folder uses. Includes nothing of ours. */
#pragma once

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* The caller must look at the result. */
#define OSA_MUST_CHECK __attribute__((warn_unused_result))
/* printf-style checking; @fmt and @args are 1-based argument positions. */
#define OSA_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
/* Runs @fn on the variable's address when it leaves its scope: OSA_AUTO(osa_close_fd) int fd = -1; */
#define OSA_AUTO(fn) __attribute__((cleanup(fn)))

#define OSA_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define OSA_MIN(a, b) ((a) < (b) ? (a) : (b))
#define OSA_MAX(a, b) ((a) > (b) ? (a) : (b))
/* The struct of type @type whose member @member is at @ptr. */
#define OSA_CONTAINER_OF(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

/* When a file was last changed, as a struct timespec: stat(2) of macOS has another name for it. */
#ifdef __APPLE__
#define OSA_STAT_MTIME(st) ((st)->st_mtimespec)
#else
#define OSA_STAT_MTIME(st) ((st)->st_mtim)
#endif

/** osa_wipe() - Overwrite a secret; not left out because nobody reads it afterwards */
static inline void osa_wipe(void *data, size_t len)
{
    memset(data, 0, len);
    __asm__ volatile("" : : "r"(data) : "memory");
}

/** osa_free() - Cleanup function of heap memory: OSA_AUTO(osa_free) char *name = NULL; */
static inline void osa_free(void *ptr_to_ptr)
{
    free(*(void **)ptr_to_ptr);
}

/* Hands the pointer at @ptr over to the caller and leaves NULL behind. */
#define OSA_TAKE(ptr)                                                                              \
    __extension__({                                                                                \
        __typeof__(ptr) taken_ = (ptr);                                                            \
        (ptr) = NULL;                                                                              \
        taken_;                                                                                    \
    })
