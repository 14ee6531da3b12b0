/* What a power cut leaves: preloaded, it keeps in SHADOW_DIR what is on the disk of SHADOW_OF.

   A file is there as it was at its last fsync or fdatasync; what was written since is gone with the page
   cache. Deleting and renaming count at once. Every sync also looks for SHADOW_FAIL, a file that is
   deleted where it is found, and that sync fails with EIO: what it was to keep is not kept. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define REAL(name, ...) ((int (*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name))

/* Where the shadow of this path is; 0 for a file that is not directly in SHADOW_OF. */
static int shadow(const char *path, char *place) {
    const char *of = getenv("SHADOW_OF"), *in = getenv("SHADOW_DIR");
    char whole[PATH_MAX], folder[PATH_MAX] = "";
    if (!of || !in) return 0;
    if (path[0] != '/' && !getcwd(folder, sizeof folder)) return 0;
    if (snprintf(whole, sizeof whole, "%s%s%s", folder, *folder ? "/" : "", path) >= PATH_MAX) return 0;
    size_t length = strlen(of);
    if (strncmp(whole, of, length) || whole[length] != '/' || strchr(whole + length + 1, '/')) return 0;
    return snprintf(place, PATH_MAX, "%s%s", in, whole + length) < PATH_MAX;
}

static void copy(int fd, const char *place) {
    char link[64], making[PATH_MAX + 32], piece[1 << 16];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    snprintf(making, sizeof making, "%s.%ld.making", place, (long)syscall(SYS_gettid));
    int from = open(link, O_RDONLY | O_CLOEXEC);
    int to = open(making, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ssize_t size;
    while ((size = read(from, piece, sizeof piece)) > 0)
        if (write(to, piece, size) != size) abort();
    if (from < 0 || to < 0 || size < 0) abort();
    close(from);
    close(to);
    REAL(rename, const char *, const char *)(making, place);
}

static int sync_with(int (*really)(int), int fd) {
    char link[64], path[PATH_MAX], place[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return really(fd);
    path[length] = 0;
    if (!shadow(path, place)) return really(fd);
    const char *fail = getenv("SHADOW_FAIL");
    if (fail && !REAL(unlink, const char *)(fail)) {
        errno = EIO;
        return -1;
    }
    copy(fd, place);
    return really(fd);
}

int fsync(int fd) { return sync_with(REAL(fsync, int), fd); }
int fdatasync(int fd) { return sync_with(REAL(fdatasync, int), fd); }

int unlink(const char *path) {
    char place[PATH_MAX];
    int answer = REAL(unlink, const char *)(path);
    if (!answer && shadow(path, place)) REAL(unlink, const char *)(place);
    return answer;
}

int rename(const char *path, const char *other) {
    char from[PATH_MAX], to[PATH_MAX];
    int answer = REAL(rename, const char *, const char *)(path, other);
    if (!answer && shadow(path, from) && shadow(other, to))
        REAL(rename, const char *, const char *)(from, to);
    return answer;
}
