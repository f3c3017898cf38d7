// For every line heard: 'k' keeps a block of 1000 bytes, 'z' one of no bytes, and says where it is; 'f' frees the one kept
// last and says where it was; 'p' holds 50,000 bytes for a moment; 'l' puts four threads under load that exchange blocks,
// 'n' keeps 500 blocks of 96 bytes, 's' ends the load and frees all that it has left; 'q' ends.
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include "talk.h"

#define PLACES 256
#define THREADS 4

static _Atomic(void *) ring[PLACES];
static atomic_int loaded;
static pthread_t threads[THREADS];
static void *kept[16384];
static int count;

static void say_address(void *address) {
  char text[32];
  snprintf(text, sizeof text, "%p", address);
  say(text);
}

__attribute__((noinline)) static void *keep(size_t size) { return kept[count++] = malloc(size); }

__attribute__((noinline)) static void keep_new(void) {
  for (int i = 0; i < 500; i++)
    if (!(kept[count++] = malloc(96))) _exit(1);
}

__attribute__((noinline)) static void hold(void) { free(malloc(50000)); }

static void *exchange(void *argument) {
  uint32_t place = (uintptr_t)argument * 7919;
  for (long i = 0; loaded; i++) {
    void *block = realloc(malloc(16 + i % 61), 32 + i % 12700);
    place = place * 1664525 + 1013904223;
    free(atomic_exchange(&ring[place >> 24], block));
  }
  return NULL;
}

static void load(void) {
  loaded = 1;
  for (uintptr_t i = 0; i < THREADS; i++)
    if (pthread_create(&threads[i], NULL, exchange, (void *)(i + 1))) _exit(1);
}

static void end_load(void) {
  loaded = 0;
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  for (int i = 0; i < PLACES; i++) free(atomic_exchange(&ring[i], NULL));
}

int main(void) {
  say("ready");
  for (;;) {
    switch (hear()) {
    case 'k': say_address(keep(1000)); continue;
    case 'z': say_address(keep(0)); continue;
    case 'f': free(kept[--count]); say_address(kept[count]); continue;
    case 'p': hold(); break;
    case 'l': load(); break;
    case 'n': keep_new(); break;
    case 's': end_load(); break;
    default: return 0;
    }
    say("done");
  }
}
