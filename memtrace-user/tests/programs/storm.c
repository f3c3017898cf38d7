// A fork storm: children one after the other, each of which has 3 blocks of 40 bytes, until the line is heard that ends it;
// then says how many there were. With a program as argument, each child executes it, and does nothing itself.
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include "talk.h"

static void *volatile last;

static void child(char **program) {
  if (program[0]) {
    execv(program[0], program);
    _exit(9);
  }
  for (int i = 0; i < 3; i++) last = malloc(40);
  _exit(0);
}

int main(int count, char **words) {
  (void)count;
  char text[32], heard;
  say("ready");
  fcntl(0, F_SETFL, O_NONBLOCK);
  long number = 0;
  for (; read(0, &heard, 1) != 1; number++) {
    pid_t pid = fork();
    if (pid == 0) child(words + 1);
    int status;
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) return 2;
  }
  snprintf(text, sizeof text, "%ld", number);
  say(text);
  return 0;
}
