// THREADS threads, each ROUNDS times: malloc, realloc, and a free of whatever block lies in a place of a shared ring,
// mostly another thread's. The ring has 2^BITS places, 2^10 if not told. At the end nothing is left. Fails if no block was
// freed by another thread than its own.
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define MOST_BITS 20
#define THREADS 8

static _Atomic(uintptr_t *) ring[1 << MOST_BITS];
static _Atomic long freed_by_others;
static long rounds;
static int bits = 10;

static void *exchange_blocks(void *argument) {
  uintptr_t self = (uintptr_t)argument;
  long foreign = 0;
  uint32_t place = self * 7919;
  for (long i = 0; i < rounds; i++) {
    uintptr_t *block = malloc(16 + i % 61);
    block = realloc(block, 32 + i % 127);
    *block = self;
    place = place * 1664525 + 1013904223;
    uintptr_t *other = atomic_exchange(&ring[place >> (32 - bits)], block);
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
  if (count > 2) bits = atoi(words[2]);
  if (bits < 1 || bits > MOST_BITS) return 3;
  for (uintptr_t i = 0; i < THREADS; i++)
    if (pthread_create(&threads[i], NULL, exchange_blocks, (void *)(i + 1))) return 2;
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  for (int i = 0; i < 1 << bits; i++) free(ring[i]);
  return freed_by_others == 0;
}
