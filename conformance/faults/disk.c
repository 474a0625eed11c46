/*
 * Traces everything a program does to the files below one directory, so that power_cuts.py can
 * build the disks that a power cut may leave; and lets the k-th of these calls fail, for sweep.py.
 *
 * Build:  gcc -O2 -Wall -Wextra -shared -fPIC -o disk.so disk.c -ldl
 * Use:    DISK_DIR=/data DISK_TRACE=trace LD_PRELOAD=./disk.so server ...
 *
 * Environment:
 *   DISK_DIR      the directory, absolute, without a slash at the end; without it nothing is done
 *   DISK_TRACE    where the trace is appended (outside of DISK_DIR)
 *   DISK_COUNTS   a file of 8 counters of 8 bytes each, kept up to date: calls of each kind seen
 *                 (write, sync, rename, open, truncate, remove), then the failures made
 *   DISK_FAIL     the kind that fails: write, sync, rename, open, truncate or remove
 *   DISK_AT       k: the k-th call of that kind fails
 *   DISK_TIMES    how many fail from there on (default 1, 0 for all)
 *   DISK_ERRNO    the error (default 5, EIO; 28 is ENOSPC)
 *   DISK_SHORT    1: the k-th write writes half of its bytes and says so; those after it fail
 *   DISK_DELAY    milliseconds until a failing call returns
 *
 * A record of the trace is a `struct record` and then its two paths and its data. Changes are made
 * and recorded under one lock, so their order is that of the trace; a sync is recorded when it
 * begins and when it has ended. Answers ("HTTP/1.1 ...") are recorded with the port of the client
 * before they are sent. Only what goes through libc is seen; HTTP must be plain.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { WRITE, SYNC, RENAME, OPEN, TRUNCATE, REMOVE, KINDS, FAILURES = KINDS };
enum { R_CREATE = 1, R_WRITE, R_TRUNCATE, R_RENAME, R_UNLINK, R_MKDIR, R_RMDIR, R_SYNC, R_SYNCED, R_ANSWER, R_LINK };

struct record {
    uint32_t magic, what;
    uint64_t inode, a, b;
    uint32_t path, path2, data, pad;
};

static const char *const names[] = { "write", "sync", "rename", "open", "truncate", "remove" };
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static const char *root;
static size_t root_size;
static int trace_fd = -1;
static uint64_t own_counts[8], *counts = own_counts;
static int fail_kind = -1, fail_errno = EIO, fail_short;
static uint64_t fail_at, fail_times = 1, fail_delay, sync_number;

#define REAL(name) \
    static __typeof__(&name) real; \
    if (!real) \
        real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

static uint64_t number(const char *variable, uint64_t otherwise)
{
    const char *text = getenv(variable);
    return text ? strtoull(text, NULL, 10) : otherwise;
}

static void start(void)
{
    const char *path = getenv("DISK_DIR"), *kind = getenv("DISK_FAIL");
    int fd, at;

    if (!path)
        return;
    if ((path = realpath(path, NULL)) == NULL)
        return;
    root_size = strlen(path);
    if (getenv("DISK_TRACE"))
        trace_fd = (int)syscall(SYS_openat, AT_FDCWD, getenv("DISK_TRACE"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (getenv("DISK_COUNTS")) {
        fd = (int)syscall(SYS_openat, AT_FDCWD, getenv("DISK_COUNTS"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (fd >= 0 && syscall(SYS_ftruncate, fd, sizeof own_counts) == 0) {
            counts = mmap(NULL, sizeof own_counts, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
            if (counts == MAP_FAILED)
                counts = own_counts;
        }
    }
    for (at = 0; kind && at < KINDS; at++)
        if (strcmp(kind, names[at]) == 0)
            fail_kind = at;
    fail_at = number("DISK_AT", 0);
    fail_times = number("DISK_TIMES", 1);
    fail_errno = (int)number("DISK_ERRNO", EIO);
    fail_short = number("DISK_SHORT", 0) == 1;
    fail_delay = number("DISK_DELAY", 0);
    root = path;
}

static void record(uint32_t what, uint64_t inode, uint64_t a, uint64_t b, const char *path, const char *path2,
                   const struct iovec *data, int parts, size_t length)
{
    struct record head = { 0x314b5344, what, inode, a, b, path ? (uint32_t)strlen(path) : 0,
                           path2 ? (uint32_t)strlen(path2) : 0, (uint32_t)length, 0 };
    struct iovec all[3] = { { &head, sizeof head }, { (void *)(uintptr_t)path, head.path }, { (void *)(uintptr_t)path2, head.path2 } };
    char *whole, *to;
    int saved = errno, at;

    if (trace_fd >= 0 && (whole = to = malloc(sizeof head + head.path + head.path2 + length))) {
        for (at = 0; at < 3; at++) {
            if (all[at].iov_len)
                memcpy(to, all[at].iov_base, all[at].iov_len);
            to += all[at].iov_len;
        }
        for (at = 0; at < parts && length; at++) {
            size_t size = data[at].iov_len < length ? data[at].iov_len : length;
            memcpy(to, data[at].iov_base, size);
            to += size;
            length -= size;
        }
        if (syscall(SYS_write, trace_fd, whole, (size_t)(to - whole)) != to - whole)
            abort();
        free(whole);
    }
    errno = saved;
}

/* The absolute path of a name, if it is below the directory. */
static const char *below(int folder, const char *name, char path[PATH_MAX])
{
    char link[64], base[PATH_MAX];
    ssize_t length;
    int saved = errno;

    pthread_once(&once, start);
    if (!root || !name)
        return NULL;
    if (name[0] == '/') {
        snprintf(path, PATH_MAX, "%s", name);
    } else {
        snprintf(link, sizeof link, folder == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", folder);
        length = readlink(link, base, sizeof base - 1);
        errno = saved;
        if (length < 0)
            return NULL;
        base[length] = 0;
        if (snprintf(path, PATH_MAX, "%s/%s", base, name) >= PATH_MAX)
            return NULL;
    }
    length = (ssize_t)strlen(path);
    while (length > 1 && path[length - 1] == '/')
        path[--length] = 0;
    return strncmp(path, root, root_size) == 0 && (path[root_size] == '/' || !path[root_size]) ? path : NULL;
}

/* The inode of a file or directory below the directory; 0 for any other descriptor. */
static uint64_t inode_of(int fd, struct stat *found)
{
    char link[64], path[PATH_MAX];
    ssize_t length;
    uint64_t inode = 0;
    int saved = errno;

    pthread_once(&once, start);
    if (root && fstat(fd, found) == 0 && (S_ISREG(found->st_mode) || S_ISDIR(found->st_mode))) {
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        length = readlink(link, path, sizeof path - 1);
        if (length >= (ssize_t)root_size && memcmp(path, root, root_size) == 0 &&
            (length == (ssize_t)root_size || path[root_size] == '/'))
            inode = (uint64_t)found->st_ino;
    }
    errno = saved;
    return inode;
}

enum verdict { WELL, SHORT, FAIL };

/* Counts a call and says whether it is to fail; errno is set then. */
static enum verdict count(int kind)
{
    uint64_t mine = __atomic_add_fetch(&counts[kind], 1, __ATOMIC_SEQ_CST);
    struct timespec pause = { (time_t)(fail_delay / 1000), (long)(fail_delay % 1000) * 1000000 };

    if (kind != fail_kind || mine < fail_at || (fail_times && mine - fail_at >= fail_times + (fail_short ? 1 : 0)))
        return WELL;
    __atomic_add_fetch(&counts[FAILURES], 1, __ATOMIC_SEQ_CST);
    if (fail_short && mine == fail_at)
        return SHORT;
    if (fail_delay)
        nanosleep(&pause, NULL);
    errno = fail_errno;
    return FAIL;
}

static void answered(int fd, const void *bytes, size_t length)
{
    struct sockaddr_in peer;
    socklen_t size = sizeof peer;
    int saved = errno;

    if (length < 12 || memcmp(bytes, "HTTP/1.1 ", 9) != 0)
        return;
    pthread_once(&once, start);
    if (root && getpeername(fd, (struct sockaddr *)&peer, &size) == 0 && peer.sin_family == AF_INET) {
        pthread_mutex_lock(&lock);
        record(R_ANSWER, 0, ntohs(peer.sin_port), strtoull((const char *)bytes + 9, NULL, 10), NULL, NULL, NULL, 0, 0);
        pthread_mutex_unlock(&lock);
    }
    errno = saved;
}

/* A write to a file below the directory. Offset -1: where the file stands. */
static ssize_t change(int fd, uint64_t inode, const struct stat *found, const struct iovec *parts, int number, off_t offset)
{
    enum verdict verdict = count(WRITE);
    struct iovec half;
    ssize_t done;

    if (verdict == FAIL)
        return -1;
    if (verdict == SHORT) {
        half.iov_base = parts[0].iov_base;
        half.iov_len = parts[0].iov_len / 2;
        parts = &half;
        number = 1;
    }
    pthread_mutex_lock(&lock);
    if (offset < 0) {
        int flags = fcntl(fd, F_GETFL);
        off_t at = flags & O_APPEND ? found->st_size : lseek(fd, 0, SEEK_CUR);
        done = (ssize_t)syscall(SYS_writev, fd, parts, number);
        offset = at;
    } else {
        done = (ssize_t)syscall(SYS_pwritev, fd, parts, number, offset, 0);
    }
    if (done > 0)
        record(R_WRITE, inode, (uint64_t)offset, 0, NULL, NULL, parts, number, (size_t)done);
    pthread_mutex_unlock(&lock);
    return done;
}

ssize_t write(int fd, const void *bytes, size_t length)
{
    struct iovec part = { (void *)(uintptr_t)bytes, length };
    struct stat found;
    uint64_t inode;
    REAL(write);
    answered(fd, bytes, length);
    return (inode = inode_of(fd, &found)) ? change(fd, inode, &found, &part, 1, -1) : real(fd, bytes, length);
}

ssize_t writev(int fd, const struct iovec *parts, int number)
{
    struct stat found;
    uint64_t inode;
    REAL(writev);
    if (number > 0)
        answered(fd, parts[0].iov_base, parts[0].iov_len);
    return (inode = inode_of(fd, &found)) ? change(fd, inode, &found, parts, number, -1) : real(fd, parts, number);
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset)
{
    struct iovec part = { (void *)(uintptr_t)bytes, length };
    struct stat found;
    uint64_t inode;
    REAL(pwrite64);
    return (inode = inode_of(fd, &found)) ? change(fd, inode, &found, &part, 1, offset) : real(fd, bytes, length, offset);
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset)
{
    return pwrite64(fd, bytes, length, offset);
}

ssize_t pwritev64(int fd, const struct iovec *parts, int number, off64_t offset)
{
    struct stat found;
    uint64_t inode;
    REAL(pwritev64);
    return (inode = inode_of(fd, &found)) ? change(fd, inode, &found, parts, number, offset) : real(fd, parts, number, offset);
}

ssize_t pwritev(int fd, const struct iovec *parts, int number, off_t offset)
{
    return pwritev64(fd, parts, number, offset);
}

int ftruncate64(int fd, off64_t length)
{
    struct stat found;
    uint64_t inode;
    int result;
    REAL(ftruncate64);
    if (!(inode = inode_of(fd, &found)))
        return real(fd, length);
    if (count(TRUNCATE) == FAIL)
        return -1;
    pthread_mutex_lock(&lock);
    if ((result = real(fd, length)) == 0)
        record(R_TRUNCATE, inode, (uint64_t)length, 0, NULL, NULL, NULL, 0, 0);
    pthread_mutex_unlock(&lock);
    return result;
}

int ftruncate(int fd, off_t length)
{
    return ftruncate64(fd, length);
}

static int synced(int fd, int (*real)(int))
{
    struct stat found;
    uint64_t inode = inode_of(fd, &found), mine;
    int result;

    if (!inode)
        return real(fd);
    if (count(SYNC) == FAIL)
        return -1;
    pthread_mutex_lock(&lock);
    mine = ++sync_number;
    record(R_SYNC, inode, mine, 0, NULL, NULL, NULL, 0, 0);
    pthread_mutex_unlock(&lock);
    result = real(fd);
    pthread_mutex_lock(&lock);
    record(R_SYNCED, inode, mine, result == 0, NULL, NULL, NULL, 0, 0);
    pthread_mutex_unlock(&lock);
    return result;
}

int fsync(int fd)
{
    REAL(fsync);
    return synced(fd, real);
}

int fdatasync(int fd)
{
    REAL(fdatasync);
    return synced(fd, real);
}

static int opened(int folder, const char *name, int flags, mode_t mode)
{
    char path[PATH_MAX];
    const char *known = below(folder, name, path);
    struct stat before, after;
    int fd, saved, was;

    if (!known)
        return (int)syscall(SYS_openat, folder, name, flags, mode);
    if (count(OPEN) == FAIL)
        return -1;
    pthread_mutex_lock(&lock);
    saved = errno;
    was = lstat(path, &before) == 0;
    errno = saved;
    fd = (int)syscall(SYS_openat, folder, name, flags, mode);
    saved = errno;
    if (fd >= 0 && flags & O_CREAT && !was && fstat(fd, &after) == 0)
        record(R_CREATE, (uint64_t)after.st_ino, after.st_mode, 0, path, NULL, NULL, 0, 0);
    else if (fd >= 0 && flags & O_TRUNC && was && before.st_size > 0)
        record(R_TRUNCATE, (uint64_t)before.st_ino, 0, 0, NULL, NULL, NULL, 0, 0);
    errno = saved;
    pthread_mutex_unlock(&lock);
    return fd;
}

#define MODE(flags, mode) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | O_TMPFILE)) { \
        va_list more; \
        va_start(more, flags); \
        mode = va_arg(more, mode_t); \
        va_end(more); \
    }

