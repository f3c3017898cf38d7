// Leaves frames without returning through them: longjmp out of a signal handler that came in the middle of malloc.
// What malloc was doing is lost with it, so only blocks that mmap serves are asked for: with one thread, no lock and no
// list is touched for those.
#include <malloc.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/time.h>
#include "talk.h"

static sigjmp_buf back;
static volatile sig_atomic_t jumps;

static void leave(int signal) {
  (void)signal;
  jumps++;
  siglongjmp(back, 1);
}

int main(void) {
  mallopt(M_MMAP_THRESHOLD, 1 << 16);
  // The first call makes the thread's cache, for which glibc takes a lock: a jump out of that would leave it locked.
  free(malloc(1));
  say("ready");
  hear();
  signal(SIGALRM, leave);
  struct itimerval soon = {{0, 500}, {0, 500}};
  setitimer(ITIMER_REAL, &soon, NULL);
  // Volatile: its value counts after a jump.
  void *volatile block = NULL;
  while (jumps < 300) {
    if (sigsetjmp(back, 1)) block = NULL;
    for (int i = 0; i < 1000 && jumps < 300; i++) {
      block = malloc(1 << 20);
      free(block);
    }
  }
  struct itimerval never = {{0, 0}, {0, 0}};
  setitimer(ITIMER_REAL, &never, NULL);
  for (int i = 0; i < 1000; i++) free(malloc(100));
  say("done");
  hear();
  return 0;
}
