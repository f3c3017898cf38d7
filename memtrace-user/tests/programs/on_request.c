// For every line heard: 'a' makes 1000 blocks of 100 bytes and keeps them, 'b' makes and frees as many, 'f' begins a child
// that does 'a' and 'b' until it hears something else, 'q' ends. Each answer comes when all is done.
#include <stdlib.h>
#include <sys/wait.h>
#include "talk.h"

static void make_and_free(void) {
  for (int i = 0; i < 1000; i++) free(malloc(100));
}

static void keep(void) {
  for (int i = 0; i < 1000; i++)
    if (!malloc(100)) _exit(1);
}

int main(void) {
  say("ready");
  for (;;) {
    int status = 0;
    switch (hear()) {
    case 'a': keep(); break;
    case 'b': make_and_free(); break;
    case 'f': {
      pid_t child = fork();
      if (child == 0) {
        // The child takes turns with the test through the same pipes: its parent waits.
        say("child");
        for (;;) {
          switch (hear()) {
          case 'a': keep(); break;
          case 'b': make_and_free(); break;
          default: _exit(0);
          }
          say("child done");
        }
      }
      waitpid(child, &status, 0);
      break;
    }
    default: return 0;
    }
    say(status == 0 ? "done" : "failed");
  }
}
