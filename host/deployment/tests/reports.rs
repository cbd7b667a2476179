//! Reports of A/B tests. Expected figures are those of SciPy 1.17.1 (`ttest_ind` with
//! `equal_var=False`) and statsmodels (`confint_proportions_2indep` with `method="newcomb"`,
//! `proportions_ztest`), which are not part of these tests.

mod support;

use serde_json::json;
use stagewright_deployment::{AbReport, Comparison, Mean, Plan, Proportion, Verdict, means, proportions, report};
use stagewright_store::{ArmCounts, OutcomeTally};
use support::{DAY_MS, ab, after, counts, started, tally, values, with};

/// Values of control and treatment, a confidence, and what comes of them.
type Means<'a> = (&'a [f64], &'a [f64], f64, [f64; 4]);

fn near(actual: f64, expected: f64) {
    assert!((actual - expected).abs() <= 1e-9 * expected.abs().max(1e-3), "{actual} is not {expected}");
}

fn same(actual: Comparison, [difference, low, high, p_value]: [f64; 4]) {
    near(actual.difference, difference);
    near(actual.low, low);
    near(actual.high, high);
    near(actual.p_value, p_value);
}

#[test]
fn proportions_are_compared_as_statsmodels_compares_them() {
    let cases = [
        // Newcombe's own example.
        ((48, 80), (56, 70), 0.95, [0.2, 0.05243147240236498, 0.333872654036906, 0.00804508136819656]),
        (
            (1_000, 10_000),
            (1_100, 10_000),
            0.95,
            [0.01, 0.0015020650656495157, 0.018501515868365202, 0.021075189273797826],
        ),
        (
            (1_000, 10_000),
            (1_020, 10_000),
            0.99,
            [0.002, -0.00898506694174742, 0.012986473009357059, 0.6388367487060473],
        ),
        ((0, 50), (3, 60), 0.95, [0.05, -0.028547024833162807, 0.1370051647634852, 0.10890129793272194]),
        ((5, 1_000), (0, 400), 0.9, [-0.005, -0.010235331506720883, 0.002191076068671356, 0.15655728221879828]),
        (
            (120_000, 1_000_000),
            (121_500, 1_000_000),
            0.95,
            [0.0015, 0.0005968447152048348, 0.0024031581754587073, 0.0011331604972787523],
        ),
    ];
    for ((control, of_control), (treatment, of_treatment), confidence, expected) in cases {
        let control = Proportion { positives: control, count: of_control };
        let treatment = Proportion { positives: treatment, count: of_treatment };
        same(proportions(control, treatment, confidence).unwrap(), expected);
    }
}

#[test]
fn proportions_at_their_ends_are_no_numbers_out_of_range() {
    let all = |positives, count| Proportion { positives, count };
    let alike = proportions(all(0, 10), all(0, 20), 0.95).unwrap();
    assert_eq!((alike.difference, alike.p_value), (0.0, 1.0));
    assert!(alike.low < 0.0 && alike.high > 0.0);
    let opposite = proportions(all(0, 1_000_000), all(1_000_000, 1_000_000), 0.95).unwrap();
    assert_eq!((opposite.difference, opposite.p_value), (1.0, 0.0));
    assert!(opposite.high <= 1.0 && opposite.low > 0.99);
    assert_eq!(proportions(all(0, 0), all(1, 2), 0.95), None);
}

