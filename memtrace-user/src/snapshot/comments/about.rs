//! Comments about a snapshot as a whole.

use std::fmt::Display;

use super::number;
use crate::{
    profile::{About, Lack, LossReason},
    snapshot::time,
};

/// Hands each key and value to `put`.
pub fn encode(about: &About, put: &mut dyn FnMut(&str, &dyn Display)) {
    let options = &about.options;
    let texts = [("tool", &about.tool), ("host", &about.host), ("kernel", &about.kernel), ("unwind", &options.unwind)];
    for (key, text) in texts {
        if let Some(text) = text {
            put(key, text);
        }
    }
    let numbers = [
        ("sample_bytes", options.sample_bytes),
        ("min_size", options.min_size),
        ("max_frames", options.max_frames.map(u64::from)),
    ];
    for (key, number) in numbers {
        if let Some(number) = number {
            put(key, &number);
        }
    }
    if let Some(started) = about.started_at {
        put("started", &time::to_nanos(started));
    }
    for (reason, count) in about.losses.iter() {
        put(&format!("lost.{}", reason.key()), &count);
    }
    for lack in &about.lacks {
        put("lacks", &lack.name());
    }
}

/// Takes in one comment; whether it is known and makes sense.
pub fn decode(key: &str, value: &str, about: &mut About) -> bool {
    try_decode(key, value, about).is_some()
}

fn try_decode(key: &str, value: &str, about: &mut About) -> Option<()> {
    let options = &mut about.options;
    match key {
        "tool" => about.tool = Some(value.to_owned()),
        "host" => about.host = Some(value.to_owned()),
        "kernel" => about.kernel = Some(value.to_owned()),
        "unwind" => options.unwind = Some(value.to_owned()),
        "sample_bytes" => options.sample_bytes = Some(number(value)?),
        "min_size" => options.min_size = Some(number(value)?),
        "max_frames" => options.max_frames = Some(value.parse().ok()?),
        "started" => about.started_at = Some(time::from_nanos(value.parse().ok()?)),
        "lacks" => {
            let lack = Lack::all().find(|lack| lack.name() == value)?;
            if !about.lacks.contains(&lack) {
                about.lacks.push(lack);
            }
        }
        _ => {
            let name = key.strip_prefix("lost.")?;
            let reason = LossReason::all().find(|reason| reason.key() == name)?;
            about.losses.add(reason, number(value)?);
        }
    }
    Some(())
}
