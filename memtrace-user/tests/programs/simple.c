// 100 blocks of 1000 bytes, half of them freed, then one of 5.
#include <stdlib.h>
int main(void) {
  void *blocks[100];
  for (int i = 0; i < 100; i++) blocks[i] = malloc(1000);
  for (int i = 0; i < 50; i++) free(blocks[i]);
  return malloc(5) == NULL;
}
