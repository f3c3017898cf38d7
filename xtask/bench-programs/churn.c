/* Replaces live blocks at random, in one or more threads or processes, for `cargo xtask bench`.
 *
 *   churn BLOCKS WORKERS threads|processes
 * Each worker begins with BLOCKS blocks and keeps as many. Prints "ready PID", then reads orders of one line each until standard input ends; the
 * first one makes the workers:
 *   REPLACEMENTS   every worker frees and allocates so many of its blocks, all at once; prints the nanoseconds of CPU
 *                  time that a replacement took, on average over the workers */
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "orders.h"

enum { MOST_WORKERS = 64 };

static long blocks;

/* What workers and their master share. */
static struct {
    long replacements;
    double times[MOST_WORKERS];
    pthread_barrier_t begin, end;
} *shared;

static void *work(void *argument) {
    int number = (int)(intptr_t)argument;
    uint64_t state = 88172645463325252u + (uint64_t)number;
    void **held = calloc((size_t)blocks, sizeof *held);
    for (long i = 0; i < blocks; i++)
        held[i] = malloc(64 + (size_t)i % 64);
    for (;;) {
        pthread_barrier_wait(&shared->begin);
        double start = now();
        for (long i = 0; i < shared->replacements; i++) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            void **place = &held[state % (uint64_t)blocks];
            free(*place);
            *place = malloc(64 + (state >> 32) % 64);
        }
        shared->times[number] = now() - start;
        pthread_barrier_wait(&shared->end);
    }
    return NULL;
}

static int make_worker(int number, int is_process) {
    void *argument = (void *)(intptr_t)number;
    pthread_t thread;
    if (!is_process)
        return pthread_create(&thread, NULL, work, argument);
    int child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        work(argument);
    }
    return child < 0;
}

int main(int count, char **arguments) {
    set_buffers();
    blocks = count == 4 ? atol(arguments[1]) : 0;
    int workers = count == 4 ? atoi(arguments[2]) : 0;
    int are_processes = count == 4 && !strcmp(arguments[3], "processes");
    if (blocks < 1 || workers < 1 || workers > MOST_WORKERS || (!are_processes && strcmp(arguments[3], "threads"))) {
        fprintf(stderr, "usage: churn BLOCKS WORKERS threads|processes\n");
        return 2;
    }
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) {
        perror("churn");
        return 1;
    }
    pthread_barrierattr_t everywhere;
    pthread_barrierattr_init(&everywhere);
    pthread_barrierattr_setpshared(&everywhere, PTHREAD_PROCESS_SHARED);
    pthread_barrier_init(&shared->begin, &everywhere, (unsigned)workers + 1);
    pthread_barrier_init(&shared->end, &everywhere, (unsigned)workers + 1);
    say_ready();
    char line[128];
    for (int made = 0; fgets(line, sizeof line, stdin);) {
        for (; made < workers; made++)
            if (make_worker(made, are_processes)) {
                perror("churn");
                return 1;
            }
        shared->replacements = atol(line);
        pthread_barrier_wait(&shared->begin);
        pthread_barrier_wait(&shared->end);
        double sum = 0;
        for (int i = 0; i < workers; i++)
            sum += shared->times[i] / (double)shared->replacements;
        printf("%.2f\n", sum / workers);
    }
    return 0;
}
