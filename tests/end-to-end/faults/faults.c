/* Makes the file operations of a program fail, by standing before the C library (LD_PRELOAD).
 *
 * Owns: counting what a process does to files below one folder, and one fault at one of these operations. Knows nothing of
 * Stagewright, so that the program under test is the one that is shipped, SQLite's own writes included; and so that nothing
 * in the product can make it fail on purpose.
 *
 *   FAULTS_UNDER  folder; operations on other files pass uncounted
 *   FAULTS_LOG    gets a line for each operation: its number, its name, `+` if it needs room on the disk, the file
 *   FAULTS_AT     the operation, from 1, at which it happens; 0 or absent: none
 *   FAULTS_KIND   full       from there on there is no room: a write takes half of its bytes, whatever needs room then fails
 *                 error      this one operation fails with EIO
 *                 kill       the process dies before the operation, as by `kill -9`
 *                 power      the same, and what was not flushed is lost: writes to files, names in directories
 *                 interrupt  SIGINT before every odd operation, SIGTERM before every even one; the operation happens
 *
 * Limits: what a program writes through a mapping or by a system call of its own is not seen.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define NEXT(name) \
    static __typeof__(&name) next_##name; \
    if (!next_##name) next_##name = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

enum kind { NONE, FULL, ERROR, KILL, POWER, INTERRUPT };
enum need { NO_ROOM, ROOM };
enum { PASS = 0, HALF = -1 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char under[PATH_MAX];
static size_t under_length;
static enum kind kind;
static long at, count;
static int log_file = -1, full;

/* Files with bytes that were not flushed: a handle of our own, and how long the file was when it was last flushed. */
static struct { int handle; dev_t device; ino_t inode; off_t flushed; int dirty; } files[4096];
static int file_count;
/* Names made since their directory was last flushed. */
static char names[4096][PATH_MAX];
static int name_count;

__attribute__((constructor)) static void begin(void) {
    static const struct { const char *name; enum kind kind; } kinds[] = {
        { "full", FULL }, { "error", ERROR }, { "kill", KILL }, { "power", POWER }, { "interrupt", INTERRUPT },
    };
    const char *folder = getenv("FAULTS_UNDER"), *log = getenv("FAULTS_LOG");
    const char *number = getenv("FAULTS_AT"), *name = getenv("FAULTS_KIND");
    if (!folder) return;
    snprintf(under, sizeof under, "%s", folder);
    under_length = strlen(under);
    at = number ? atol(number) : 0;
    for (size_t i = 0; name && i < sizeof kinds / sizeof *kinds; i++)
        if (!strcmp(name, kinds[i].name)) kind = kinds[i].kind;
    if (log) log_file = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
}

/* The path of a handle; false if it has none. */
static int path_of(int handle, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", handle);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return 1;
}

/* The absolute path of a name in a directory. */
static int path_at(int directory, const char *name, char *path) {
    char base[PATH_MAX];
    if (name[0] == '/') return snprintf(path, PATH_MAX, "%s", name) < PATH_MAX;
    if (directory == AT_FDCWD ? !getcwd(base, sizeof base) : !path_of(directory, base)) return 0;
    return snprintf(path, PATH_MAX, "%.*s/%s", PATH_MAX / 2, base, name) < PATH_MAX;
}

static int counts(const char *path) {
    return under_length && !strncmp(path, under, under_length) && (path[under_length] == '/' || !path[under_length]);
}

__attribute__((noreturn)) static void die(void) {
    syscall(SYS_kill, getpid(), SIGKILL);
    for (;;) pause();
}

static void lose_what_is_not_flushed(void) {
    for (int i = 0; i < name_count; i++) syscall(SYS_unlinkat, AT_FDCWD, names[i], 0);
    for (int i = 0; i < file_count; i++)
        if (files[i].dirty) syscall(SYS_ftruncate, files[i].handle, files[i].flushed);
}

