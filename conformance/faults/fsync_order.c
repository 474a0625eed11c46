/*
 * Records in which order a server writes its database, syncs it and answers.
 *
 * Build:  gcc -O2 -Wall -Wextra -shared -fPIC -o fsync_order.so fsync_order.c -ldl
 * Use:    FAULTS_LOG=order.log LD_PRELOAD=./fsync_order.so server ...
 *
 * Environment:
 *   FAULTS_LOG            where the log is appended; without it nothing is recorded
 *   FAULTS_DATABASE       how the path of the database file ends (default "/rows/db")
 *   FAULTS_DROP_SYNC      1: fsync and fdatasync of the database report success and do nothing;
 *                         to show that check_order.py notices
 *   FAULTS_SLOW_SYNC      microseconds that each sync of the database takes besides
 *   FAULTS_FAIL_WRITE     k: the k-th write to the database, and every one after it, fails
 *   FAULTS_FAIL_SYNC      k: the k-th sync of the database fails, once
 *   FAULTS_ERRNO          the error of those failures (default 5, EIO; 28 is ENOSPC)
 *   FAULTS_FAIL_COUNT     how many writes fail from the k-th on (default: all of them)
 *
 * Lines of the log, a sequence number first, each written by one write(2):
 *   N write <bytes> <offset>      a write to the database was begun
 *   N sync-begin                  fsync or fdatasync of the database was begun
 *   N sync-end <result>           and has ended (0, or -1)
 *   N sync-dropped                and was dropped, as asked
 *   N request <inode> <method>    a request line was read from this socket
 *   N answer <inode> <status>     bytes beginning "HTTP/1.1 20x" are about to be sent
 *   N fault <write|sync>          a failure was injected
 *
 * Only what goes through libc is seen. Rust's std does; a crate that makes its own system calls
 * (rustix by default) does not. HTTP must be plain: TLS hides the words looked for. An answer is
 * recognised when a send begins with its status line, a request when a read begins with its
 * request line, so clients must not pipeline.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static unsigned long sequence;
static unsigned long writes;
static unsigned long syncs;
static int log_fd = -1;
static const char *database = "/rows/db";
static int drop_sync;
static unsigned long slow_sync;
static unsigned long fail_write;
static unsigned long fail_count;
static unsigned long fail_sync;
static int fail_errno = EIO;

static unsigned long number(const char *variable)
{
    const char *text = getenv(variable);
    return text ? strtoul(text, NULL, 10) : 0;
}

static void start(void)
{
    const char *path = getenv("FAULTS_LOG");
    if (path)
        log_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (getenv("FAULTS_DATABASE"))
        database = getenv("FAULTS_DATABASE");
    drop_sync = number("FAULTS_DROP_SYNC") == 1;
    slow_sync = number("FAULTS_SLOW_SYNC");
    fail_write = number("FAULTS_FAIL_WRITE");
    fail_sync = number("FAULTS_FAIL_SYNC");
    fail_count = getenv("FAULTS_FAIL_COUNT") ? number("FAULTS_FAIL_COUNT") : ~0UL;
    if (number("FAULTS_ERRNO"))
        fail_errno = (int)number("FAULTS_ERRNO");
}

/* Numbering and writing are one step, so the order of the lines is the order of the numbers. */
__attribute__((format(printf, 1, 2))) static void record(const char *format, ...)
{
    char line[128];
    int used, saved = errno;
    va_list arguments;

    pthread_mutex_lock(&lock);
    if (log_fd >= 0) {
        used = snprintf(line, sizeof line, "%lu ", ++sequence);
        va_start(arguments, format);
        used += vsnprintf(line + used, sizeof line - (size_t)used - 1, format, arguments);
        va_end(arguments);
        if (used > (int)sizeof line - 2)
            used = (int)sizeof line - 2;
        line[used++] = '\n';
        if (syscall(SYS_write, log_fd, line, (size_t)used) < 0)
            log_fd = -1;
    }
    pthread_mutex_unlock(&lock);
    errno = saved;
}

static int is_database(int fd)
{
    char link[64], path[4096];
    ssize_t length;
    size_t wanted;
    int saved = errno;

    pthread_once(&once, start);
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    length = readlink(link, path, sizeof path - 1);
    errno = saved;
    wanted = strlen(database);
    if (length < (ssize_t)wanted)
        return 0;
    return memcmp(path + length - wanted, database, wanted) == 0;
}

/* The inode of a socket, the same for all its descriptors; 0 for what is none. */
static unsigned long socket_of(int fd)
{
    struct stat found;
    unsigned long inode = 0;
    int saved = errno;

    pthread_once(&once, start);
    if (fstat(fd, &found) == 0 && S_ISSOCK(found.st_mode))
        inode = (unsigned long)found.st_ino;
    errno = saved;
    return inode;
}

