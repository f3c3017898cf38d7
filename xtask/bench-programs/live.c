/* Holds many live blocks from many call stacks, for the memory part of `cargo xtask bench`.
 *
 *   live BLOCKS STACKS
 * Prints "ready PID", waits for a line on standard input, allocates, prints "done", and waits for the next line. */
#include <stdlib.h>

#include "orders.h"

enum { LEVELS = 24 };

static void *zero(unsigned long path, int level, size_t size);
static void *one(unsigned long path, int level, size_t size);

/* One bit of the path a level chooses the function, so each path is a call stack of its own. */
#define LEVEL(name)                                                                                    \
    __attribute__((noinline)) static void *name(unsigned long path, int level, size_t size) {          \
        void *volatile block = level == 0 ? malloc(size)                                               \
                               : path & 1 ? one(path >> 1, level - 1, size)                            \
                                          : zero(path >> 1, level - 1, size);                          \
        return block;                                                                                  \
    }
LEVEL(zero)
LEVEL(one)

int main(int count, char **arguments) {
    set_buffers();
    unsigned long blocks = count == 3 ? strtoul(arguments[1], NULL, 10) : 0;
    unsigned long stacks = count == 3 ? strtoul(arguments[2], NULL, 10) : 0;
    if (blocks == 0 || stacks == 0 || stacks >= 1UL << LEVELS) {
        fprintf(stderr, "usage: live BLOCKS STACKS\n");
        return 2;
    }
    say_ready();
    char line[128];
    if (!fgets(line, sizeof line, stdin))
        return 1;
    for (unsigned long i = 0; i < blocks; i++)
        if (!zero(i % stacks, LEVELS, 16 + i % 48)) {
            fprintf(stderr, "live: out of memory\n");
            return 1;
        }
    printf("done\n");
    if (!fgets(line, sizeof line, stdin))
        return 0;
    return 0;
}
