/* Writes down what a program does to its files, so that a test can say what a power cut would leave.
 *
 * Preloaded into a child process. Every change below POWERCUT_DIR is made as usual and then appended to
 * the file POWERCUT_LOG:
 *
 *     kind (1 byte), inode (8), number (8), length of path (4), length of data (4), path, data
 *
 * A write is logged after it was made and before the caller hears of it; a sync is logged when it begins
 * ('b') and when it ended well ('e', with the number of its beginning). What was logged before a sync
 * began is therefore covered by it. Numbers are in the byte order of the machine.
 *
 * Each sync takes POWERCUT_SYNC_US microseconds longer, as on a slow disk: the more is written beside one,
 * the more a power cut can take.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define FILES_MAX 65536

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char *paths[FILES_MAX];
static int log_file = -1;
static const char *folder;
static uint64_t entries;
static useconds_t sync_delay;

__attribute__((constructor)) static void begin(void) {
    const char *log_path = getenv("POWERCUT_LOG");
    folder = getenv("POWERCUT_DIR");
    const char *delay = getenv("POWERCUT_SYNC_US");
    sync_delay = delay == NULL ? 0 : (useconds_t)atoi(delay);
    if (log_path != NULL && folder != NULL)
        log_file = (int)syscall(SYS_openat, AT_FDCWD, log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static int is_ours(const char *path) {
    return log_file >= 0 && strncmp(path, folder, strlen(folder)) == 0;
}

static const char *path_of(int file) {
    return log_file >= 0 && file >= 0 && file < FILES_MAX ? paths[file] : NULL;
}

/* Returns the number of the entry. */
static uint64_t put(char kind, uint64_t inode, uint64_t number, const char *path, const void *data, size_t length) {
    char head[25];
    uint32_t path_length = path == NULL ? 0 : (uint32_t)strlen(path), data_length = (uint32_t)length;
    head[0] = kind;
    memcpy(head + 1, &inode, 8);
    memcpy(head + 9, &number, 8);
    memcpy(head + 17, &path_length, 4);
    memcpy(head + 21, &data_length, 4);
    struct iovec parts[3] = {{head, sizeof head}, {(void *)path, path_length}, {(void *)data, length}};
    pthread_mutex_lock(&lock);
    uint64_t entry = entries++;
    size_t total = sizeof head + path_length + length;
    if (syscall(SYS_writev, log_file, parts, 3) != (long)total) {
        fprintf(stderr, "powercut: the log cannot be written\n");
        abort();
    }
    pthread_mutex_unlock(&lock);
    return entry;
}

static uint64_t inode_of(int file) {
    struct stat status;
    return fstat(file, &status) == 0 ? (uint64_t)status.st_ino : 0;
}

static void opened(int file, const char *path, int flags, int existed) {
    if (file < 0 || file >= FILES_MAX || !is_ours(path))
        return;
    paths[file] = strdup(path);
    if (!existed)
        put('c', inode_of(file), 0, path, NULL, 0);
    else if (flags & O_TRUNC)
        put('t', inode_of(file), 0, path, NULL, 0);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

#define OPEN(name)                                                             \
    int name(const char *path, int flags, ...) {                               \
        va_list arguments;                                                     \
        va_start(arguments, flags);                                            \
        mode_t mode = (flags & O_CREAT) ? va_arg(arguments, mode_t) : 0;       \
        va_end(arguments);                                                     \
        int existed = access(path, F_OK) == 0;                                 \
        int file = REAL(name)(path, flags, mode);                              \
        int error = errno;                                                     \
        opened(file, path, flags, existed);                                    \
        errno = error;                                                         \
        return file;                                                           \
    }
OPEN(open)
OPEN(open64)

int close(int file) {
    if (path_of(file) != NULL) {
        free(paths[file]);
        paths[file] = NULL;
    }
    return REAL(close)(file);
}

#define PWRITE(name, offset_type)                                              \
    ssize_t name(int file, const void *data, size_t length, offset_type at) {  \
        ssize_t written = REAL(name)(file, data, length, at);                  \
        int error = errno;                                                     \
        if (written > 0 && path_of(file) != NULL)                              \
            put('w', inode_of(file), (uint64_t)at, paths[file], data, (size_t)written); \
        errno = error;                                                         \
        return written;                                                        \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

ssize_t write(int file, const void *data, size_t length) {
    ssize_t written = REAL(write)(file, data, length);
    int error = errno;
    if (written > 0 && path_of(file) != NULL)
        put('w', inode_of(file), (uint64_t)(lseek(file, 0, SEEK_CUR) - written), paths[file], data, (size_t)written);
    errno = error;
    return written;
}

#define TRUNCATE(name, length_type)                                            \
    int name(int file, length_type length) {                                   \
        int result = REAL(name)(file, length);                                 \
        if (result == 0 && path_of(file) != NULL)                              \
            put('t', inode_of(file), (uint64_t)length, paths[file], NULL, 0);  \
        return result;                                                         \
    }
TRUNCATE(ftruncate, off_t)
TRUNCATE(ftruncate64, off64_t)

#define SYNC(name)                                                             \
    int name(int file) {                                                       \
        if (path_of(file) == NULL)                                             \
            return REAL(name)(file);                                           \
        uint64_t began = put('b', inode_of(file), 0, paths[file], NULL, 0);    \
        usleep(sync_delay);                                                    \
        int result = REAL(name)(file);                                         \
        if (result == 0)                                                       \
            put('e', inode_of(file), began, paths[file], NULL, 0);             \
        return result;                                                         \
    }
SYNC(fsync)
SYNC(fdatasync)

int rename(const char *from, const char *to) {
    int result = REAL(rename)(from, to);
    if (result == 0 && is_ours(to))
        put('r', 0, 0, from, to, strlen(to));
    return result;
}

int unlink(const char *path) {
    int result = REAL(unlink)(path);
    if (result == 0 && is_ours(path))
        put('u', 0, 0, path, NULL, 0);
    return result;
}

int mkdir(const char *path, mode_t mode) {
    int result = REAL(mkdir)(path, mode);
    if (result == 0 && is_ours(path))
        put('d', 0, 0, path, NULL, 0);
    return result;
}