#[test]
fn means_are_compared_as_scipy_compares_them() {
    let cases: [Means<'_>; 3] = [
        (
            &[10.5, 12.0, 9.25, 11.75, 10.0],
            &[12.5, 13.25, 11.0, 14.75, 12.0, 13.5],
            0.95,
            [2.1333333333333346, 0.4486177932107829, 3.8180488734558864, 0.018686450708737465],
        ),
        (
            &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0],
            &[2.0, 2.0, 3.0, 3.0, 2.0, 2.0, 3.0, 3.0],
            0.99,
            [-2.0, -5.01237928411777, 1.01237928411777, 0.05543943566311042],
        ),
        (
            &[0.0, 0.0, 0.0, 100.0, 0.0, 0.0, 0.0, 50.0],
            &[20.0, 0.0, 0.0, 0.0, 30.0, 0.0],
            0.9,
            [-10.416666666666666, -36.42997335934576, 15.596640026012425, 0.4823020449777609],
        ),
    ];
    for (control, treatment, confidence, expected) in cases {
        let mean = |values: &[f64]| {
            Mean::of_sums(values.len() as u64, values.iter().sum(), values.iter().map(|it| it * it).sum()).unwrap()
        };
        same(means(mean(control), mean(treatment), confidence).unwrap(), expected);
    }
}

#[test]
fn rounding_is_no_difference_and_too_few_values_are_no_sample() {
    // The same values as 1e8 + 0, 1e8 + 1 ... in both arms; their sums lose most digits.
    let sums = |count: u64| {
        let values = (0..count).map(|it| 1e8 + (it % 2) as f64);
        values.fold((0.0, 0.0), |(sum, squares), value| (sum + value, squares + value * value))
    };
    let ((sum, squares), (sum_of_more, squares_of_more)) = (sums(100), sums(200));
    let (one, more) = (Mean::of_sums(100, sum, squares), Mean::of_sums(200, sum_of_more, squares_of_more));
    assert!(means(one.unwrap(), more.unwrap(), 0.95).unwrap().p_value > 0.5);
    assert_eq!(Mean::of_sums(1, 5.0, 25.0), None);
    let nothing = Mean::of_sums(10, 0.0, 0.0).unwrap();
    assert_eq!(means(nothing, nothing, 0.95), None, "zeros do not vary");
}

/// Returns the report of a test some days after its start.
fn reported(plan: &serde_json::Value, days: i64, counts: &[ArmCounts], outcomes: &[OutcomeTally]) -> AbReport {
    let (deployment, plan) = started(plan);
    let Plan::Ab(test) = plan else { panic!("no test") };
    report(&deployment, &test, &after(days * DAY_MS, counts, outcomes))
}

/// 10 % and 11 % of 10,000 conversions each.
fn conversions() -> [OutcomeTally; 2] {
    [tally("control", 1, 10_000, 1_000), tally("treatment", 2, 10_000, 1_100)]
}

// invariant: An A/B test has no verdict before its duration and its sample size.
#[test]
fn a_report_has_effect_interval_and_p_value_and_a_verdict_only_at_its_time() {
    let requests = [counts("control", 0, 20_000, 20, 9_000), counts("treatment", 0, 20_000, 30, 12_000)];
    let found = reported(&ab(), 14, &requests, &conversions());
    let primary = &found.primary;
    near(primary.effect.unwrap(), 0.01);
    near(primary.relative_effect.unwrap(), 0.1);
    near(primary.p_value.unwrap(), 0.021075189273797826);
    let (low, high) = primary.confidence_interval.unwrap();
    near(low, 0.0015020650656495157);
    near(high, 0.018501515868365202);
    assert_eq!(found.verdict, Verdict::TreatmentBetter);
    let [p99, errors] = &found.secondary[..] else { panic!("{found:?}") };
    assert_eq!((p99.control, p99.treatment, p99.effect, p99.p_value), (Some(9.0), Some(12.0), Some(3.0), None));
    assert_eq!((errors.control, errors.treatment), (Some(0.001), Some(0.0015)));
    assert!(errors.p_value.is_some());

    let missing = |days, outcomes: &[OutcomeTally]| match reported(&ab(), days, &requests, outcomes).verdict {
        Verdict::NotYet { missing } => missing,
        verdict => panic!("{verdict:?}"),
    };
    assert_eq!(missing(13, &conversions()), ["13 of 14 days have passed"]);
    let few = [tally("control", 1, 9_999, 1_000), tally("treatment", 2, 10_000, 1_100)];
    assert_eq!(missing(14, &few), ["the control has 9999 of 10000 samples"]);
    let none =
        ["1 of 14 days have passed", "the control has 0 of 10000 samples", "the treatment has 0 of 10000 samples"];
    assert_eq!(missing(1, &[]), none);
    // The figures so far are there all the same.
    let early = reported(&ab(), 1, &requests, &few);
    assert!(early.primary.p_value.is_some() && early.primary.confidence_interval.is_some());
}

