// Four threads that allocate without end, with an own and a shared lock of malloc's to wait for; then what the line
// heard asks for, in the midst of it: 'e' exits, 'k' dies of SIGKILL, 's' crashes, 'x' runs another program.
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include "talk.h"

static void *hammer(void *unused) {
  (void)unused;
  for (unsigned i = 0;; i++) free(realloc(malloc(i % 5000), i % 9000 + 1));
  return NULL;
}

int main(int count, char **words) {
  pthread_t thread;
  for (int i = 0; i < 4; i++)
    if (pthread_create(&thread, NULL, hammer, NULL)) return 1;
  say("ready");
  for (;;) {
    switch (hear()) {
    case 'e': _exit(7);
    case 'k': kill(getpid(), SIGKILL); break;
    case 's': *(volatile int *)0 = 1; break;
    case 'x':
      if (count > 1) execv(words[1], words + 1);
      return 2;
    }
    say("done");
  }
}
