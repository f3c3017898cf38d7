//! Looks through the live blocks for the live view: on another thread, and never for long enough to be a burden.

use std::{
    future::pending,
    time::{Duration, Instant},
};

use tokio::task::JoinHandle;

use crate::{profile::BlockSummary, session::Session, tui::App};

/// Least time between two looks.
const PAUSE: Duration = Duration::from_secs(1);

/// A look is followed by so many times its own time without one: at most 5 % of one core.
const REST: u32 = 20;

/// A look under way, and when the next may come.
#[derive(Debug, Default)]
pub struct Look {
    task: Option<(u64, JoinHandle<(BlockSummary, Duration)>)>,
    next: Option<Instant>,
}

impl Look {
    /// Begins a look when the view asks for one and it is time, or at once when the view has none yet and the last one was
    /// quick.
    pub fn begin(&mut self, session: &Session, app: &App) {
        let now = Instant::now();
        let due = self.next.is_none_or(|next| next <= now || app.lacks_blocks() && next <= now + PAUSE);
        if self.task.is_some() || !due {
            return;
        }
        let Some((asked, query)) = app.wanted_blocks() else { return };
        match session.look_at_blocks(query) {
            Ok(work) => {
                let timed = move || {
                    let start = Instant::now();
                    (work(), start.elapsed())
                };
                self.task = Some((asked, tokio::task::spawn_blocking(timed)));
            }
            Err(error) => {
                log::warn!("cannot look through the live blocks: {error}");
                self.next = Some(now + PAUSE * REST);
            }
        }
    }

    /// Resolves when a look is done, with the number under which it was asked for; never without one. May be dropped.
    pub async fn finished(&mut self) -> (u64, BlockSummary) {
        let Some((asked, task)) = &mut self.task else { return pending().await };
        let (asked, result) = (*asked, task.await);
        self.task = None;
        let (summary, took) = result.unwrap_or_default();
        self.next = Some(Instant::now() + PAUSE.max(took * REST));
        (asked, summary)
    }
}
