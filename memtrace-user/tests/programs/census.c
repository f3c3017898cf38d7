// An independent count of what the processes of a build allocate: preloaded into all of them (LD_PRELOAD), it counts calls in
// a file that they share (-DCENSUS), so that a process need not end in any particular way. Each image of each process
// has a record; children of vfork and posix_spawn share that of their parent until they execute a program, as they share its
// memory.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#define RECORDS 65536

struct record {
    uint64_t pid, blocks, bytes, frees;
};

struct census {
    struct record head; // `blocks` is the number of records in use
    struct record records[RECORDS];
};

void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);
void __libc_free(void *);

static struct census *census;
static struct record *own;
static struct record nowhere;
static int is_beginning;

static void begin(void) {
    if (!census) {
        int file = open(CENSUS, O_RDWR | O_CLOEXEC);
        void *shared =
            file < 0 ? MAP_FAILED : mmap(0, sizeof *census, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        close(file);
        if (shared == MAP_FAILED) {
            own = &nowhere;
            return;
        }
        census = shared;
    }
    uint64_t index = __atomic_fetch_add(&census->head.blocks, 1, __ATOMIC_ACQ_REL);
    own = index < RECORDS ? &census->records[index] : &nowhere;
    own->pid = (uint64_t)getpid();
}

static void begin_in_child(void) {
    own = 0;
    begin();
}

__attribute__((constructor)) static void follow_forks(void) { pthread_atfork(0, 0, begin_in_child); }

static struct record *record(void) {
    // The first call of an image comes from the loader, before there are threads.
    if (!own)
        begin();
    return own;
}

static void *count(void *block, size_t size) {
    if (block) {
        __atomic_fetch_add(&record()->blocks, 1, __ATOMIC_RELAXED);
        __atomic_fetch_add(&record()->bytes, size, __ATOMIC_RELAXED);
    }
    return block;
}

static void count_free(void *block) {
    if (block)
        __atomic_fetch_add(&record()->frees, 1, __ATOMIC_RELAXED);
}

void *malloc(size_t size) { return count(__libc_malloc(size), size); }

void *calloc(size_t number, size_t size) { return count(__libc_calloc(number, size), number * size); }

void *realloc(void *block, size_t size) {
    void *moved = __libc_realloc(block, size);
    if (moved || (block && size == 0))
        count_free(block);
    return count(moved, size);
}

void *reallocarray(void *block, size_t number, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow(number, size, &bytes)) {
        errno = ENOMEM;
        return 0;
    }
    return realloc(block, bytes);
}

void *memalign(size_t alignment, size_t size) { return count(__libc_memalign(alignment, size), size); }

void *aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }

int posix_memalign(void **result, size_t alignment, size_t size) {
    void *block = memalign(alignment, size);
    if (!block)
        return ENOMEM;
    *result = block;
    return 0;
}

void *valloc(size_t size) { return memalign(4096, size); }

void free(void *block) {
    count_free(block);
    __libc_free(block);
}
