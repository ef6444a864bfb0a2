// SPDX-License-Identifier: Apache-2.0
/*
 * What the agent and its helper inside of a box say to each other: the seam of backends/backend.h as
 * frames. The helper runs the process backend in the box and keeps one sandbox there.
 *
 * Keys: a process has the one that SPAWN gave it; a request has its own, which DONE or USAGE repeats.
 */
#pragma once

#include "backends/backend.h"
#include "guest/codec.h"

/* Both ends must be of one build: its version and a number that changes with this file. */
#define GUEST_PROTOCOL 2u

enum guest_message {
    /* helper → agent */
    GUEST_HELLO = 1, /* protocol, capabilities, reason when nothing can be done */
    GUEST_CREATED,   /* error; isolation, limits */
    GUEST_SPAWNED,   /* error; isolation, limits */
    GUEST_OUTPUT,    /* first byte: the stream */
    GUEST_OUTPUT_END,
    GUEST_STDIN_ROOM, /* bytes that were passed on */
    GUEST_STDIN_GONE, /* nobody reads any more */
    GUEST_EXITED,
    GUEST_OOM_KILLED,
    GUEST_DONE,  /* error */
    GUEST_USAGE, /* error; usage */
    GUEST_LOST,  /* reason */
    GUEST_DENIED,
    GUEST_OPENED, /* error; else the stream of the same key begins */
    GUEST_VISIT,  /* its two addresses; a connection to the proxy, whose stream begins */
    GUEST_OWNER,  /* error; who opened the connection that was asked about */
    /* agent → helper */
    GUEST_CREATE, /* limits, spec */
    GUEST_SPAWN,
    GUEST_FREE,
    GUEST_STDIN,
    GUEST_STDIN_END,
    GUEST_RESIZE,
    GUEST_SIGNAL,
    GUEST_HOLD,
    GUEST_KILL_TREE,
    GUEST_PAUSE,
    GUEST_UPDATE,
    GUEST_STATS,
    GUEST_PROCESS_UPDATE,
    GUEST_PROCESS_STATS,
    GUEST_COPY,     /* inwards?, path, user */
    GUEST_CONNECT,  /* address, port */
    GUEST_IDENTIFY, /* the two addresses of a visit, names */
    GUEST_CHANNEL,  /* address, port, secret: where a faster channel may be had */
    /* both ways (conduit.h) */
    GUEST_STREAM_DATA,
    GUEST_STREAM_ROOM, /* bytes that were passed on */
    GUEST_STREAM_END,
    GUEST_STREAM_BROKEN,
};

/* What a faster channel begins with: the secret of CHANNEL, and a line's end. */
#define GUEST_SECRET_BYTES 32u

/* Streams that the helper begins have keys from here on, the agent's are below. */
#define GUEST_VISIT_KEYS (1ull << 63)

/* Bytes of one OUTPUT or STDIN frame: small beside the window, so that streams share it. */
#define GUEST_CHUNK_BYTES ((size_t)16 << 10)
/* Bytes of stdin under way to one process; more are taken as they are passed on. */
#define GUEST_STDIN_BYTES ((size_t)128 << 10)

/* What processes are to see of the host: a certificate authority and the bundle that it is in. */
#define GUEST_FILES_MAX 4u
#define GUEST_FILE_NAME_MAX 48u

/** struct guest_file - One of them; borrowed */
struct guest_file {
    const char *name;
    const char *data;
    size_t len;
};

/** struct guest_sandbox_spec - A received sandbox_spec; its strings are within the frame */
struct guest_sandbox_spec {
    struct sandbox_spec spec;
    const char *policy; /* YAML */
    const char **env;   /* owned */
    struct guest_file files[GUEST_FILES_MAX];
    size_t file_count;
};

/** struct guest_process_spec - A received process_spec; likewise */
struct guest_process_spec {
    struct process_spec spec;
    const char **lists[3]; /* owned */
    struct rlimit_spec rlimits[32];
};

/** guest_write_resources() - Append limits */
void guest_write_resources(struct osa_buf *buf, const struct resources *limits);
/** guest_read_resources() - The next limits */
struct resources guest_read_resources(struct codec_reader *reader);

/** guest_write_isolation() - Append what is in force */
void guest_write_isolation(struct osa_buf *buf, const struct isolation *isolation);
/** guest_read_isolation() - The next one; its profile is a constant */
void guest_read_isolation(struct codec_reader *reader, struct isolation *ret);

/** guest_write_exit() - Append an exit */
void guest_write_exit(struct osa_buf *buf, const struct process_exit *exit);
/** guest_read_exit() - The next exit */
void guest_read_exit(struct codec_reader *reader, struct process_exit *ret);

/**
 * guest_write_sandbox() - Append a spec: what the inside of a box needs of it
 * Its limits come apart, before it; @files are those of its shared folder.
 */
void guest_write_sandbox(struct osa_buf *buf, const struct sandbox_spec *spec,
                         const struct guest_file *files, size_t count);
/** guest_read_sandbox() - The next one, its policy still text. Free with guest_sandbox_done() */
void guest_read_sandbox(struct codec_reader *reader, struct guest_sandbox_spec *ret);
/** guest_sandbox_done() - Free what was read */
void guest_sandbox_done(const struct guest_sandbox_spec *spec);

/** guest_write_process() - Append a spec */
void guest_write_process(struct osa_buf *buf, const struct process_spec *spec);
/** guest_read_process() - The next one. Free with guest_process_done() */
void guest_read_process(struct codec_reader *reader, struct guest_process_spec *ret);
/** guest_process_done() - Free what was read */
void guest_process_done(const struct guest_process_spec *spec);

/** guest_write_visit() - Append the two addresses of a connection */
void guest_write_visit(struct osa_buf *buf, const struct door_visit *visit);
/** guest_read_visit() - The next ones, which are of TCP */
void guest_read_visit(struct codec_reader *reader, struct door_visit *ret);

/** struct guest_owner - A received door_owner; its strings are within the body */
struct guest_owner {
    struct door_owner owner;
    const char **lists[2]; /* owned */
};

/** guest_write_owner() - Append who opened a connection */
void guest_write_owner(struct osa_buf *buf, const struct door_owner *owner);
/** guest_read_owner() - The next one. Free with guest_owner_done() */
void guest_read_owner(struct codec_reader *reader, struct guest_owner *ret);
/** guest_owner_done() - Free what was read */
void guest_owner_done(const struct guest_owner *owner);
