// A small server with a leak: for every line heard, 's' loads settings that stay (500 blocks of 100 bytes), 'r' serves a
// request, which leaves 20 blocks of 512 bytes in a cache that nothing empties and frees its 100 scratch blocks of 64
// bytes; anything else ends it.
#include <stdlib.h>
#include "talk.h"

static __attribute__((noinline)) void settings_load(void) {
  for (int i = 0; i < 500; i++)
    if (!malloc(100)) _exit(1);
}

static __attribute__((noinline)) void cache_put(void) {
  for (int i = 0; i < 20; i++)
    if (!malloc(512)) _exit(1);
}

static __attribute__((noinline)) void scratch(void) {
  for (int i = 0; i < 100; i++) free(malloc(64));
}

static __attribute__((noinline)) void handle_request(void) {
  scratch();
  cache_put();
}

int main(void) {
  say("ready");
  for (;;) {
    switch (hear()) {
    case 's': settings_load(); break;
    case 'r': handle_request(); break;
    default: return 0;
    }
    say("done");
  }
}
