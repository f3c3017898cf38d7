//! How numbers are said: bytes, counts, rates, shares, durations. Rounded, but never to a claim that is not true.

use std::time::Duration;

const BYTE_UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/// `832 B` exactly, from 1 KiB on one decimal: `12.2 MiB`.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
pub fn bytes(count: u64) -> String {
    if count < 1024 { format!("{count} B") } else { scaled_bytes(count as f64) }
}

/// Text of a number with as few characters as there can be: `12.2M` for `12.2 MiB`; units are powers of 1024 all the same.
#[must_use]
pub fn tight(text: &str) -> String {
    text.replace("iB", "").replace(' ', "")
}

/// Bytes a second: `1.2 MiB/s`.
#[must_use]
pub fn byte_rate(rate: f64) -> String {
    let rate = rate.max(0.0);
    // From 1023.5 on, rounding to a whole number would give the next unit's 1024.
    if rate < 1023.5 { format!("{rate:.0} B/s") } else { format!("{}/s", scaled_bytes(rate)) }
}

fn scaled_bytes(count: f64) -> String {
    let mut value = count / 1024.0;
    let mut unit = 0;
    // What one decimal would round up to 1024.0 belongs to the next unit.
    while value >= 1023.95 && unit + 1 < BYTE_UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", BYTE_UNITS[unit])
}

/// `1,204,332`.
#[must_use]
pub fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A count with its noun: `1 block`, `1,204 blocks`.
#[must_use]
pub fn counted(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(number), if number == 1 { "" } else { "s" })
}

/// Events a second: `0.3/s`, `1,204/s`.
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rates are finite, positive and below 2^64"
)]
pub fn rate(rate: f64) -> String {
    if rate > 0.0 && rate < 9.95 {
        format!("{rate:.1}/s")
    } else {
        format!("{}/s", count(rate.max(0.0).round() as u64))
    }
}

/// A part of 1 as `65.6%`. A part above none is never `0.0%` and one below all never `100.0%`.
#[must_use]
pub fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent > 0.0 && percent < 0.05 {
        "<0.1%".into()
    } else if (99.95..100.0).contains(&percent) {
        ">99.9%".into()
    } else {
        format!("{percent:.1}%")
    }
}

/// `0.25 s`, `12.5 s`, `1 min 05 s`, `3 h 07 min`, `2 d 03 h`.
#[must_use]
pub fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    let pair = |unit: u64| (seconds / unit, seconds % unit);
    match seconds {
        0 => format!("{:.2} s", f64::from(time.subsec_millis() / 10) / 100.0),
        1..60 => format!("{seconds}.{} s", time.subsec_millis() / 100),
        60..3_600 => format!("{} min {:02} s", pair(60).0, pair(60).1),
        3_600..86_400 => format!("{} h {:02} min", pair(3_600).0, pair(3_600).1 / 60),
        _ => format!("{} d {:02} h", pair(86_400).0, pair(86_400).1 / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Exact below 1 KiB, one decimal above, and no `1024.0 KiB`.
    #[test]
    fn bytes_are_exact_when_small() {
        for (number, text) in [
            (0, "0 B"),
            (832, "832 B"),
            (1_023, "1023 B"),
            (1_024, "1.0 KiB"),
            (1_048_575, "1.0 MiB"),
            (12_792_627, "12.2 MiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(bytes(number), text);
        }
        assert_eq!(byte_rate(1_023.7), "1.0 KiB/s");
        assert_eq!(byte_rate(0.0), "0 B/s");
    }

    /// Without blanks and the end of the unit.
    #[test]
    fn numbers_can_be_tight() {
        assert_eq!([tight("12.2 MiB"), tight("832 B")], ["12.2M", "832B"]);
    }

    /// Digits come in groups of three.
    #[test]
    fn counts_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_204_332, "1,204,332")] {
            assert_eq!(count(number), text);
        }
        assert_eq!((counted(1, "block"), counted(2, "block")), ("1 block".into(), "2 blocks".into()));
        assert_eq!((rate(0.0), rate(0.31), rate(1_204.4)), ("0/s".into(), "0.3/s".into(), "1,204/s".into()));
    }

    /// Rounding neither hides a small part nor completes a large one.
    #[test]
    fn percent_is_honest_at_both_ends() {
        for (share, text) in [(0.0, "0.0%"), (0.000_1, "<0.1%"), (0.656, "65.6%"), (0.999_9, ">99.9%"), (1.0, "100.0%")]
        {
            assert_eq!(percent(share), text);
        }
    }

    /// Two units at most, and never more time than has passed.
    #[test]
    fn durations_have_two_units() {
        for (millis, text) in [
            (0, "0.00 s"),
            (255, "0.25 s"),
            (12_590, "12.5 s"),
            (59_999, "59.9 s"),
            (65_250, "1 min 05 s"),
            (11_220_000, "3 h 07 min"),
            (183_600_000, "2 d 03 h"),
        ] {
            assert_eq!(duration(Duration::from_millis(millis)), text);
        }
    }
}
