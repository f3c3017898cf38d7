/* Replaces live blocks at random, on one or more threads, for `cargo xtask bench`.
 *
 *   churn BLOCKS THREADS
 * Each thread holds BLOCKS blocks. Prints "ready PID", then reads orders of one line each until standard input ends:
 *   REPLACEMENTS   every thread frees and allocates so many of its blocks, all at once; prints the nanoseconds of CPU
 *                  time that a replacement took, on average over the threads */
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

#include "orders.h"

enum { MOST_THREADS = 64 };

static long blocks, replacements;
static int threads;
static double times[MOST_THREADS];
static void **held[MOST_THREADS];
static pthread_barrier_t begin, end;

static void *work(void *argument) {
    int number = (int)(intptr_t)argument;
    uint64_t state = 88172645463325252u + (uint64_t)number;
    for (;;) {
        pthread_barrier_wait(&begin);
        double start = now();
        for (long i = 0; i < replacements; i++) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            void **place = &held[number][state % (uint64_t)blocks];
            free(*place);
            *place = malloc(64 + (state >> 32) % 64);
        }
        times[number] = now() - start;
        pthread_barrier_wait(&end);
    }
    return NULL;
}

int main(int count, char **arguments) {
    set_buffers();
    blocks = count == 3 ? atol(arguments[1]) : 0;
    threads = count == 3 ? atoi(arguments[2]) : 0;
    if (blocks < 1 || threads < 1 || threads > MOST_THREADS) {
        fprintf(stderr, "usage: churn BLOCKS THREADS\n");
        return 2;
    }
    pthread_barrier_init(&begin, NULL, (unsigned)threads + 1);
    pthread_barrier_init(&end, NULL, (unsigned)threads + 1);
    for (int i = 0; i < threads; i++) {
        pthread_t thread;
        held[i] = calloc((size_t)blocks, sizeof *held[i]);
        if (!held[i] || pthread_create(&thread, NULL, work, (void *)(intptr_t)i)) {
            fprintf(stderr, "churn: out of memory\n");
            return 1;
        }
    }
    say_ready();
    char line[128];
    while (fgets(line, sizeof line, stdin)) {
        replacements = atol(line);
        pthread_barrier_wait(&begin);
        pthread_barrier_wait(&end);
        double sum = 0;
        for (int i = 0; i < threads; i++)
            sum += times[i] / (double)replacements;
        printf("%.2f\n", sum / threads);
    }
    return 0;
}