/* Records a write to the database. Says whether it is to fail. */
static int write_begins(size_t bytes, off_t offset)
{
    unsigned long mine = __atomic_add_fetch(&writes, 1, __ATOMIC_SEQ_CST);

    if (fail_write && mine >= fail_write && mine - fail_write < fail_count) {
        record("fault write");
        return 1;
    }
    record("write %zu %lld", bytes, (long long)offset);
    return 0;
}

static void sent(int fd, const void *bytes, size_t length)
{
    const char *text = bytes;
    unsigned long inode;

    if (length >= 12 && memcmp(text, "HTTP/1.1 20", 11) == 0 && (inode = socket_of(fd)))
        record("answer %lu %.3s", inode, text + 9);
}

static void received(int fd, const void *bytes, ssize_t length)
{
    static const char *const methods[] = {
        "GET ", "HEAD ", "PUT ", "POST ", "DELETE ", "OPTIONS ", "PROPFIND ", "PROPPATCH ", "REPORT ",
        "MKCOL ", "MKCALENDAR ", "COPY ", "MOVE ", "LOCK ", "UNLOCK ", "ACL ", "PATCH ",
    };
    unsigned long inode;
    size_t at, size;

    for (at = 0; length > 0 && at < sizeof methods / sizeof *methods; at++) {
        size = strlen(methods[at]);
        if ((size_t)length >= size && memcmp(bytes, methods[at], size) == 0 && (inode = socket_of(fd))) {
            record("request %lu %.*s", inode, (int)size - 1, methods[at]);
            return;
        }
    }
}

#define REAL(name) \
    static __typeof__(&name) real; \
    if (!real) \
        real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

#define FAIL \
    do { \
        errno = fail_errno; \
        return -1; \
    } while (0)

ssize_t write(int fd, const void *bytes, size_t length)
{
    REAL(write);
    sent(fd, bytes, length);
    if (is_database(fd) && write_begins(length, -1))
        FAIL;
    return real(fd, bytes, length);
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    REAL(writev);
    if (count > 0)
        sent(fd, parts[0].iov_base, parts[0].iov_len);
    if (is_database(fd) && write_begins((size_t)count, -1))
        FAIL;
    return real(fd, parts, count);
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset)
{
    REAL(pwrite);
    if (is_database(fd) && write_begins(length, offset))
        FAIL;
    return real(fd, bytes, length, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset)
{
    REAL(pwrite64);
    if (is_database(fd) && write_begins(length, offset))
        FAIL;
    return real(fd, bytes, length, offset);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
    REAL(pwritev);
    if (is_database(fd) && write_begins((size_t)count, offset))
        FAIL;
    return real(fd, parts, count, offset);
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset)
{
    REAL(pwritev64);
    if (is_database(fd) && write_begins((size_t)count, offset))
        FAIL;
    return real(fd, parts, count, offset);
}

static int synced(int fd, int (*real)(int))
{
    unsigned long mine;
    int result;

    if (!is_database(fd))
        return real(fd);
    mine = __atomic_add_fetch(&syncs, 1, __ATOMIC_SEQ_CST);
    if (fail_sync && mine == fail_sync) {
        record("fault sync");
        FAIL;
    }
    if (drop_sync) {
        record("sync-dropped");
        return 0;
    }
    record("sync-begin");
    if (slow_sync)
        usleep((useconds_t)slow_sync);
    result = real(fd);
    record("sync-end %d", result);
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

ssize_t send(int fd, const void *bytes, size_t length, int flags)
{
    REAL(send);
    sent(fd, bytes, length);
    return real(fd, bytes, length, flags);
}

ssize_t sendto(int fd, const void *bytes, size_t length, int flags, const struct sockaddr *to, socklen_t size)
{
    REAL(sendto);
    sent(fd, bytes, length);
    return real(fd, bytes, length, flags, to, size);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    REAL(sendmsg);
    if (message->msg_iovlen > 0)
        sent(fd, message->msg_iov[0].iov_base, message->msg_iov[0].iov_len);
    return real(fd, message, flags);
}

ssize_t read(int fd, void *bytes, size_t length)
{
    ssize_t got;
    REAL(read);
    got = real(fd, bytes, length);
    received(fd, bytes, got);
    return got;
}

ssize_t readv(int fd, const struct iovec *parts, int count)
{
    ssize_t got;
    REAL(readv);
    got = real(fd, parts, count);
    if (got > 0 && count > 0)
        received(fd, parts[0].iov_base, got < (ssize_t)parts[0].iov_len ? got : (ssize_t)parts[0].iov_len);
    return got;
}

ssize_t recv(int fd, void *bytes, size_t length, int flags)
{
    ssize_t got;
    REAL(recv);
    got = real(fd, bytes, length, flags);
    if (!(flags & MSG_PEEK))
        received(fd, bytes, got);
    return got;
}

ssize_t recvfrom(int fd, void *bytes, size_t length, int flags, struct sockaddr *from, socklen_t *size)
{
    ssize_t got;
    REAL(recvfrom);
    got = real(fd, bytes, length, flags, from, size);
    if (!(flags & MSG_PEEK))
        received(fd, bytes, got);
    return got;
}
