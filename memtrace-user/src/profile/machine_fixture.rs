//! Made-up machines, for the tests of the views.

use std::time::{Duration, SystemTime};

use super::{
    AllocRates, AllocStats, CostToAll, EndedProcesses, LossReason, Losses, Machine, MachineProcess, Overhead,
    ProcessKey, ProcessTotals,
};

/// A machine with these processes and nothing else.
pub(crate) fn of(processes: Vec<MachineProcess>) -> Machine {
    Machine {
        taken_at: SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000),
        elapsed: Duration::from_secs(754),
        processes,
        ended: EndedProcesses::default(),
        allocators: vec![
            "glibc (/usr/lib/x86_64-linux-gnu/libc.so.6)".into(),
            "jemalloc (/usr/lib/libjemalloc.so.2)".into(),
        ],
        cost: CostToAll { processes: 412, pair: Some(Duration::from_nanos(420)) },
        losses: Losses::default(),
        sample_bytes: None,
        overhead: Overhead {
            core_share: Some(0.031),
            own_memory_bytes: 182 << 20,
            bpf_memory_bytes: 121 << 20,
            ..Overhead::default()
        },
        notes: Vec::new(),
    }
}

/// A process by its command, live and freed blocks of 1 KiB, growth in KiB, and how many blocks a second it allocates.
pub(crate) fn process(command: &str, live: u64, freed: u64, growth: i64, rate: u32) -> MachineProcess {
    let stats = AllocStats {
        allocated_blocks: live + freed,
        allocated_bytes: (live + freed) << 10,
        freed_blocks: freed,
        freed_bytes: freed << 10,
        ..AllocStats::default()
    };
    let rates = AllocRates {
        allocated_blocks: rate.into(),
        allocated_bytes: f64::from(rate) * 1024.0,
        ..AllocRates::default()
    };
    MachineProcess {
        command: command.into(),
        user: command.split(|character: char| !character.is_alphanumeric()).next().unwrap_or_default().into(),
        rss_bytes: Some((live << 10) + (9 << 20)),
        totals: ProcessTotals { current_bytes: stats.live_bytes(), stats, ..ProcessTotals::default() },
        rates,
        growth_bytes: growth << 10,
        ..MachineProcess::default()
    }
}

/// Some servers.
pub(crate) fn typical() -> Machine {
    let mut processes = vec![
        process("redis-server 127.0.0.1:6379", 412_000, 8_100_300, 1_300, 41_200),
        process("postgres: app app [local] INSERT", 61_200, 912_000, -4_400, 9_310),
        process("nginx: worker process", 1_900, 700_100, 12, 3_100),
        process("python3 -m gunicorn --workers 4 --bind 0.0.0.0:8000 app:wsgi", 88_000, 1_020_000, 22_000, 18_000),
        process("node /srv/app/server.js", 30_500, 150_000, 0, 220),
        process("cron -f", 3, 900, 0, 0),
    ];
    for (index, process) in (0_u32..).zip(&mut processes) {
        process.key = ProcessKey(u64::from(index) + 1);
        process.pid = 800 + 77 * index;
    }
    processes[4].container = Some("4f5e9c0d1b2a39485766758493a2b1c0d9e8f7a6b5c4d3e2f1a0b9c8d7e6f504".into());
    let ended = AllocStats { allocated_blocks: 812_000, allocated_bytes: 91 << 20, ..AllocStats::default() };
    Machine { ended: EndedProcesses { count: 20_418, stats: ended }, ..of(processes) }
}

/// The same with estimates, and things that could not be recorded.
pub(crate) fn with_losses() -> Machine {
    let mut machine = typical();
    machine.losses.add(LossReason::ShareOfBlocks, 51_200);
    machine.losses.add(LossReason::NoSlot, 12);
    machine.processes[0].refused_blocks = 51_200;
    machine.sample_bytes = Some(512 << 10);
    machine.notes.push("this kernel has no session probes".into());
    machine
}
