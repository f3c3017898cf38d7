/* Allocates known sums by every kind of call, and prints nothing: bytes and blocks are written in tests/privileged/sampling.rs.
 *   32 MiB in blocks of 64, 48 MiB in blocks of 16 KiB by calloc, 64 MiB in blocks of 1 MiB; of each every second is kept.
 *   16 MiB by realloc from nothing, in blocks of 256, each then grown to 512 and freed. */
#include <stdlib.h>

/* Volatile, or the compiler leaves calls out. */
static void *volatile kept;

static void block(void *made, long number) {
    kept = made;
    if (number % 2)
        free(made);
}

int main(void) {
    for (long i = 0; i < 1 << 19; i++)
        block(malloc(64), i);
    for (long i = 0; i < 3 << 10; i++)
        block(calloc(16, 1024), i);
    for (long i = 0; i < 64; i++)
        block(malloc(1 << 20), i);
    for (long i = 0; i < 1 << 16; i++)
        free(realloc(realloc(NULL, 256), 512));
    return 0;
}
