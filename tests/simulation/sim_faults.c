/* Misfortune: what goes wrong in a run, and when it is over. Each run has its own share of it, so
 * that some runs are all crashes and others all network. */
#include "tests/simulation/sim_cold.h"
#include "tests/simulation/sim_core.h"
#include "tests/simulation/sim_world_parts.h"

enum fault {
    FAULT_METADATA_DIES,
    FAULT_REPLICA_DIES,
    FAULT_COMMIT_FAILS,
    FAULT_SPOOL_DISK,
    FAULT_REPLICA_DISK,
    FAULT_STREAM_CRASH,
    FAULT_STREAM_WIPE,
    FAULT_CONNECTION,
    FAULT_CONSUMER_RESET,
    FAULT_INTRUDER,
    FAULT_COLD_AWAY,
    FAULT_CLOCK_JUMP,
    FAULT_READ, /* none: somebody reads */
    FAULT_COUNT,
};

enum { DOWN_MOST_MS = 4000, START_CUT_PER_MILLE = 150, INTRUSIONS_MOST = 5 };

static enum sim_death choose_death(void) {
    return sim_chance(600) ? SIM_DEATH_POWER : sim_chance(800) ? SIM_DEATH_KILL : SIM_DEATH_CLEAN;
}

static int64_t choose_return(void) {
    return sim_now_us() + sim_range(1, DOWN_MOST_MS) * SIM_MS;
}

/* ---- deaths ---- */

static void kill_metadata(struct world *world, enum sim_death death) {
    if (world->metadata_back_us == 0) {
        sim_metadata_kill(world->metadata, death);
        world->metadata_back_us = choose_return();
        world->deaths++;
    }
}

static void kill_replica(struct world *world, unsigned i, enum sim_death death) {
    if (world->replica_back_us[i] == 0) {
        bool softer = world->replicas_keep_power && death == SIM_DEATH_POWER;
        sim_replica_kill(world->replicas[i], softer ? SIM_DEATH_KILL : death);
        world->replica_back_us[i] = choose_return();
        world->deaths++;
    }
}

/* A start may be cut short, too. */
static void start_metadata(struct world *world, bool safely) {
    if (!safely && sim_chance(START_CUT_PER_MILLE)) {
        sim_metadata_fail_spool(world->metadata, SIM_DISK_CUT);
    }
    world->metadata_back_us = 0;
    if (!sim_metadata_start(world->metadata)) {
        kill_metadata(world, SIM_DEATH_POWER);
    }
}

static void start_replica(struct world *world, unsigned i, bool safely) {
    if (!safely && !world->replicas_keep_power && sim_chance(START_CUT_PER_MILLE)) {
        sim_replica_fail_disk(world->replicas[i], SIM_DISK_CUT);
    }
    world->replica_back_us[i] = 0;
    if (!sim_replica_start(world->replicas[i])) {
        kill_replica(world, i, SIM_DEATH_POWER);
    }
}

static void start_those_due(struct world *world) {
    if (world->metadata_back_us != 0 && sim_now_us() >= world->metadata_back_us) {
        start_metadata(world, false);
    }
    for (unsigned i = 0; i < world->replica_count; i++) {
        if (world->replica_back_us[i] != 0 && sim_now_us() >= world->replica_back_us[i]) {
            start_replica(world, i, false);
        }
    }
    if (world->cold_back_us != 0 && sim_now_us() >= world->cold_back_us) {
        sim_cold_set_reachable(world->cold, true);
        world->cold_back_us = 0;
    }
}

void world_restart_failed(struct world *world) {
    if (sim_metadata_up(world->metadata) && sim_metadata_failed(world->metadata)) {
        sim_metadata_kill(world->metadata, SIM_DEATH_POWER);
        start_metadata(world, true);
    }
    for (unsigned i = 0; i < world->replica_count; i++) {
        if (sim_replica_up(world->replicas[i]) && sim_replica_failed(world->replicas[i])) {
            sim_replica_kill(world->replicas[i], SIM_DEATH_POWER);
            start_replica(world, i, true);
        }
    }
}

/* Somebody notices after a while that a disk failed. */
static void notice_failures(struct world *world) {
    if (sim_chance(50)) {
        if (world->metadata_back_us == 0 && sim_metadata_failed(world->metadata)) {
            kill_metadata(world, SIM_DEATH_POWER);
        }
        for (unsigned i = 0; i < world->replica_count; i++) {
            if (world->replica_back_us[i] == 0 && sim_replica_failed(world->replicas[i])) {
                kill_replica(world, i, SIM_DEATH_POWER);
            }
        }
    }
}

/* ---- what goes wrong ---- */

static enum sim_disk_fault choose_disk_fault(void) {
    return sim_chance(400) ? SIM_DISK_CUT : sim_chance(500) ? SIM_DISK_FULL : SIM_DISK_ERROR;
}