int open(const char *name, int flags, ...)
{
    MODE(flags, mode);
    return opened(AT_FDCWD, name, flags, mode);
}

int open64(const char *name, int flags, ...)
{
    MODE(flags, mode);
    return opened(AT_FDCWD, name, flags | O_LARGEFILE, mode);
}

int openat(int folder, const char *name, int flags, ...)
{
    MODE(flags, mode);
    return opened(folder, name, flags, mode);
}

int openat64(int folder, const char *name, int flags, ...)
{
    MODE(flags, mode);
    return opened(folder, name, flags | O_LARGEFILE, mode);
}

int rename(const char *from, const char *to)
{
    char one[PATH_MAX], two[PATH_MAX];
    int result;
    REAL(rename);
    if (!below(AT_FDCWD, from, one) || !below(AT_FDCWD, to, two))
        return real(from, to);
    if (count(RENAME) == FAIL)
        return -1;
    pthread_mutex_lock(&lock);
    if ((result = real(from, to)) == 0)
        record(R_RENAME, 0, 0, 0, one, two, NULL, 0, 0);
    pthread_mutex_unlock(&lock);
    return result;
}

static int linked(int from, const char *name, int to, const char *other, int flags)
{
    char one[PATH_MAX], two[PATH_MAX];
    int result;

    if (!below(from, name, one) || !below(to, other, two))
        return (int)syscall(SYS_linkat, from, name, to, other, flags);
    if (count(RENAME) == FAIL)
        return -1;
    pthread_mutex_lock(&lock);
    if ((result = (int)syscall(SYS_linkat, from, name, to, other, flags)) == 0)
        record(R_LINK, 0, 0, 0, one, two, NULL, 0, 0);
    pthread_mutex_unlock(&lock);
    return result;
}

