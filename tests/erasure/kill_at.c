/*
 * Kills the process before the k-th step that changes what is on the disk.
 *
 *   KILL_AT=k LD_PRELOAD=./kill_at.so program ...
 *
 * Steps are unlink, rename, fsync, fdatasync, and writes to files named *.keys and *.new, as they
 * go through libc.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static unsigned long steps;

static void reached(void)
{
    static unsigned long at;

    if (!at) {
        const char *text = getenv("KILL_AT");
        at = text ? strtoul(text, NULL, 10) : ~0UL;
    }
    if (__atomic_add_fetch(&steps, 1, __ATOMIC_SEQ_CST) == at)
        kill(getpid(), SIGKILL);
}

#define REAL(name) \
    static __typeof__(&name) real; \
    if (!real) \
        real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

#define STEP(call) \
    do { \
        reached(); \
        return (call); \
    } while (0)

int unlink(const char *path)
{
    REAL(unlink);
    STEP(real(path));
}

int unlinkat(int dir, const char *path, int flags)
{
    REAL(unlinkat);
    STEP(real(dir, path, flags));
}

int rename(const char *from, const char *to)
{
    REAL(rename);
    STEP(real(from, to));
}

int fsync(int fd)
{
    REAL(fsync);
    STEP(real(fd));
}

int fdatasync(int fd)
{
    REAL(fdatasync);
    STEP(real(fd));
}

ssize_t write(int fd, const void *bytes, size_t length)
{
    REAL(write);
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t got = readlink(link, path, sizeof path - 1);
    if (got > 5 && (memcmp(path + got - 5, ".keys", 5) == 0 || memcmp(path + got - 4, ".new", 4) == 0))
        STEP(real(fd, bytes, length));
    return real(fd, bytes, length);
}