static void strike(struct world *world, enum fault fault) {
    unsigned some = (unsigned)sim_range(0, (int64_t)world->replica_count - 1);
    switch (fault) {
    case FAULT_METADATA_DIES:
        kill_metadata(world, choose_death());
        break;
    case FAULT_REPLICA_DIES:
        kill_replica(world, some, choose_death());
        break;
    case FAULT_COMMIT_FAILS:
        sim_metadata_fail_commit(world->metadata);
        break;
    case FAULT_SPOOL_DISK:
        if (world->metadata_back_us == 0) {
            sim_metadata_fail_spool(world->metadata, choose_disk_fault());
        }
        break;
    case FAULT_REPLICA_DISK:
        if (world->replica_back_us[some] == 0 && !world->replicas_keep_power) {
            sim_replica_fail_disk(world->replicas[some], choose_disk_fault());
        }
        break;
    case FAULT_STREAM_CRASH:
        /* One that never catches up loses old events again that were published anew; no log is kept for ever. */
        if (world->trims && (int64_t)sim_stream_events(world->stream) < model_revision(world->model)) {
            break;
        }
        sim_stream_crash(world->stream, sim_range(0, WORLD_UNFLUSHED_S) * SIM_SECOND,
                         sim_range(1, DOWN_MOST_MS) * SIM_MS);
        world->losses++;
        break;
    case FAULT_STREAM_WIPE:
        if (!world->trims) {
            sim_stream_wipe(world->stream, sim_range(1, DOWN_MOST_MS) * SIM_MS);
            world->losses++;
        }
        break;
    case FAULT_CONNECTION:
        sim_stream_break_connection(world->stream);
        break;
    case FAULT_CONSUMER_RESET:
        sim_stream_reset_consumer(world->stream);
        break;
    case FAULT_INTRUDER:
        sim_stream_intrude(world->stream, (unsigned)sim_range(1, INTRUSIONS_MOST));
        break;
    case FAULT_COLD_AWAY:
        sim_cold_set_reachable(world->cold, false);
        world->cold_back_us = sim_now_us() + sim_range(1, 20) * SIM_SECOND;
        break;
    case FAULT_CLOCK_JUMP:
        sim_set_wall_clock(sim_range(-WORLD_CLOCK_OFF_S, WORLD_CLOCK_OFF_S) * SIM_SECOND);
        break;
    case FAULT_READ:
    case FAULT_COUNT:
        break;
    }
}

static void read_somewhere(struct world *world) {
    unsigned i = (unsigned)sim_range(0, (int64_t)world->replica_count - 1);
    unsigned bucket = (unsigned)sim_range(0, MODEL_BUCKETS - 1);
    unsigned key = (unsigned)sim_range(0, MODEL_KEYS - 1);
    if (world->replica_back_us[i] == 0 && sim_chance(world->promotions)) {
        sim_replica_promote(world->replicas[i], bucket, key);
    } else if (world->replica_back_us[i] == 0) {
        sim_replica_read(world->replicas[i], bucket, key);
    }
}

void world_begin_faults(struct world *world) {
    world->fault_per_mille = sim_chance(100) ? 0 : (unsigned)sim_range(1, 40);
    world->kinds = (unsigned)sim_random() & (unsigned)(sim_chance(300) ? UINT32_MAX : sim_random());
    world->replicas_keep_power = sim_chance(400);
    /* Some runs are all about the same objects coming and going. */
    bool rush = sim_chance(200);
    world->reads = rush ? 500 : 100;
    world->redeliveries = rush ? 40 : 0;
    world->promotions = rush ? 900 : 100;
    unsigned losses = sim_chance(500) ? (unsigned)sim_range(0, 60) : 0;
    unsigned delays = sim_chance(500) ? (unsigned)sim_range(0, 80) : 0;
    sim_metadata_set_network(world->metadata, losses, delays, sim_chance(250) ? (unsigned)sim_range(50, 300) : delays);
    sim_metadata_set_garbled(world->metadata, sim_chance(200) ? (unsigned)sim_range(10, 300) : 0);
    sim_stream_set_losses(world->stream, sim_chance(500) ? (unsigned)sim_range(0, 40) : 0);
    sim_cold_set_faults(world->cold, sim_chance(500) ? (unsigned)sim_range(0, 80) : 0,
                        sim_chance(300) ? (unsigned)sim_range(0, 200) : 0);
}

void world_step_faults(struct world *world) {
    start_those_due(world);
    notice_failures(world);
    if (sim_chance(world->reads)) {
        read_somewhere(world);
    }
    if (sim_chance(world->redeliveries)) {
        sim_stream_reset_consumer(world->stream);
    }
    if (sim_chance(world->fault_per_mille)) {
        enum fault fault = (enum fault)sim_range(0, FAULT_COUNT - 1);
        if ((world->kinds >> fault & 1) != 0) {
            strike(world, fault);
        }
    }
}

void world_end_faults(struct world *world) {
    sim_metadata_set_network(world->metadata, 0, 0, 0);
    sim_metadata_set_garbled(world->metadata, 0);
    sim_stream_set_losses(world->stream, 0);
    sim_cold_set_faults(world->cold, 0, 0);
    sim_cold_set_reachable(world->cold, true);
    /* What waits to go wrong with a disk is forgotten with a restart. */
    kill_metadata(world, choose_death());
    start_metadata(world, true);
    for (unsigned i = 0; i < world->replica_count; i++) {
        kill_replica(world, i, choose_death());
        start_replica(world, i, true);
    }
}
