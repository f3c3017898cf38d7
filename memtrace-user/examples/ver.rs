//! throw-away
use aya::{programs::*, *};
fn main() {
    let data = std::fs::read(std::env::args().nth(1).unwrap()).unwrap();
    let mut l = EbpfLoader::new();
    l.allow_unsupported_maps();
    let mut e = l.load(&data).unwrap();
    for n in ["begin", "release", "finish", "floor_entry", "process_exec", "thread_exit"] {
        let t = std::time::Instant::now();
        let r = match e.program_mut(n).unwrap() {
            Program::UProbe(p) => p.load().map(|()| p.info().unwrap().verified_instruction_count()),
            Program::RawTracePoint(p) => p.load().map(|()| p.info().unwrap().verified_instruction_count()),
            _ => panic!(),
        };
        match r {
            Ok(c) => println!("{n}: {c:?} {:?}", t.elapsed()),
            Err(ProgramError::LoadError { io_error, verifier_log }) => {
                let s = verifier_log.to_string();
                println!(
                    "{n}: {io_error} {:?} .. {}",
                    t.elapsed(),
                    s.lines().rev().take(25).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("\n")
                )
            }
            Err(e) => println!("{e}"),
        }
    }
}