/* Counts an operation. Returns PASS, HALF, or the error with which it fails. */
static int meet(const char *name, enum need need, const char *path) {
    int result = PASS;
    pthread_mutex_lock(&lock);
    long number = ++count;
    if (log_file >= 0) {
        char line[PATH_MAX + 64];
        int length = snprintf(line, sizeof line, "%ld %s%s %s\n", number, name, need == ROOM ? "+" : "", path);
        syscall(SYS_write, log_file, line, (size_t)length);
    }
    if (full && need == ROOM) result = ENOSPC;
    if (at && number == at) switch (kind) {
        case FULL:
            full = 1;
            if (need == ROOM) result = strstr(name, "write") ? HALF : ENOSPC;
            break;
        case ERROR: result = EIO; break;
        case POWER: lose_what_is_not_flushed(); die();
        case KILL: die();
        case INTERRUPT:
            syscall(SYS_kill, getpid(), number % 2 ? SIGINT : SIGTERM);
            usleep(3000); /* the program's handler runs on a thread of its own */
            break;
        case NONE: break;
    }
    pthread_mutex_unlock(&lock);
    return result;
}

static int find(int handle, struct stat *about) {
    if (fstat(handle, about)) return -1;
    for (int i = 0; i < file_count; i++)
        if (files[i].device == about->st_dev && files[i].inode == about->st_ino) return i;
    return file_count;
}

/* Before a write: from now on the file has bytes that are not flushed. */
static void dirty(int handle) {
    struct stat about;
    if (kind != POWER) return;
    pthread_mutex_lock(&lock);
    int i = find(handle, &about);
    if (i >= 0 && i == file_count && i < (int)(sizeof files / sizeof *files)) {
        /* Closing a handle would drop SQLite's locks: ours stay open to the end. */
        files[i].handle = fcntl(handle, F_DUPFD_CLOEXEC, 500);
        files[i].device = about.st_dev;
        files[i].inode = about.st_ino;
        files[i].flushed = about.st_size;
        file_count++;
    }
    if (i >= 0 && i < file_count) files[i].dirty = 1;
    pthread_mutex_unlock(&lock);
}

/* After a flush of a file or of a directory. */
static void flushed(int handle, const char *path) {
    struct stat about;
    if (kind != POWER) return;
    pthread_mutex_lock(&lock);
    int i = find(handle, &about), kept = 0;
    if (i >= 0 && i < file_count) {
        files[i].flushed = about.st_size;
        files[i].dirty = 0;
    }
    size_t length = strlen(path);
    for (int n = 0; n < name_count; n++) {
        const char *end = strrchr(names[n], '/');
        int here = (size_t)(end - names[n]) == length && !strncmp(names[n], path, length);
        if (!here && kept++ != n) memmove(names[kept - 1], names[n], PATH_MAX);
    }
    name_count = kept;
    pthread_mutex_unlock(&lock);
}

static void named(const char *path) {
    if (kind != POWER) return;
    pthread_mutex_lock(&lock);
    if (name_count < (int)(sizeof names / sizeof *names)) snprintf(names[name_count++], PATH_MAX, "%s", path);
    pthread_mutex_unlock(&lock);
}

/* Meets an operation on a path or a handle and leaves if it fails. */
#define MEET(name, need) do { \
        int fate = meet(name, need, path); \
        if (fate > 0) { errno = fate; return -1; } \
    } while (0)

#define OPEN(function, ...) do { \
        char path[PATH_MAX]; \
        int mode = 0; \
        if (flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE) { \
            va_list rest; va_start(rest, flags); mode = va_arg(rest, int); va_end(rest); \
            if (path_at(directory, file, path) && counts(path)) \
                MEET("create", access(path, F_OK) ? ROOM : NO_ROOM); \
        } \
        return next_##function(__VA_ARGS__, flags, mode); \
    } while (0)

int open(const char *file, int flags, ...) { NEXT(open); int directory = AT_FDCWD; OPEN(open, file); }
int open64(const char *file, int flags, ...) { NEXT(open64); int directory = AT_FDCWD; OPEN(open64, file); }
int openat(int directory, const char *file, int flags, ...) { NEXT(openat); OPEN(openat, directory, file); }
int openat64(int directory, const char *file, int flags, ...) { NEXT(openat64); OPEN(openat64, directory, file); }

#define WRITE(function, half, ...) do { \
        char path[PATH_MAX]; \
        if (under_length && path_of(handle, path) && counts(path)) { \
            int fate = meet(#function, ROOM, path); \
            if (fate > 0) { errno = fate; return -1; } \
            dirty(handle); \
            if (fate == HALF) { half; } \
        } \
        return next_##function(handle, __VA_ARGS__); \
    } while (0)
/* One byte cannot be halved: then there is no room for it at all. */
#define HALVE() do { if (length < 2) { errno = ENOSPC; return -1; } length /= 2; } while (0)

