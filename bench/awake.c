/* Keeps one core awake.
 *
 *     awake CORE SECONDS
 *
 * Spins on CORE under SCHED_IDLE: it runs only while no other process wants the core.
 * Ends after SECONDS, or with the process that started it.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct sched_param none = {0};
    cpu_set_t core;
    CPU_ZERO(&core);
    if (argc != 3) {
        fprintf(stderr, "usage: awake CORE SECONDS\n");
        return 2;
    }
    CPU_SET((size_t)atoi(argv[1]), &core);
    if (sched_setaffinity(0, sizeof core, &core) < 0 || sched_setscheduler(0, SCHED_IDLE, &none) < 0) {
        perror("awake");
        return 1;
    }
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    alarm((unsigned)atoi(argv[2]));
    for (;;) {
#if defined(__x86_64__) || defined(__i386__)
        __builtin_ia32_pause();
#elif defined(__aarch64__)
        __asm__ volatile("yield");
#endif
    }
}
