/* Times malloc+free pairs from many call stacks for `cargo xtask bench`.
 *
 * Prints "ready PID", then reads orders of one line each until standard input ends:
 *   BITS PAIRS   make so many pairs, each by one of 2^BITS ways through 16 functions, in no order; print the nanoseconds per
 *                pair
 * Time is the thread's CPU time. */
#include <stdint.h>
#include <stdlib.h>

#include "orders.h"

enum { DEPTH = 16 };

static void go(int depth, uint32_t way);

/* Two functions that do the same, so that a way is a stack of its own. */
__attribute__((noinline, noipa)) static void left(int depth, uint32_t way) { go(depth, way); }

__attribute__((noinline, noipa)) static void right(int depth, uint32_t way) { go(depth, way); }

__attribute__((noinline, noipa)) static void go(int depth, uint32_t way) {
    if (depth == 0) {
        void *volatile block = malloc(100);
        free(block);
    } else if (way & 1) {
        left(depth - 1, way >> 1);
    } else {
        right(depth - 1, way >> 1);
    }
}

int main(void) {
    set_buffers();
    say_ready();
    char line[128];
    uint32_t random = 1;
    while (fgets(line, sizeof line, stdin)) {
        int bits;
        long pairs;
        if (sscanf(line, "%d %ld", &bits, &pairs) != 2 || bits < 0 || bits > DEPTH || pairs < 1) {
            fprintf(stderr, "sites: not an order: %s", line);
            return 1;
        }
        double start = now();
        for (long i = 0; i < pairs; i++) {
            random = random * 1664525 + 1013904223;
            go(DEPTH, bits ? random >> (32 - bits) : 0);
        }
        printf("%.2f\n", (now() - start) / (double)pairs);
    }
    return 0;
}
