// Waits for one of some signals and exits with its number.
#include <signal.h>
#include "talk.h"

int main(void) {
  sigset_t signals;
  int caught = 0;
  sigemptyset(&signals);
  for (const int *s = (int[]){SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, 0}; *s; s++) sigaddset(&signals, *s);
  sigprocmask(SIG_BLOCK, &signals, NULL);
  say("ready");
  return sigwait(&signals, &caught) ? 99 : caught;
}
