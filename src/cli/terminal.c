// SPDX-License-Identifier: Apache-2.0
#include "cli/terminal.h"

#include "base/fd.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

static struct termios saved;
static bool is_raw;
/* Writing end of the pipe that the handler fills; set before the handler is. */
static int signal_fd = -1;

bool cli_terminal_size(int fd, uint32_t *ret_rows, uint32_t *ret_columns)
{
    struct winsize size;
    if (ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_row == 0 || size.ws_col == 0)
        return false;
    *ret_rows = size.ws_row;
    *ret_columns = size.ws_col;
    return true;
}

bool cli_terminal_raw(void)
{
    static bool registered;
    struct termios raw;
    if (is_raw)
        return true;
    if (tcgetattr(STDIN_FILENO, &saved) != 0)
        return false;
    if (!registered && atexit(cli_terminal_restore) != 0)
        return false;
    registered = true;
    raw = saved;
    cfmakeraw(&raw);
    is_raw = tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) == 0;
    return is_raw;
}

void cli_terminal_restore(void)
{
    if (is_raw)
        (void)tcsetattr(STDIN_FILENO, TCSADRAIN, &saved);
    is_raw = false;
}

static void on_signal(int signo)
{
    int keep = errno;
    unsigned char byte = (unsigned char)signo;
    /* A full pipe means that many signals wait already. */
    ssize_t ignored = write(signal_fd, &byte, 1);
    (void)ignored;
    errno = keep;
}

enum osa_code cli_signals_open(const int *signals, int *ret_fd, struct osa_error *err)
{
    int ends[2];
    enum osa_code code = osa_pipe(ends, err);
    if (code != OSA_OK)
        return code;
    code = osa_set_nonblocking(ends[0], true, err);
    if (code == OSA_OK)
        code = osa_set_nonblocking(ends[1], true, err);
    if (code != OSA_OK) {
        osa_close_fd(&ends[0]);
        osa_close_fd(&ends[1]);
        return code;
    }
    signal_fd = ends[1];
    struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
    for (; *signals != 0; signals++)
        (void)sigaction(*signals, &action, NULL);
    *ret_fd = ends[0];
    return OSA_OK;
}

const char *cli_signal_word(int signo)
{
    switch (signo) {
    case SIGHUP:
        return "HUP";
    case SIGINT:
        return "INT";
    case SIGQUIT:
        return "QUIT";
    case SIGTERM:
        return "TERM";
    case SIGUSR1:
        return "USR1";
    case SIGUSR2:
        return "USR2";
    default:
        return NULL;
    }
}
