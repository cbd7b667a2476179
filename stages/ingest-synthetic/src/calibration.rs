//! Tests of the synthetic population against the figures that it promises. They look at customers,
//! not at columns.

use crate::customer::Customer;

/// Returns the area under the ROC curve of `scored`: pairs of score and whether positive.
fn area_under_roc(mut scored: Vec<(f64, bool)>) -> f64 {
    scored.sort_by(|a, b| a.0.total_cmp(&b.0));
    let positives = scored.iter().filter(|row| row.1).count() as f64;
    let (mut rank_sum, mut start) = (0.0, 0);
    while start < scored.len() {
        let end = start + scored[start..].iter().take_while(|row| row.0 == scored[start].0).count();
        let rank = (start + end + 1) as f64 / 2.0;
        rank_sum += rank * scored[start..end].iter().filter(|row| row.1).count() as f64;
        start = end;
    }
    let negatives = scored.len() as f64 - positives;
    (rank_sum - positives * (positives + 1.0) / 2.0) / (positives * negatives)
}

fn population(seed: u64, drift: f64) -> Vec<Customer> {
    (0..100_000).map(|row| Customer::draw(seed, row, drift)).collect()
}

fn share(customers: &[Customer], is: impl Fn(&Customer) -> bool) -> f64 {
    customers.iter().filter(|customer| is(customer)).count() as f64 / customers.len() as f64
}

#[test]
fn churn_is_26_and_a_half_percent_and_the_best_auc_is_0_855() {
    for seed in [1, 42] {
        let customers = population(seed, 0.0);
        let churn = share(&customers, |customer| customer.churn);
        let best = area_under_roc(customers.iter().map(|c| (c.churn_probability, c.churn)).collect());
        println!("seed {seed}: churn {churn}, best AUC {best}");
        assert!((churn - 0.265).abs() < 0.005, "{churn}");
        assert!((best - 0.855).abs() < 0.004, "{best}");
    }
}

#[test]
fn marginals_are_those_of_the_real_table() {
    let customers = population(42, 0.0);
    let mean = |value: &dyn Fn(&Customer) -> f64| customers.iter().map(value).sum::<f64>() / customers.len() as f64;
    let figures = [
        ("senior", share(&customers, |c| c.senior), 0.162, 0.01),
        ("partner", share(&customers, |c| c.partner), 0.483, 0.01),
        ("dependents", share(&customers, |c| c.dependents), 0.300, 0.01),
        ("phone", share(&customers, |c| c.phone), 0.903, 0.01),
        ("several lines", share(&customers, |c| c.lines == 1), 0.422, 0.02),
        ("DSL", share(&customers, |c| c.internet == 0), 0.344, 0.01),
        ("fibre", share(&customers, |c| c.internet == 1), 0.440, 0.01),
        ("month-to-month", share(&customers, |c| c.contract == 0), 0.550, 0.01),
        ("two years", share(&customers, |c| c.contract == 2), 0.241, 0.01),
        ("security", share(&customers, |c| c.extras[0] == 1), 0.287, 0.02),
        ("backup", share(&customers, |c| c.extras[1] == 1), 0.345, 0.02),
        ("protection", share(&customers, |c| c.extras[2] == 1), 0.344, 0.02),
        ("support", share(&customers, |c| c.extras[3] == 1), 0.290, 0.02),
        ("television", share(&customers, |c| c.extras[4] == 1), 0.384, 0.02),
        ("films", share(&customers, |c| c.extras[5] == 1), 0.388, 0.02),
        ("paperless", share(&customers, |c| c.paperless), 0.592, 0.01),
        ("electronic check", share(&customers, |c| c.payment == 2), 0.336, 0.01),
        ("no bill yet", share(&customers, |c| c.total_charges.is_none()), 0.0016, 0.0008),
        ("mean tenure", mean(&|c| f64::from(c.tenure)), 32.4, 0.8),
        ("mean monthly charges", mean(&|c| c.monthly_charges), 64.8, 1.0),
        ("mean total charges", mean(&|c| c.total_charges.unwrap_or(0.0)), 2280.0, 80.0),
    ];
    let off: Vec<_> = figures.iter().filter(|(_, found, real, within)| (found - real).abs() > *within).collect();
    for (name, found, real, _) in figures {
        println!("{name}: {found:.4}, real {real}");
    }
    assert!(off.is_empty(), "{off:?}");
}

#[test]
fn no_internet_means_no_internet_services_and_only_the_first_month_has_no_bill() {
    for customer in population(3, 0.0) {
        assert_eq!(customer.internet == 2, customer.extras.iter().all(|&extra| extra == 2));
        assert_eq!(customer.internet == 2, customer.extras.contains(&2));
        assert_eq!(!customer.phone, customer.lines == 2);
        assert_eq!(customer.tenure == 0, customer.total_charges.is_none());
        assert!(customer.tenure <= 72);
        assert!(customer.monthly_charges >= 18.0 && customer.monthly_charges < 125.0, "{}", customer.monthly_charges);
        assert!(!(customer.churn && customer.tenure == 0));
    }
}

#[test]
fn drift_moves_customers_and_labels_and_none_does_not() {
    let (still, moved) = (population(42, 0.0), population(42, 0.5));
    let churn = |customers: &[Customer]| share(customers, |customer| customer.churn);
    assert!(churn(&moved) - churn(&still) > 0.05);
    // The Kolmogorov-Smirnov distance of the tenure. A drift test alerts above 0.1.
    let below = |customers: &[Customer], months| share(customers, |customer| customer.tenure <= months);
    let distance = |left: &[Customer], right: &[Customer]| {
        (0..=72).map(|months| (below(left, months) - below(right, months)).abs()).fold(0.0, f64::max)
    };
    assert!(distance(&still, &moved) > 0.1);
    assert!(distance(&still, &population(43, 0.0)) < 0.01);
}

#[test]
fn rows_do_not_depend_on_how_many_there_are_or_on_their_order() {
    let backwards: Vec<_> = (0..100).rev().map(|row| Customer::draw(9, row, 0.0)).collect();
    let forwards: Vec<_> = (0..100).map(|row| Customer::draw(9, row, 0.0)).collect();
    assert!(forwards.iter().eq(backwards.iter().rev()));
    assert_ne!(forwards, (0..100).map(|row| Customer::draw(10, row, 0.0)).collect::<Vec<_>>());
}
