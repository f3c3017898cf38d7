// 200 children, ten at a time, each with blocks of its own and of its parent's, while the parent allocates as well.
#include <stdlib.h>
#include <sys/wait.h>
#include "talk.h"

int main(void) {
  void *inherited[64];
  for (int i = 0; i < 64; i++) inherited[i] = malloc(100);
  say("ready");
  hear();
  int failed = 0;
  for (int round = 0; round < 20; round++) {
    for (int child = 0; child < 10; child++) {
      free(malloc(1000));
      pid_t pid = fork();
      if (pid < 0) return 2;
      if (pid == 0) {
        for (int i = 0; i < 64; i++) free(inherited[i]);
        for (int i = 0; i < 100; i++) free(realloc(malloc(10 + i), 1000));
        _exit(0);
      }
    }
    int status;
    while (wait(&status) > 0) failed += status != 0;
  }
  say(failed ? "failed" : "done");
  hear();
  return 0;
}
