// Four threads, named as they are numbered, that keep 10, 20, 30 and 40 blocks of 64 bytes, one after the other.
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static void *keep_blocks(void *argument) {
  char name[16];
  snprintf(name, sizeof name, "worker %d", (int)(intptr_t)argument);
  pthread_setname_np(pthread_self(), name);
  for (intptr_t i = 0; i < 10 * (intptr_t)argument; i++)
    if (!malloc(64)) abort();
  return NULL;
}

int main(void) {
  // One after the other: whether an id comes again is the kernel's affair.
  for (intptr_t i = 1; i <= 4; i++) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, keep_blocks, (void *)i)) return 1;
    pthread_join(thread, NULL);
  }
}