int link(const char *name, const char *other)
{
    return linked(AT_FDCWD, name, AT_FDCWD, other, 0);
}

int linkat(int from, const char *name, int to, const char *other, int flags)
{
    return linked(from, name, to, other, flags);
}

static int removed(int folder, const char *name, int flags)
{
    char path[PATH_MAX];
    int result;

    if (!below(folder, name, path))
        return (int)syscall(SYS_unlinkat, folder, name, flags);
    if (count(REMOVE) == FAIL)
        return -1;
    pthread_mutex_lock(&lock);
    if ((result = (int)syscall(SYS_unlinkat, folder, name, flags)) == 0)
        record(flags & AT_REMOVEDIR ? R_RMDIR : R_UNLINK, 0, 0, 0, path, NULL, NULL, 0, 0);
    pthread_mutex_unlock(&lock);
    return result;
}

int unlink(const char *name)
{
    return removed(AT_FDCWD, name, 0);
}

int unlinkat(int folder, const char *name, int flags)
{
    return removed(folder, name, flags);
}

int rmdir(const char *name)
{
    return removed(AT_FDCWD, name, AT_REMOVEDIR);
}

int mkdir(const char *name, mode_t mode)
{
    char path[PATH_MAX];
    struct stat found;
    int result;
    REAL(mkdir);
    if (!below(AT_FDCWD, name, path))
        return real(name, mode);
    pthread_mutex_lock(&lock);
    if ((result = real(name, mode)) == 0 && lstat(path, &found) == 0)
        record(R_MKDIR, (uint64_t)found.st_ino, found.st_mode, 0, path, NULL, NULL, 0, 0);
    pthread_mutex_unlock(&lock);
    return result;
}

ssize_t send(int fd, const void *bytes, size_t length, int flags)
{
    REAL(send);
    answered(fd, bytes, length);
    return real(fd, bytes, length, flags);
}

ssize_t sendto(int fd, const void *bytes, size_t length, int flags, const struct sockaddr *to, socklen_t size)
{
    REAL(sendto);
    answered(fd, bytes, length);
    return real(fd, bytes, length, flags, to, size);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    REAL(sendmsg);
    if (message->msg_iovlen > 0)
        answered(fd, message->msg_iov[0].iov_base, message->msg_iov[0].iov_len);
    return real(fd, message, flags);
}
