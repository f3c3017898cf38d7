// THREADS threads, each ROUNDS times: malloc, realloc, and a free of whatever block lies in a place of a shared ring,
// mostly another thread's. At the end nothing is left. Fails if no block was freed by another thread than its own.
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define PLACES 1024
#define THREADS 8

static _Atomic(uintptr_t *) ring[PLACES];
static _Atomic long freed_by_others;
static long rounds;

static void *exchange_blocks(void *argument) {
  uintptr_t self = (uintptr_t)argument;
  long foreign = 0;
  uint32_t place = self * 7919;
  for (long i = 0; i < rounds; i++) {
    uintptr_t *block = malloc(16 + i % 61);
    block = realloc(block, 32 + i % 127);
    *block = self;
    place = place * 1664525 + 1013904223;
    uintptr_t *other = atomic_exchange(&ring[place >> 22], block);
    if (!other) continue;
    foreign += *other != self;
    free(other);
  }
  freed_by_others += foreign;
  return NULL;
}

int main(int count, char **words) {
  pthread_t threads[THREADS];
  rounds = count > 1 ? atol(words[1]) : 1000;
  for (uintptr_t i = 0; i < THREADS; i++)
    if (pthread_create(&threads[i], NULL, exchange_blocks, (void *)(i + 1))) return 2;
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  for (int i = 0; i < PLACES; i++) free(ring[i]);
  return freed_by_others == 0;
}
