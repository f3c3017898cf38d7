//! How often is reported, and when tracing ends by itself.

use std::{future::pending, time::Duration};

use tokio::time::Instant;

const LIVE_INTERVAL: Duration = Duration::from_secs(1);
const PLAIN_INTERVAL: Duration = Duration::from_secs(5);

/// Time between two refreshes of a live view, or two reports: as the user says.
#[must_use]
pub fn interval(asked: Option<Duration>, is_live: bool) -> Duration {
    asked.unwrap_or(if is_live { LIVE_INTERVAL } else { PLAIN_INTERVAL })
}

/// When tracing ends by itself, if it does.
#[derive(Debug, Clone, Copy)]
pub struct Deadline(Option<Instant>);

impl Deadline {
    /// After this time; never without one.
    #[must_use]
    pub fn after(time: impl Into<Option<Duration>>) -> Self {
        Self(time.into().map(|time| Instant::now() + time))
    }

    /// Resolves then.
    pub async fn reached(self) {
        match self.0 {
            Some(deadline) => tokio::time::sleep_until(deadline).await,
            None => pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    /// Without a time, it is never reached.
    #[tokio::test]
    async fn deadlines_are_reached_or_not() {
        Deadline::after(Duration::ZERO).reached().await;
        assert_eq!(Deadline::after(None::<Duration>).reached().now_or_never(), None);
    }
}
