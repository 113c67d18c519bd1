/* sim: runs the protocol core against simulated disks, clock, stream and network, seed after seed.
 *
 *   sim [--seeds N] [--first SEED]   that many seeds; all must be well
 *   sim --seed SEED [--trace]        one of them, as it was
 *   sim --bug NAME ...               with a known bug planted
 *   sim --find-bugs N                each bug must be found within N seeds
 *   sim --check-replay N             N seeds run twice must be the same runs
 *   sim --list-bugs */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/log.h"
#include "tests/simulation/sim_core.h"
#include "tests/simulation/sim_world.h"

struct options {
    uint64_t first;
    uint64_t seeds;
    uint64_t find_bugs;    /* 0: no */
    uint64_t check_replay; /* likewise */
    unsigned jobs;
    enum sim_bug bug;
    bool trace;
};

static int usage(void) {
    fputs("usage: sim [--seeds N] [--first SEED | --seed SEED] [--bug NAME] [--trace] [--jobs N]\n"
          "       sim --find-bugs N\n"
          "       sim --check-replay N\n"
          "       sim --list-bugs\n",
          stderr);
    return 2;
}

static void run_seeds(const struct options *options, uint64_t first, uint64_t count, struct sim_totals *totals) {
    for (uint64_t seed = first; seed < first + count; seed++) {
        sim_world_run(seed, options->bug, options->trace, totals);
    }
}

/* ---- many seeds ---- */

static void print_totals(const struct sim_totals *totals) {
    printf("%llu seeds, %llu revisions, %llu deaths, %llu stream losses, %.0f h of virtual time: all promises held\n",
           (unsigned long long)totals->runs, (unsigned long long)totals->revisions, (unsigned long long)totals->deaths,
           (unsigned long long)totals->losses, (double)totals->time_us / 3.6e9);
}

/* The seeds are dealt out to processes; each tells its totals through a pipe. */
static int run_many(const struct options *options) {
    struct sim_totals all = {0};
    int status = 0;
    uint64_t share = (options->seeds + options->jobs - 1) / options->jobs;
    int pipes[64][2];
    fflush(stdout);
    for (unsigned i = 0; i < options->jobs; i++) {
        uint64_t begin = i * share < options->seeds ? i * share : options->seeds;
        uint64_t end = begin + share < options->seeds ? begin + share : options->seeds;
        if (pipe(pipes[i]) != 0) {
            abort();
        }
        pid_t child = fork();
        if (child == 0) {
            struct sim_totals totals = {0};
            run_seeds(options, options->first + begin, end - begin, &totals);
            exit(write(pipes[i][1], &totals, sizeof totals) == sizeof totals ? 0 : 1);
        }
        close(pipes[i][1]);
    }
    for (unsigned i = 0; i < options->jobs; i++) {
        struct sim_totals totals = {0};
        int ended;
        if (read(pipes[i][0], &totals, sizeof totals) == sizeof totals) {
            all.runs += totals.runs;
            all.revisions += totals.revisions;
            all.deaths += totals.deaths;
            all.losses += totals.losses;
            all.time_us += totals.time_us;
        }
        if (wait(&ended) >= 0 && ended != 0) {
            status = WIFEXITED(ended) ? WEXITSTATUS(ended) : SIM_EXIT_BROKEN;
        }
    }
    if (status == 0) {
        print_totals(&all);
    }
    return status;
}

/* ---- known bugs ---- */

/* Runs seeds with the bug in a process of its own until it is found; how many it took, 0: not found.
 * An assertion of the product that fails finds it as well. */
static uint64_t find_bug(enum sim_bug bug, uint64_t most) {
    int pipes[2];
    fflush(stdout);
    if (pipe(pipes) != 0) {
        abort();
    }
    pid_t child = fork();
    if (child == 0) {
        struct options options = {.bug = bug};
        if (freopen("/dev/null", "w", stdout) == NULL) {
            abort();
        }
        for (uint64_t seed = 1; seed <= most; seed++) {
            struct sim_totals totals = {0};
            if (write(pipes[1], &seed, sizeof seed) != sizeof seed) {
                abort();
            }
            run_seeds(&options, seed, 1, &totals);
        }
        _exit(0);
    }
    close(pipes[1]);
    uint64_t seed = 0;
    while (read(pipes[0], &seed, sizeof seed) == sizeof seed) {
    }
    close(pipes[0]);
    int ended = 0;
    waitpid(child, &ended, 0);
    return ended != 0 ? seed : 0;
}

