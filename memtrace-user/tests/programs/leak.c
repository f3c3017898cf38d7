// Leaks 10 blocks of 1,000 bytes for every line that it hears.
#include <stdlib.h>
#include "talk.h"

static void leak_here(void) {
  for (int i = 0; i < 10; i++)
    if (!malloc(1000)) _exit(1);
}

int main(void) {
  say("ready");
  while (hear() == 'l') {
    leak_here();
    say("done");
  }
  return 0;
}
