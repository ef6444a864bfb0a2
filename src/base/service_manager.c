// SPDX-License-Identifier: Apache-2.0
#include "base/service_manager.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define FIRST_SOCKET 3 /* SD_LISTEN_FDS_START */

static const char *const variables[] = { "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID",
                                         "LISTEN_FDS",    "LISTEN_PID",    "LISTEN_FDNAMES" };

/* Return: OSA_OK with *ret_value 0 when the variable is not set. */
static enum osa_code read_number(const char *name, uint64_t max, uint64_t *ret_value,
                                 struct osa_error *err)
{
    const char *text = getenv(name);
    char *end = NULL;
    *ret_value = 0;
    if (text == NULL)
        return OSA_OK;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || value > max)
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0, "%s: '%.64s' is not a number up to %llu",
                        name, text, (unsigned long long)max);
    *ret_value = value;
    return OSA_OK;
}

/* A variable for a certain process counts when that is us, or when it does not say. */
static enum osa_code meant_for_us(const char *name, bool *ret_ours, struct osa_error *err)
{
    uint64_t pid;
    enum osa_code code = read_number(name, INT32_MAX, &pid, err);
    *ret_ours = code == OSA_OK && (pid == 0 || pid == (uint64_t)getpid());
    return code;
}

static enum osa_code open_notify(struct osa_service *service, struct osa_error *err)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    if (path == NULL || path[0] == '\0')
        return OSA_OK;
    size_t len = strlen(path);
    if ((path[0] != '/' && path[0] != '@') || len >= sizeof(address.sun_path))
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0,
                        "NOTIFY_SOCKET: '%.128s' is neither an absolute path nor an abstract name",
                        path);
    memcpy(address.sun_path, path, len);
    if (path[0] == '@')
        address.sun_path[0] = '\0';
    OSA_AUTO(osa_close_fd) int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    if (fd < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 ||
        connect(fd, (const struct sockaddr *)&address,
                (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) < 0)
        return osa_fail(err, OSA_INVALID_ARGUMENT, errno,
                        "NOTIFY_SOCKET: '%.128s' cannot be reached", path);
    service->notify_fd = osa_take_fd(&fd);
    return OSA_OK;
}

static enum osa_code read_watchdog(struct osa_service *service, struct osa_error *err)
{
    uint64_t us;
    bool ours;
    enum osa_code code = read_number("WATCHDOG_USEC", INT64_MAX / OSA_NS_PER_US, &us, err);
    if (code == OSA_OK && (code = meant_for_us("WATCHDOG_PID", &ours, err)) == OSA_OK && ours)
        service->watchdog_ns = (int64_t)us * OSA_NS_PER_US;
    return code;
}

static enum osa_code take_one(struct osa_service *service, int fd, const char *name,
                              size_t name_len, struct osa_error *err)
{
    struct osa_service_socket *socket = &service->sockets[service->socket_count];
    int listening = 0;
    socklen_t len = sizeof(listening);
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) < 0 || listening == 0)
        return osa_fail(err, OSA_INVALID_ARGUMENT, errno,
                        "LISTEN_FDS: descriptor %d is not a listening socket", fd);
    if (name_len >= sizeof(socket->name))
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0, "LISTEN_FDNAMES: a name is too long");
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
        return osa_fail_errno(err, errno, "LISTEN_FDS: descriptor %d", fd);
    socket->fd = fd;
    memcpy(socket->name, name, name_len);
    service->socket_count++;
    return OSA_OK;
}

static enum osa_code take_sockets(struct osa_service *service, struct osa_error *err)
{
    uint64_t count;
    bool ours;
    enum osa_code code = read_number("LISTEN_FDS", OSA_SERVICE_SOCKETS, &count, err);
    if (code != OSA_OK || (code = meant_for_us("LISTEN_PID", &ours, err)) != OSA_OK || !ours)
        return code;
    const char *names = getenv("LISTEN_FDNAMES");
    for (uint64_t i = 0; i < count && code == OSA_OK; i++) {
        const char *name = names != NULL && names[0] != '\0' ? names : "unknown";
        size_t len = strcspn(name, ":");
        code = take_one(service, FIRST_SOCKET + (int)i, name, len, err);
        names = names != NULL && names[len] == ':' ? names + len + 1 : NULL;
    }
    return code;
}

enum osa_code osa_service_open(struct osa_service *service, struct osa_error *err)
{
    *service = (struct osa_service){ .notify_fd = -1 };
    enum osa_code code = open_notify(service, err);
    if (code == OSA_OK)
        code = read_watchdog(service, err);
    if (code == OSA_OK)
        code = take_sockets(service, err);
    for (size_t i = 0; i < OSA_ARRAY_LEN(variables); i++)
        (void)unsetenv(variables[i]);
    if (code != OSA_OK)
        osa_service_close(service);
    return code;
}

void osa_service_close(struct osa_service *service)
{
    if (service->loop != NULL)
        osa_timer_disarm(&service->beat);
    osa_replace_fd(&service->notify_fd, -1);
    for (size_t i = 0; i < service->socket_count; i++)
        osa_replace_fd(&service->sockets[i].fd, -1);
    service->socket_count = 0;
    service->loop = NULL;
}

int osa_service_take_socket(struct osa_service *service, const char *name)
{
    for (size_t i = 0; i < service->socket_count; i++) {
        if (service->sockets[i].fd >= 0 && strcmp(service->sockets[i].name, name) == 0)
            return osa_take_fd(&service->sockets[i].fd);
    }
    return -1;
}

void osa_service_tell(const struct osa_service *service, const char *state)
{
    if (service->notify_fd < 0)
        return;
    if (send(service->notify_fd, state, strlen(state), 0) >= 0)
        return;
    struct osa_error err = { 0 };
    (void)osa_fail_errno(&err, errno, "the service manager does not listen");
    osa_log_error(OSA_LOG_WARN, "service", "state not told", &err);
}

static void on_beat(struct osa_timer *timer)
{
    struct osa_service *service = OSA_CONTAINER_OF(timer, struct osa_service, beat);
    osa_service_tell(service, "WATCHDOG=1");
    osa_timer_arm(service->loop, timer, osa_deadline_after(service->watchdog_ns / 2));
}

void osa_service_watch(struct osa_service *service, struct osa_loop *loop)
{
    if (service->watchdog_ns == 0 || service->notify_fd < 0)
        return;
    service->loop = loop;
    service->beat.fire = on_beat;
    on_beat(&service->beat);
}