#[test]
fn the_direction_that_is_better_decides_who_wins() {
    let verdict = |plan, outcomes: &[OutcomeTally]| reported(&plan, 14, &[], outcomes).verdict;
    let [control, treatment] = conversions();
    assert_eq!(verdict(ab(), &[control.clone(), treatment.clone()]), Verdict::TreatmentBetter);
    let lower = with(ab(), "/better", json!("lower"));
    assert_eq!(verdict(lower, &[control, treatment]), Verdict::ControlBetter);
    let alike = [tally("control", 1, 10_000, 1_000), tally("treatment", 2, 10_000, 1_020)];
    assert_eq!(verdict(ab(), &alike), Verdict::NoDifference);
    // p = 0.0211 is below 0.05 and above 0.01.
    assert_eq!(verdict(with(ab(), "/confidence", json!(0.99)), &conversions()), Verdict::NoDifference);
}

#[test]
fn requests_and_values_can_decide_too() {
    let errors = with(with(ab(), "/metrics/primary", json!("error_rate")), "/min_sample_size", json!(1_000));
    let requests = [counts("control", 0, 1_000, 100, 1), counts("treatment", 0, 1_000, 20, 1)];
    let found = reported(&errors, 14, &requests, &[]);
    assert_eq!((found.verdict, found.control_samples), (Verdict::TreatmentBetter, 1_000));
    let means = with(with(ab(), "/metrics/primary", json!("mean_value")), "/min_sample_size", json!(5));
    let outcomes = [
        values("control", 1, &[10.5, 12.0, 9.25, 11.75, 10.0]),
        values("treatment", 2, &[12.5, 13.25, 11.0, 14.75, 12.0, 13.5]),
    ];
    let found = reported(&means, 14, &[], &outcomes);
    near(found.primary.p_value.unwrap(), 0.018686450708737465);
    assert_eq!(found.verdict, Verdict::TreatmentBetter);
    let zeros = [values("control", 1, &[0.0; 9]), values("treatment", 2, &[0.0; 9])];
    let Verdict::NotYet { missing } = reported(&means, 14, &[], &zeros).verdict else { panic!("a verdict") };
    assert_eq!(missing, ["`mean_value` has no values that vary"]);
}

#[test]
fn a_report_reads_well_and_is_json() {
    let requests = [counts("control", 0, 20_000, 20, 9_000), counts("treatment", 0, 20_000, 30, 12_000)];
    let found = reported(&ab(), 14, &requests, &conversions());
    let text = "\
churn_model_v2: 14 of 14 days
samples: control 10000, treatment 10000, of 10000 each
confidence: 95 %
conversion_rate: control 10 %, treatment 11 %, effect +1 points (+10 %), interval +0.15 points to +1.85 points, p = 0.0211
latency_p99: control 9 ms, treatment 12 ms, effect +3 ms (+33.33 %)
error_rate: control 0.1 %, treatment 0.15 %, effect +0.05 points (+50 %), interval -0.02 points to +0.12 points, p = 0.1570
";
    assert_eq!(found.to_string(), text);
    let json = serde_json::to_value(&found).unwrap();
    assert_eq!((&json["verdict"], &json["primary"]["metric"]), (&json!("treatment_better"), &json!("conversion_rate")));
    let early = serde_json::to_value(reported(&ab(), 1, &[], &conversions())).unwrap();
    assert_eq!((&early["verdict"], &early["missing"]), (&json!("not_yet"), &json!(["1 of 14 days have passed"])));
}
