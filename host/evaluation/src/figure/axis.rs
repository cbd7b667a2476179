//! Axes: round tick values, and the position of a value on the axis.

use crate::text::trim_zeros;

/// The approximate number of intervals of an axis.
const INTERVALS: f64 = 5.0;
/// Values are clamped to this magnitude, so that the span of an axis is finite.
const GREATEST: f64 = 1e300;

/// A linear axis.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Axis {
    /// The value at its beginning.
    pub(super) low: f64,
    /// The value at its end; greater than `low`.
    pub(super) high: f64,
    /// Round values on the axis, with their labels.
    pub(super) ticks: Vec<(f64, String)>,
}

impl Axis {
    /// Returns an axis from 0 to 1, with ticks at fifths.
    pub(super) fn unit() -> Self {
        let ticks = ["0", "0.2", "0.4", "0.6", "0.8", "1"];
        Self {
            low: 0.0,
            high: 1.0,
            ticks: ticks.iter().enumerate().map(|(tick, text)| (tick as f64 / 5.0, (*text).to_owned())).collect(),
        }
    }

    /// Returns an axis that contains all values and ends at round numbers (1, 2 or 5 times a power
    /// of ten; Heckbert, "Nice numbers for graph labels", Graphics Gems, 1990). Values that fill
    /// most of 0 to 1 get exactly that range.
    pub(super) fn around(values: impl Iterator<Item = f64>) -> Self {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.map(|value| value.clamp(-GREATEST, GREATEST)) {
            // Subnormal numbers have too few digits to divide.
            let value = if value.abs() < f64::MIN_POSITIVE { 0.0 } else { value };
            low = low.min(value);
            high = high.max(value);
        }
        if low > high || (low >= 0.0 && high <= 1.0 && high - low > 0.5) {
            return Self::unit();
        }
        let magnitude = low.abs().max(high.abs());
        if high - low <= magnitude * 1e-9 {
            let room = if magnitude < 1e-200 { 0.5 } else { magnitude * 0.1 };
            low -= room;
            high += room;
        }
        let (step, exponent) = nice_step((high - low) / INTERVALS);
        let (first, last) = ((low / step).floor(), (high / step).ceil());
        let count = (last - first) as i32;
        let magnitude = exponent_of(magnitude);
        let ticks = (0..=count)
            .map(|tick| {
                let value = (first + f64::from(tick)) * step;
                (value, label(value, exponent, magnitude))
            })
            .collect();
        Self { low: first * step, high: last * step, ticks }
    }

    /// Returns the position of a value: 0 at the beginning, 1 at the end.
    pub(super) fn place(&self, value: f64) -> f64 {
        ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }
}

/// Returns the next round number above `rough`, and its power of ten.
fn nice_step(rough: f64) -> (f64, i32) {
    let exponent = exponent_of(rough);
    let factor = rough / power_of_ten(exponent);
    match factor {
        f if f <= 1.0 => (power_of_ten(exponent), exponent),
        f if f <= 2.0 => (2.0 * power_of_ten(exponent), exponent),
        f if f <= 5.0 => (5.0 * power_of_ten(exponent), exponent),
        _ => (power_of_ten(exponent + 1), exponent + 1),
    }
}

/// Returns the decimal exponent of a positive number, from its digits. Logarithms and powers of the
/// platform may differ in the last bit, and figures must not.
fn exponent_of(value: f64) -> i32 {
    format!("{value:e}").split_once('e').and_then(|(_, exponent)| exponent.parse().ok()).unwrap_or(0)
}

fn power_of_ten(exponent: i32) -> f64 {
    format!("1e{exponent}").parse().unwrap_or(1.0)
}

/// Returns the label of a tick, with as many decimals as the step; in scientific notation where
/// that would be long.
fn label(value: f64, step_exponent: i32, magnitude: i32) -> String {
    if (-4..6).contains(&magnitude) && step_exponent > -7 {
        let decimals = usize::try_from(-step_exponent).unwrap_or(0);
        return trim_zeros(&format!("{value:.decimals$}"));
    }
    if value == 0.0 {
        return "0".to_owned();
    }
    let decimals = usize::try_from(exponent_of(value.abs()) - step_exponent).unwrap_or(0);
    format!("{value:.decimals$e}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(values: &[f64]) -> String {
        let axis = Axis::around(values.iter().copied());
        assert!(axis.low < axis.high && axis.ticks.len() >= 2 && axis.ticks.len() < 15, "{axis:?}");
        for value in values {
            assert!((0.0..=1.0).contains(&axis.place(*value)), "{axis:?}");
        }
        axis.ticks.into_iter().map(|(_, text)| text).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn ticks_are_round_numbers_around_the_values() {
        assert_eq!(labels(&[0.0, 0.97]), "0 0.2 0.4 0.6 0.8 1");
        assert_eq!(labels(&[0.803, 0.848]), "0.8 0.81 0.82 0.83 0.84 0.85");
        assert_eq!(labels(&[-3.0, 17.0]), "-5 0 5 10 15 20");
        assert_eq!(labels(&[0.0, 7_043.0]), "0 2000 4000 6000 8000");
        assert_eq!(labels(&[1.0e9, 1.3e9]), "1.0e9 1.1e9 1.2e9 1.3e9");
        assert_eq!(labels(&[]), "0 0.2 0.4 0.6 0.8 1");
    }

    #[test]
    fn extreme_values_still_get_an_axis() {
        for values in [
            &[f64::MAX, -f64::MAX][..],
            &[f64::MIN_POSITIVE / 4.0],
            &[1e-250, 3e-250],
            &[0.0],
            &[5.0, 5.0],
            &[1.0, 1.0 + f64::EPSILON],
            &[-1e300],
            &[1e-300],
        ] {
            labels(values);
        }
    }
}
