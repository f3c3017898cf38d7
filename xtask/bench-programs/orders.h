/* What the programs of `cargo xtask bench` have in common: a clock, and how they begin. They read orders, a line each, from
 * standard input. */
#include <stdio.h>
#include <time.h>
#include <unistd.h>

/* CPU time of the thread in nanoseconds, so that other processes on the CPU do not count. */
__attribute__((unused)) static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

/* The streams' buffers do not come from the traced malloc. */
static void set_buffers(void) {
    static char buffers[2][BUFSIZ];
    setvbuf(stdout, buffers[0], _IOLBF, BUFSIZ);
    setvbuf(stdin, buffers[1], _IOFBF, BUFSIZ);
}

/* From here on orders are taken. */
static void say_ready(void) { printf("ready %d\n", (int)getpid()); }
