//! The losses of boosting: gradients, hessians, and the sigmoid.

/// The logistic function. The platform's `exp` may differ in the last bit between machines, so
/// models would differ too; this uses basic IEEE operations only, which also run on several rows at
/// once. The relative error is below 1e-15.
pub(crate) fn sigmoid(score: f64) -> f64 {
    1.0 / (1.0 + exponential(-score))
}

/// Returns `e^x`, with `x` clamped so that the result is a normal number (Cody and Waite's
/// reduction, then Taylor's series).
fn exponential(x: f64) -> f64 {
    const LN2_HIGH: f64 = 6.931_471_803_691_238e-1;
    const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    // Adding this number rounds to an integer, which is then in the low bits.
    const ROUND: f64 = 6_755_399_441_055_744.0;
    let x = x.clamp(-700.0, 700.0);
    let shifted = x * std::f64::consts::LOG2_E + ROUND;
    let power = shifted - ROUND;
    let r = x - power * LN2_HIGH - power * LN2_LOW;
    let mut sum = 1.0 / 6_227_020_800.0;
    // The coefficients 1/12!, 1/11!, ... 1/0!. As |r| <= ln(2)/2, the next term is below 1e-17.
    const TERMS: [f64; 13] = [
        1.0 / 479_001_600.0,
        1.0 / 39_916_800.0,
        1.0 / 3_628_800.0,
        1.0 / 362_880.0,
        1.0 / 40_320.0,
        1.0 / 5_040.0,
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        0.5,
        1.0,
        1.0,
    ];
    for term in TERMS {
        sum = sum * r + term;
    }
    f64::from_bits(sum.to_bits().wrapping_add(shifted.to_bits() << 52))
}

/// Returns the probabilities of the wrong class for rows with these margins (the score, negated for
/// class 0). Single precision, as in XGBoost's gradients, processes four rows in one instruction,
/// and histograms keep fewer bits anyway. The relative error is below 1e-6, also for margins far
/// from 0.
#[inline(always)]
pub(crate) fn miss_probabilities<const LANES: usize>(margins: [f32; LANES]) -> [f32; LANES] {
    const ROUND: f32 = 12_582_912.0;
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    // One step at a time for all rows, which the compiler vectorises.
    let (mut shifted, mut r, mut sum) = ([0.0f32; LANES], [0.0f32; LANES], [1.0f32 / 5_040.0; LANES]);
    for lane in 0..LANES {
        let x = margins[lane].clamp(-80.0, 80.0);
        shifted[lane] = x * std::f32::consts::LOG2_E + ROUND;
        let power = shifted[lane] - ROUND;
        r[lane] = x - power * LN2_HIGH - power * LN2_LOW;
    }
    for term in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        for lane in 0..LANES {
            sum[lane] = sum[lane] * r[lane] + term;
        }
    }
    let mut probabilities = [0.0; LANES];
    for lane in 0..LANES {
        let power = f32::from_bits(sum[lane].to_bits().wrapping_add(shifted[lane].to_bits() << 23));
        probabilities[lane] = 1.0 / (1.0 + power);
    }
    probabilities
}

/// Returns the logistic loss of a row: `-ln` of the probability of its class.
pub(crate) fn logistic_loss(score: f64, positive: bool) -> f64 {
    let margin = if positive { score } else { -score };
    // ln(1 + e^-m), without overflow for very negative m.
    (-margin).max(0.0) + exponential(-margin.abs()).ln_1p()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_agrees_with_the_platforms() {
        for i in -7_000..=7_000 {
            let x = f64::from(i) * 0.099_9;
            let error = (exponential(x) / x.exp() - 1.0).abs();
            assert!(error < 1e-15, "e^{x}: relative error {error}");
        }
    }

    #[test]
    fn the_sigmoid_is_symmetric_and_saturates_without_nan() {
        assert_eq!(sigmoid(0.0), 0.5);
        assert!((sigmoid(2.0) + sigmoid(-2.0) - 1.0).abs() < 1e-15);
        assert_eq!(sigmoid(f64::INFINITY), 1.0);
        assert!(sigmoid(f64::NEG_INFINITY) < 1e-300);
    }

    #[test]
    fn the_single_precision_probability_agrees_with_the_sigmoid() {
        for i in -7_000..=7_000 {
            let margin = f64::from(i) * 0.01;
            let error = (f64::from(miss_probabilities([margin as f32])[0]) / sigmoid(-margin) - 1.0).abs();
            assert!(error < 1e-5, "margin {margin}: relative error {error}");
        }
    }

    #[test]
    fn the_logistic_loss_is_ln_2_at_an_even_score() {
        assert!((logistic_loss(0.0, true) - std::f64::consts::LN_2).abs() < 1e-15);
        assert!((logistic_loss(-800.0, true) - 800.0).abs() < 1e-9);
    }
}