ssize_t write(int handle, const void *bytes, size_t length) { NEXT(write); WRITE(write, HALVE(), bytes, length); }
ssize_t pwrite(int handle, const void *bytes, size_t length, off_t offset) {
    NEXT(pwrite); WRITE(pwrite, HALVE(), bytes, length, offset);
}
ssize_t pwrite64(int handle, const void *bytes, size_t length, off64_t offset) {
    NEXT(pwrite64); WRITE(pwrite64, HALVE(), bytes, length, offset);
}
ssize_t writev(int handle, const struct iovec *pieces, int pieces_count) {
    NEXT(writev); WRITE(writev, errno = ENOSPC; return -1, pieces, pieces_count);
}

#define ON_HANDLE(function, name, need, after, ...) do { \
        char path[PATH_MAX]; \
        int ours = under_length && path_of(handle, path) && counts(path); \
        if (ours) MEET(name, need); \
        int result = next_##function(__VA_ARGS__); \
        if (ours && !result) { after; } \
        return result; \
    } while (0)

int fsync(int handle) { NEXT(fsync); ON_HANDLE(fsync, "fsync", NO_ROOM, flushed(handle, path), handle); }
int fdatasync(int handle) { NEXT(fdatasync); ON_HANDLE(fdatasync, "fdatasync", NO_ROOM, flushed(handle, path), handle); }
int ftruncate(int handle, off_t size) { NEXT(ftruncate); ON_HANDLE(ftruncate, "ftruncate", NO_ROOM, , handle, size); }
int ftruncate64(int handle, off64_t size) { NEXT(ftruncate64); ON_HANDLE(ftruncate64, "ftruncate", NO_ROOM, , handle, size); }
int fallocate(int handle, int mode, off_t offset, off_t size) {
    NEXT(fallocate); ON_HANDLE(fallocate, "fallocate", ROOM, , handle, mode, offset, size);
}
int fallocate64(int handle, int mode, off64_t offset, off64_t size) {
    NEXT(fallocate64); ON_HANDLE(fallocate64, "fallocate", ROOM, , handle, mode, offset, size);
}

#define ON_NAME(function, name, need, directory, file, after, ...) do { \
        char path[PATH_MAX]; \
        int ours = under_length && path_at(directory, file, path) && counts(path); \
        if (ours) MEET(name, need); \
        int result = next_##function(__VA_ARGS__); \
        if (ours && !result) { after; } \
        return result; \
    } while (0)

int mkdir(const char *file, mode_t mode) { NEXT(mkdir); ON_NAME(mkdir, "mkdir", ROOM, AT_FDCWD, file, , file, mode); }
int mkdirat(int directory, const char *file, mode_t mode) {
    NEXT(mkdirat); ON_NAME(mkdirat, "mkdir", ROOM, directory, file, , directory, file, mode);
}
int rmdir(const char *file) { NEXT(rmdir); ON_NAME(rmdir, "rmdir", NO_ROOM, AT_FDCWD, file, , file); }
int unlink(const char *file) { NEXT(unlink); ON_NAME(unlink, "unlink", NO_ROOM, AT_FDCWD, file, , file); }
int unlinkat(int directory, const char *file, int flags) {
    NEXT(unlinkat); ON_NAME(unlinkat, "unlink", NO_ROOM, directory, file, , directory, file, flags);
}
int rename(const char *from, const char *to) {
    NEXT(rename); ON_NAME(rename, "rename", NO_ROOM, AT_FDCWD, to, named(path), from, to);
}
int renameat(int from_directory, const char *from, int directory, const char *to) {
    NEXT(renameat); ON_NAME(renameat, "rename", NO_ROOM, directory, to, named(path), from_directory, from, directory, to);
}
int renameat2(int from_directory, const char *from, int directory, const char *to, unsigned flags) {
    NEXT(renameat2);
    ON_NAME(renameat2, "rename", NO_ROOM, directory, to, named(path), from_directory, from, directory, to, flags);
}
int link(const char *from, const char *to) { NEXT(link); ON_NAME(link, "link", ROOM, AT_FDCWD, to, named(path), from, to); }
int linkat(int from_directory, const char *from, int directory, const char *to, int flags) {
    NEXT(linkat); ON_NAME(linkat, "link", ROOM, directory, to, named(path), from_directory, from, directory, to, flags);
}
