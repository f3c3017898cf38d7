/* Times malloc+free pairs for `cargo xtask bench`.
 *
 * Prints "ready PID", then reads orders of one line each until standard input ends:
 *   DEPTH PAIRS MILLISECONDS   run batches of so many pairs for so long; print the batches' number and the nanoseconds
 *                              per pair of the fastest one and of the median one
 * The stack below malloc's caller is DEPTH frames deeper than main's loop. Time is the thread's CPU time, so that
 * other processes on the CPU do not count. */
#include <stdlib.h>

#include "orders.h"

enum { MOST_BATCHES = 1 << 16 };

__attribute__((noinline)) static void pair(void) {
    /* Volatile, or the compiler leaves both calls out. */
    void *volatile block = malloc(100);
    free(block);
}

/* The loop runs at the deepest frame, so that descending is not timed. */
__attribute__((noinline)) static double descend(int depth, long pairs) {
    if (depth > 1) {
        volatile double time = descend(depth - 1, pairs);
        return time;
    }
    double start = now();
    for (long i = 0; i < pairs; i++)
        pair();
    return (now() - start) / (double)pairs;
}

static int by_value(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

/* Static: what the program holds itself must not come from the traced malloc. */
static double times[MOST_BATCHES];

static void run(int depth, long pairs, double milliseconds) {
    double end = now() + milliseconds * 1e6;
    int batches = 0;
    do
        times[batches++] = descend(depth, pairs);
    while (now() < end && batches < MOST_BATCHES);
    qsort(times, (size_t)batches, sizeof times[0], by_value);
    printf("%d %.2f %.2f\n", batches, times[0], times[batches / 2]);
}

int main(void) {
    set_buffers();
    say_ready();
    char line[128];
    while (fgets(line, sizeof line, stdin)) {
        int depth;
        long pairs;
        double milliseconds;
        if (sscanf(line, "%d %ld %lf", &depth, &pairs, &milliseconds) != 3 || depth < 1 || pairs < 1) {
            fprintf(stderr, "pairs: not an order: %s", line);
            return 1;
        }
        run(depth, pairs, milliseconds);
    }
    return 0;
}
