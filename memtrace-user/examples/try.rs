//! throw-away
use memtrace::tracer::*;
use std::sync::Arc;
fn main() {
    env_logger::init();
    let pid: u32 = std::env::args().nth(1).unwrap().parse().unwrap();
    let secs: u64 = std::env::args().nth(2).unwrap().parse().unwrap();
    let t = std::time::Instant::now();
    let mut tr =
        Tracer::load(&TracerOptions { max_frames: 127, min_size: 0, without_multi: std::env::var("PERF").is_ok() })
            .unwrap_or_else(|e| panic!("{e}"));
    println!("load {:?} multi {}", t.elapsed(), tr.uses_multi_links());
    let f = Arc::new(
        std::fs::File::open(std::env::args().nth(3).unwrap_or("/lib/x86_64-linux-gnu/libc.so.6".into())).unwrap(),
    );
    let p = |o, c| Probe { offset: o, call: c };
    let o: Vec<u64> = std::env::var("OFFS").unwrap().split(',').map(|x| u64::from_str_radix(x, 16).unwrap()).collect();
    let file =
        ProbedFile { name: "libc".into(), file: f, probes: vec![p(o[0], 1), p(o[1], 3), p(o[2], 4), p(o[3] + 9, 6)] };
    tr.place_probes(&file, pid).unwrap_or_else(|e| panic!("{e}"));
    println!("attached {:?}", t.elapsed());
    let slot = tr.trace_process(pid).unwrap();
    std::thread::sleep(std::time::Duration::from_secs(secs));
    let raw = tr.read(slot);
    println!("{:#?}\n{:?}\nstacks {}", raw.totals, raw.losses.iter().collect::<Vec<_>>(), raw.stacks.len());
    let mut s = raw.stacks;
    s.sort_by_key(|s| std::cmp::Reverse(s.stats.allocated_bytes));
    for s in s.iter().take(3) {
        println!("{:?} {:x?}", s, s.addresses);
    }
    println!("bpf mem {}", tr.bpf_memory(1));
    let t = std::time::Instant::now();
    drop(tr);
    println!("drop {:?}", t.elapsed());
}
