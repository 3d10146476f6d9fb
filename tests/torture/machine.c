/* A machine that can be made bad: preloaded into a process, it lets that process's calls fail, its clocks jump or its threads run out, as
 * the file that MACHINE names says. tests/torture/machine.py writes that file, in the layout of struct ailments.
 *
 * Only files whose name holds ".db" are ill: the log of what happens must stay readable. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

struct ailments {
    long long sync_fails, disk_full, read_only;
    long long wall_seconds, boot_seconds;
    long long no_threads;
};

static const volatile struct ailments *ailments(void) {
    static const struct ailments none;
    static const volatile struct ailments *mapped;
    if (!mapped) {
        const char *path = getenv("MACHINE");
        int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
        void *at = file < 0 ? MAP_FAILED : mmap(NULL, sizeof(struct ailments), PROT_READ, MAP_SHARED, file, 0);
        if (file >= 0)
            close(file);
        mapped = at == MAP_FAILED ? &none : at;
    }
    return mapped;
}

static int is_database(int file) {
    char link[64], name[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, name, sizeof name - 1);
    if (length < 0)
        return 0;
    name[length] = 0;
    return strstr(name, ".db") != NULL;
}

static int sync_error(int file) {
    if (!ailments()->sync_fails || !is_database(file))
        return 0;
    errno = EIO;
    return 1;
}

static int write_error(int file) {
    const volatile struct ailments *now = ailments();
    if ((!now->disk_full && !now->read_only) || !is_database(file))
        return 0;
    errno = now->disk_full ? ENOSPC : EROFS;
    return 1;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

int fsync(int file) { return sync_error(file) ? -1 : REAL(fsync)(file); }
int fdatasync(int file) { return sync_error(file) ? -1 : REAL(fdatasync)(file); }

ssize_t write(int file, const void *what, size_t size) {
    return write_error(file) ? -1 : REAL(write)(file, what, size);
}

ssize_t pwrite(int file, const void *what, size_t size, off_t at) {
    return write_error(file) ? -1 : REAL(pwrite)(file, what, size, at);
}

ssize_t pwrite64(int file, const void *what, size_t size, off64_t at) {
    return write_error(file) ? -1 : REAL(pwrite64)(file, what, size, at);
}

int clock_gettime(clockid_t which, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real)
        real = REAL(clock_gettime);
    int failed = real(which, now);
    if (which == CLOCK_REALTIME)
        now->tv_sec += ailments()->wall_seconds;
    if (which == CLOCK_BOOTTIME)
        now->tv_sec += ailments()->boot_seconds;
    return failed;
}

int pthread_create(pthread_t *thread, const pthread_attr_t *how, void *(*run)(void *), void *with) {
    return ailments()->no_threads ? EAGAIN : REAL(pthread_create)(thread, how, run, with);
}
