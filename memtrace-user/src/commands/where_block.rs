//! `memtrace where --pid PID ADDRESS`: the live block that holds an address.

use std::{collections::BTreeSet, process::ExitCode};

use anyhow::bail;

use super::{
    signals::Termination,
    steering::describe,
    stream::{print, say},
    timing::Deadline,
};
use crate::{
    cli::WhereArgs,
    control::{self, Answer, Block, Command, ControlError},
    report::{escape::escape, units},
    session::{self, Finder, Session},
    tracer::TracerOptions,
};

/// Runs the command: asks a memtrace that traces the process, or traces it for a while.
///
/// # Errors
/// When the process cannot be traced, or no block holds the address.
pub async fn execute(arguments: &WhereArgs) -> anyhow::Result<ExitCode> {
    let command = Command::Where { address: arguments.address };
    let block = match control::ask(arguments.pid, arguments.tracer, &command).await {
        Ok(Answer::Block(block)) => block,
        Ok(_) => bail!("memtrace answered something else"),
        Err(ControlError::NotTraced(_)) if arguments.tracer.is_none() => trace_and_find(arguments).await?,
        Err(error) => return Err(error.into()),
    };
    let Some(block) = block else {
        bail!(
            "no live block of process {} that was allocated under tracing holds {:#x}",
            arguments.pid,
            arguments.address
        );
    };
    print(text(&block, arguments.address).as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// Only what is allocated from here on can be found.
async fn trace_and_find(arguments: &WhereArgs) -> anyhow::Result<Option<Block>> {
    let mut termination = Termination::new()?;
    let mut session = session::attach(arguments.pid, &TracerOptions::from(&arguments.tracing))?;
    say(&format!(
        "no memtrace traces process {}: tracing it for {}; only blocks that are allocated in this time can be found",
        arguments.pid,
        units::duration(arguments.duration)
    ));
    let deadline = Deadline::after(arguments.duration);
    let nothing = BTreeSet::new();
    let wait = async {
        loop {
            tokio::select! {
                update = session.next(&nothing) => if matches!(update?, session::Update::Ended) { return Ok(()) },
                () = termination.requested() => return Ok(()),
                () = deadline.reached() => return Ok(()),
            }
        }
    };
    let waited: std::io::Result<()> = wait.await;
    waited?;
    find(&mut session, arguments.address).await
}

async fn find(session: &mut Session, address: u64) -> anyhow::Result<Option<Block>> {
    let found = session.find_block(address);
    tokio::pin!(found);
    let nothing = BTreeSet::new();
    let found = loop {
        tokio::select! {
            found = &mut found => break found,
            update = session.next(&nothing) => drop(update?),
        }
    };
    match found?? {
        Some(block) => Ok(Some(describe(block, &Finder::default()).await)),
        None => Ok(None),
    }
}

fn text(block: &Block, address: u64) -> String {
    let offset = address.saturating_sub(block.address);
    let inside = if offset == 0 { String::new() } else { format!(" (the address is {offset} bytes into it)") };
    let age = block.age_seconds.map_or_else(|| "unknown".to_owned(), |age| format!("{age:.2} s"));
    let mut lines = vec![
        format!("Block  {:#x}{inside}", block.address),
        format!("Size   {} bytes", block.size),
        format!("Age    {age}"),
    ];
    lines.extend(block.thread.iter().map(|thread| format!("Thread {}", escape(thread))));
    lines.push("Stack".to_owned());
    lines.extend(block.stack.iter().map(|line| format!("  {}", escape(line))));
    lines.join("\n") + "\n"
}
