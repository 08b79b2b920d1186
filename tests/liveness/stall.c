/* Preloaded into a server: while the file that WEIR_STALL names exists, each sync of a file whose path contains
 * the text in it does not return. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void stall(int fd)
{
    const char *control = getenv("WEIR_STALL");
    char link[64], path[4096], wanted[256];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (control == NULL || length < 0)
        return;
    path[length] = 0;
    for (;;) {
        FILE *file = fopen(control, "r");
        if (file == NULL)
            return;
        size_t read = fread(wanted, 1, sizeof wanted - 1, file);
        fclose(file);
        wanted[read] = 0;
        if (read == 0 || strstr(path, wanted) == NULL)
            return;
        usleep(10000);
    }
}

int fsync(int fd)
{
    stall(fd);
    return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd);
}

int fdatasync(int fd)
{
    stall(fd);
    return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(fd);
}

int sync_file_range(int fd, off64_t offset, off64_t bytes, unsigned int flags)
{
    stall(fd);
    return ((int (*)(int, off64_t, off64_t, unsigned int))dlsym(RTLD_NEXT, "sync_file_range"))(fd, offset, bytes, flags);
}
