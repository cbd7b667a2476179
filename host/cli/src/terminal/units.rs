//! Durations, sizes and times as people read them.

/// Formats a duration, given in milliseconds.
pub(crate) fn milliseconds(value: f64) -> String {
    if value >= 10_000.0 { format!("{:.1} s", value / 1e3) } else { format!("{value:.0} ms") }
}

/// Formats a size, given in bytes.
pub(crate) fn bytes(value: u64) -> String {
    let value = value as f64;
    match value {
        _ if value >= (1_u64 << 30) as f64 => format!("{:.2} GiB", value / (1_u64 << 30) as f64),
        _ if value >= (1 << 20) as f64 => format!("{:.1} MiB", value / f64::from(1 << 20)),
        _ if value >= 1024.0 => format!("{:.1} KiB", value / 1024.0),
        _ => format!("{value} B"),
    }
}

/// Formats a time, given in milliseconds since the epoch, in UTC.
pub(crate) fn moment(milliseconds: i64) -> String {
    jiff::Timestamp::from_millisecond(milliseconds)
        .map_or_else(|_| "-".to_owned(), |at| at.strftime("%Y-%m-%d %H:%M:%S").to_string())
}
