//! Times as pprof has them: nanoseconds since 1970, signed.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Nanoseconds since 1970; the nearest number for times that are centuries away.
pub fn to_nanos(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => duration_to_nanos(after),
        Err(before) => -duration_to_nanos(before.duration()),
    }
}

/// The time so many nanoseconds after 1970.
pub fn from_nanos(nanos: i64) -> SystemTime {
    let distance = Duration::from_nanos(nanos.unsigned_abs());
    if nanos < 0 { UNIX_EPOCH - distance } else { UNIX_EPOCH + distance }
}

/// The nearest number of nanoseconds.
pub fn duration_to_nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Times keep their nanosecond, those before 1970 too.
    #[test]
    fn times_survive() {
        for nanos in [0, 1, -1, i64::MAX, i64::MIN + 1, 1_790_000_000_123_456_789] {
            assert_eq!(to_nanos(from_nanos(nanos)), nanos);
        }
        assert_eq!(to_nanos(from_nanos(i64::MIN)), -i64::MAX);
    }
}
