/* Faults of a disk, for a program that is started with LD_PRELOAD. The file TORTURE_FAULTS, mapped,
 * says which calls fail: calls is a set of the bits below, error an errno or 0 to hang until the set
 * is emptied, left the number of calls that still fail (-1: no limit). hits counts them. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { READ_JOURNAL = 1, WRITE_JOURNAL = 2, SYNC_JOURNAL = 4, OPEN_JOURNAL = 8,
       READ_LEDGER = 16, WRITE_LEDGER = 32, SYNC_LEDGER = 64 };

struct control { volatile uint32_t calls, error; volatile int32_t left; volatile uint32_t hits; };
static struct control none, *control = &none;

__attribute__((constructor)) static void map_control(void) {
    const char *path = getenv("TORTURE_FAULTS");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0) return;
    void *at = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at != MAP_FAILED) control = at;
    close(fd);
}

static uint32_t kind_of(const char *path, uint32_t journal, uint32_t ledger) {
    if (strstr(path, "/journal/")) return journal;
    if (strstr(path, "/ledger/")) return ledger;
    return 0;
}

/* Returns an errno if the call must fail; hangs as long as the control says so. */
static int fault(uint32_t call) {
    if (!(control->calls & call)) return 0;
    if (control->left == 0) return 0;
    if (control->left > 0 && __sync_fetch_and_sub(&control->left, 1) <= 0) return 0;
    __sync_fetch_and_add(&control->hits, 1);
    if (control->error) return (int)control->error;
    while (control->calls & call) usleep(10000);
    return 0;
}

static int fault_of(int fd, uint32_t journal, uint32_t ledger) {
    char link[64], path[4096];
    if (!(control->calls & (journal | ledger))) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    uint32_t call = kind_of(path, journal, ledger);
    return call ? fault(call) : 0;
}

#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (!real) real = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)
#define FAIL(journal, ledger) \
    int failed = fault_of(fd, journal, ledger); \
    if (failed) { errno = failed; return -1; }

ssize_t pread64(int fd, void *to, size_t length, off64_t at) {
    REAL(ssize_t, "pread64", int, void *, size_t, off64_t);
    FAIL(READ_JOURNAL, READ_LEDGER)
    return real(fd, to, length, at);
}
ssize_t pread(int fd, void *to, size_t length, off_t at) { return pread64(fd, to, length, at); }
ssize_t read(int fd, void *to, size_t length) {
    REAL(ssize_t, "read", int, void *, size_t);
    FAIL(READ_JOURNAL, READ_LEDGER)
    return real(fd, to, length);
}
ssize_t pwrite64(int fd, const void *from, size_t length, off64_t at) {
    REAL(ssize_t, "pwrite64", int, const void *, size_t, off64_t);
    FAIL(WRITE_JOURNAL, WRITE_LEDGER)
    return real(fd, from, length, at);
}
ssize_t pwrite(int fd, const void *from, size_t length, off_t at) {
    return pwrite64(fd, from, length, at);
}
ssize_t write(int fd, const void *from, size_t length) {
    REAL(ssize_t, "write", int, const void *, size_t);
    FAIL(WRITE_JOURNAL, WRITE_LEDGER)
    return real(fd, from, length);
}
ssize_t writev(int fd, const struct iovec *parts, int count) {
    REAL(ssize_t, "writev", int, const struct iovec *, int);
    FAIL(WRITE_JOURNAL, WRITE_LEDGER)
    return real(fd, parts, count);
}
int fsync(int fd) {
    REAL(int, "fsync", int);
    FAIL(SYNC_JOURNAL, SYNC_LEDGER)
    return real(fd);
}
int fdatasync(int fd) {
    REAL(int, "fdatasync", int);
    FAIL(SYNC_JOURNAL, SYNC_LEDGER)
    return real(fd);
}
int sync_file_range(int fd, off64_t at, off64_t length, unsigned flags) {
    REAL(int, "sync_file_range", int, off64_t, off64_t, unsigned);
    FAIL(SYNC_JOURNAL, SYNC_LEDGER)
    return real(fd, at, length, flags);
}
int open64(const char *path, int flags, ...) {
    REAL(int, "open64", const char *, int, ...);
    va_list rest;
    va_start(rest, flags);
    mode_t mode = va_arg(rest, mode_t);
    va_end(rest);
    uint32_t call = control->calls & OPEN_JOURNAL ? kind_of(path, OPEN_JOURNAL, 0) : 0;
    int failed = call ? fault(call) : 0;
    if (failed) { errno = failed; return -1; }
    return real(path, flags, mode);
}