static int find_bugs(uint64_t most) {
    unsigned missed = 0;
    for (int bug = BUG_NONE + 1; bug < BUG_COUNT; bug++) {
        char replay[64];
        snprintf(replay, sizeof replay, " --bug %s", sim_bug_name((enum sim_bug)bug));
        sim_set_replay_options(replay);
        uint64_t seeds = find_bug((enum sim_bug)bug, most);
        missed += seeds == 0;
        if (seeds > 0) {
            printf("found   %-26s at seed %llu: %s\n", sim_bug_name((enum sim_bug)bug), (unsigned long long)seeds,
                   sim_bug_about((enum sim_bug)bug));
        } else {
            printf("MISSED  %-26s in %llu seeds: %s\n", sim_bug_name((enum sim_bug)bug), (unsigned long long)most,
                   sim_bug_about((enum sim_bug)bug));
        }
    }
    printf("%d known bugs planted, %u missed\n", BUG_COUNT - 1, missed);
    return missed == 0 ? 0 : 1;
}

/* A seed that cannot be replayed is worth nothing. The second time the seeds come in another order,
 * so that whatever one run leaves behind shows in the next. */
static int check_replay(const struct options *options) {
    uint64_t *digests = calloc(options->check_replay, sizeof *digests);
    if (digests == NULL) {
        abort();
    }
    unsigned differ = 0;
    for (uint64_t i = 0; i < 2 * options->check_replay; i++) {
        bool again = i >= options->check_replay;
        uint64_t at = again ? 2 * options->check_replay - 1 - i : i;
        struct sim_totals totals = {0};
        run_seeds(options, options->first + at, 1, &totals);
        if (again && totals.digest != digests[at]) {
            printf("seed %llu is another run the second time\n", (unsigned long long)(options->first + at));
            differ++;
        }
        digests[at] = totals.digest;
    }
    free(digests);
    printf("%llu seeds replayed, %u were other runs\n", (unsigned long long)options->check_replay, differ);
    return differ == 0 ? 0 : 1;
}

static int list_bugs(void) {
    for (int bug = BUG_NONE + 1; bug < BUG_COUNT; bug++) {
        printf("%-26s %s\n", sim_bug_name((enum sim_bug)bug), sim_bug_about((enum sim_bug)bug));
    }
    return 0;
}

int main(int argc, char **argv) {
    static const struct option known[] = {
        {"seeds", required_argument, NULL, 'n'},     {"first", required_argument, NULL, 'f'},
        {"seed", required_argument, NULL, 's'},      {"bug", required_argument, NULL, 'b'},
        {"trace", no_argument, NULL, 't'},           {"jobs", required_argument, NULL, 'j'},
        {"find-bugs", required_argument, NULL, 'p'}, {"check-replay", required_argument, NULL, 'r'},
        {"list-bugs", no_argument, NULL, 'l'},       {0},
    };
    struct options options = {.first = 1, .seeds = 100, .jobs = 1};
    bool one = false;
    int option;
    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        switch (option) {
        case 'n':
            options.seeds = strtoull(optarg, NULL, 10);
            break;
        case 's':
            one = true;
            options.seeds = 1;
            options.first = strtoull(optarg, NULL, 10);
            break;
        case 'f':
            options.first = strtoull(optarg, NULL, 10);
            break;
        case 'b':
            options.bug = sim_bug_of(optarg);
            break;
        case 't':
            options.trace = true;
            break;
        case 'j':
            options.jobs = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'p':
            options.find_bugs = strtoull(optarg, NULL, 10);
            break;
        case 'r':
            options.check_replay = strtoull(optarg, NULL, 10);
            break;
        case 'l':
            return list_bugs();
        default:
            return usage();
        }
    }
    if (optind != argc || options.bug == BUG_COUNT || options.jobs < 1 || options.jobs > 64) {
        return usage();
    }
    /* The services' log lines would tell of nothing but planned misfortune. */
    log_setup("sim", options.trace ? LOG_LEVEL_INFO : (enum log_level)(LOG_LEVEL_ERROR + 1));
    if (options.check_replay > 0) {
        return check_replay(&options);
    }
    if (options.find_bugs > 0) {
        return find_bugs(options.find_bugs);
    }
    if (options.bug != BUG_NONE) {
        char replay[64];
        snprintf(replay, sizeof replay, " --bug %s", sim_bug_name(options.bug));
        sim_set_replay_options(replay);
    }
    if (one) {
        struct sim_totals totals = {0};
        run_seeds(&options, options.first, 1, &totals);
        print_totals(&totals);
        return 0;
    }
    return run_many(&options);
}
