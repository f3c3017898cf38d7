// Processes that start others in every way, each of which allocates a number of blocks that its test knows.
//
// `family WHAT [ARGUMENT]`: what is a function of the table at the end.
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
static char own_path[4096];

static void *volatile last;

__attribute__((noinline)) static void leaf(int count, size_t size) {
    for (int number = 0; number < count; number++)
        last = malloc(size);
    __asm__ volatile("");
}

static void await(pid_t child) {
    int status;
    if (child < 0 || waitpid(child, &status, 0) != child)
        _exit(9);
}

// A program for the others to execute: 5 blocks of 200 bytes, of which two are freed.
static void leaves(char *argument) {
    (void)argument;
    leaf(3, 200);
    for (int number = 0; number < 2; number++) {
        leaf(1, 200);
        free(last);
    }
    _exit(0);
}

static void execute(const char *name) {
    execl(own_path, "family", "leaves", name, (char *)0);
    _exit(9);
}

// The child frees what it has inherited, and has blocks of its own: 4 of 30 bytes.
static void forks(char *argument) {
    (void)argument;
    leaf(1, 1000);
    pid_t child = fork();
    if (child == 0) {
        free(last);
        leaf(4, 30);
        _exit(0);
    }
    await(child);
    free(last);
}

// Children that share the memory: what they allocate is the parent's, 2 blocks of 50 bytes each.
static void vforks(char *argument) {
    (void)argument;
    pid_t child = vfork();
    if (child == 0) {
        leaf(2, 50);
        _exit(0);
    }
    await(child);
    child = vfork();
    if (child == 0) {
        leaf(2, 50);
        execute("after vfork");
    }
    await(child);
    leaf(1, 50);
    char *arguments[] = {"family", "leaves", "spawned", 0};
    if (posix_spawn(&child, own_path, 0, 0, arguments, environ) != 0)
        _exit(9);
    await(child);
}

static void *executes(void *name) {
    execute(name);
    return 0;
}

// A thread that is not the first executes a program.
static void thread_executes(char *argument) {
    (void)argument;
    pthread_t thread;
    leaf(1, 70);
    pthread_create(&thread, 0, executes, "by thread");
    pthread_join(thread, 0);
}

static void *outlives(void *unused) {
    (void)unused;
    char path[64], state;
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", getpid());
    do {
        int file = open(path, O_RDONLY);
        char text[256] = {0};
        ssize_t length = read(file, text, sizeof text - 1);
        close(file);
        char *end = length > 0 ? strrchr(text, ')') : 0;
        state = end ? end[2] : '?';
        sched_yield();
    } while (state != 'Z');
    leaf(6, 80);
    pid_t child = fork();
    if (child == 0) {
        leaf(7, 90);
        _exit(0);
    }
    await(child);
    _exit(0);
}

// The first thread ends; another goes on, allocates and forks.
static void leader_ends(char *argument) {
    (void)argument;
    pthread_t thread;
    pthread_create(&thread, 0, outlives, 0);
    pthread_exit(0);
}

static volatile int is_over;

static void *churns(void *unused) {
    (void)unused;
    while (!is_over) {
        last = 0;
        free(malloc(40));
    }
    return 0;
}

// Forks while other threads allocate. Each of the 50 children has 3 blocks of 20 bytes. In the end the process leaves while
// they are at it.
static void forks_among_threads(char *argument) {
    (void)argument;
    pthread_t threads[3];
    for (int number = 0; number < 3; number++)
        pthread_create(&threads[number], 0, churns, 0);
    for (int number = 0; number < 50; number++) {
        pid_t child = fork();
        if (child == 0) {
            leaf(3, 20);
            _exit(0);
        }
        await(child);
    }
    _exit(0);
}

// One child after the other: each has a block of 12 bytes.
static void storms(char *argument) {
    for (int left = atoi(argument); left > 0; left--) {
        pid_t child = fork();
        if (child == 0) {
            leaf(1, 12);
            _exit(0);
        }
        await(child);
    }
}

// Two children, the second of which gets the id of the first where the kernel allows it.
static void reuses_id(char *argument) {
    (void)argument;
    pid_t first = 0;
    for (int number = 1; number <= 2; number++) {
        if (first) {
            FILE *file = fopen("/proc/sys/kernel/ns_last_pid", "w");
            if (file) {
                fprintf(file, "%d", first - 1);
                fclose(file);
            }
        }
        pid_t child = fork();
        if (child == 0) {
            leaf(number, 25);
            _exit(0);
        }
        await(child);
        first = child;
    }
}

// Sixteen functions whose addresses differ in few bits, as the numbers do that processes are counted under.
#define ALIKE(number) \
    __attribute__((noinline, aligned(32))) static void alike##number(size_t size) { \
        last = malloc(size); \
        __asm__ volatile(""); \
    }
ALIKE(0) ALIKE(1) ALIKE(2) ALIKE(3) ALIKE(4) ALIKE(5) ALIKE(6) ALIKE(7)
ALIKE(8) ALIKE(9) ALIKE(10) ALIKE(11) ALIKE(12) ALIKE(13) ALIKE(14) ALIKE(15)
static void (*const all_alike[16])(size_t) = {alike0, alike1, alike2, alike3, alike4, alike5, alike6, alike7,
                                              alike8, alike9, alike10, alike11, alike12, alike13, alike14, alike15};

// Sixteen children that live at once, of which number N has 16 blocks of N + 1 bytes, one by each of those functions.
static void resembles(char *argument) {
    (void)argument;
    int gate[2];
    if (pipe(gate) != 0)
        _exit(9);
    pid_t children[16];
    for (size_t number = 0; number < 16; number++)
        if ((children[number] = fork()) == 0) {
            char byte;
            for (int function = 0; function < 16; function++)
                all_alike[function](number + 1);
            close(gate[1]);
            _exit(read(gate[0], &byte, 1) == 0 ? 0 : 9);
        }
    close(gate[1]);
    for (int number = 0; number < 16; number++)
        await(children[number]);
}

static const struct {
    const char *name;
    void (*function)(char *);
} table[] = {
    {"leaves", leaves},
    {"forks", forks},
    {"vforks", vforks},
    {"thread-executes", thread_executes},
    {"leader-ends", leader_ends},
    {"forks-among-threads", forks_among_threads},
    {"storms", storms},
    {"reuses-id", reuses_id},
    {"resembles", resembles},
};

int main(int count, char **arguments) {
    if (readlink("/proc/self/exe", own_path, sizeof own_path - 1) < 0 || count < 2)
        return 2;
    for (size_t index = 0; index < sizeof table / sizeof *table; index++)
        if (strcmp(table[index].name, arguments[1]) == 0) {
            table[index].function(count > 2 ? arguments[2] : "0");
            return 0;
        }
    return 2;
}
