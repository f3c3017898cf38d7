/* Times malloc+free pairs for `cargo xtask bench`.
 *
 * Prints "ready PID", then reads orders of one line each until standard input ends:
 *   DEPTH PAIRS BATCHES   print the nanoseconds per pair of each batch, on one line
 * The stack below malloc's caller is DEPTH frames deeper than main's loop. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

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

int main(void) {
    static char buffer[1 << 16];
    setvbuf(stdout, buffer, _IOLBF, sizeof buffer);
    printf("ready %d\n", (int)getpid());
    char line[128];
    while (fgets(line, sizeof line, stdin)) {
        int depth, batches;
        long pairs;
        if (sscanf(line, "%d %ld %d", &depth, &pairs, &batches) != 3 || depth < 1 || pairs < 1 || batches < 1) {
            fprintf(stderr, "pairs: not an order: %s", line);
            return 1;
        }
        for (int i = 0; i < batches; i++)
            printf("%s%.2f", i ? " " : "", descend(depth, pairs));
        printf("\n");
    }
    return 0;
}
