//! Draws a customer: attributes, services, charges, churn.
//!
//! Attributes are drawn in causal order (person, contract, internet, tenure, services, charges,
//! churn), each given those before it. So the dependencies of the real table appear: customers
//! without internet have no internet services, and long contracts mean long tenures. Amounts are
//! counted in steps of five cents, as on the bills, and so have the same digits on every machine.

use crate::customer::{Customer, IMPOSSIBLE, NO_INTERNET};
use crate::draws::Draws;
use crate::label;
use crate::marginals as shares;

/// Steps of five cents in a dollar.
const STEPS: f64 = 20.0;

impl Customer {
    /// Draws row `row`. `drift`, from 0 to 1, changes the customers and why they leave.
    pub(crate) fn draw(seed: u64, row: u64, drift: f64) -> Self {
        let draws = &mut Draws::of_row(seed, row);
        let gender = u8::from(draws.chance(shares::MALE));
        let senior = draws.chance(shares::SENIOR);
        let partner = draws.chance(shares::PARTNER[usize::from(senior)]);
        let dependents = draws.chance(shares::DEPENDENTS[usize::from(senior)][usize::from(partner)]);
        let contract = contract(draws, [senior, partner, dependents], drift);
        let internet = internet(draws, contract, senior, dependents, drift);
        let tenure = tenure(draws, contract, internet, partner, drift);
        let phone = internet != 0 || draws.chance(shares::PHONE_WITH_DSL);
        let lines = lines(draws, phone, internet, tenure);
        let extras = extras(draws, contract, internet, tenure);
        let paperless = draws.chance(shares::PAPERLESS[contract][internet]);
        let payment = draws.pick(shares::PAYMENT[contract][internet]) as u8;
        let monthly = monthly_steps(draws, phone, lines, internet, extras, drift);
        let total = total_steps(draws, monthly, tenure);
        let mut customer = Self {
            gender,
            senior,
            partner,
            dependents,
            tenure,
            phone,
            lines,
            internet: internet as u8,
            extras,
            contract: contract as u8,
            paperless,
            payment,
            monthly_charges: f64::from(monthly) / STEPS,
            total_charges: total.map(|steps| f64::from(steps) / STEPS),
            churn: false,
            churn_probability: 0.0,
        };
        // As in the real table, a customer without a bill has not left.
        customer.churn_probability = if tenure == 0 { 0.0 } else { label::churn_probability(&customer, drift) };
        customer.churn = draws.chance(customer.churn_probability);
        customer
    }
}

fn contract(draws: &mut Draws, [senior, partner, dependents]: [bool; 3], drift: f64) -> usize {
    let [monthly, one, two] = shares::CONTRACT[usize::from(senior)][usize::from(partner)][usize::from(dependents)];
    // Drift replaces long contracts by monthly ones.
    let kept = 1.0 - 0.5 * drift;
    draws.pick([monthly + (one + two) * (1.0 - kept), one * kept, two * kept])
}

fn internet(draws: &mut Draws, contract: usize, senior: bool, dependents: bool, drift: f64) -> usize {
    let [dsl, fiber, none] = shares::INTERNET[contract][usize::from(senior)][usize::from(dependents)];
    // Drift replaces DSL by fibre.
    let kept = 1.0 - 0.6 * drift;
    draws.pick([dsl * kept, fiber + dsl * (1.0 - kept), none])
}

fn tenure(draws: &mut Draws, contract: usize, internet: usize, partner: bool, drift: f64) -> u32 {
    if draws.chance(shares::NEW[contract]) {
        return 0;
    }
    // The greater of two random numbers for those who stay long, the lesser for the others. This
    // moves the distribution without leaving its range.
    let staying = if partner { 0.45 } else { -0.45 } + [-0.15, 0.40, -0.45][internet] - 0.8 * drift;
    let (first, second) = (draws.unit(), draws.unit());
    let twice = draws.unit() < staying.abs();
    let position = match (twice, staying > 0.0) {
        (false, _) => first,
        (true, true) => first.max(second),
        (true, false) => first.min(second),
    };
    let quantiles = &shares::TENURE[contract];
    let place = position * 16.0;
    let knot = (place as usize).min(15);
    let (low, high) = (quantiles[knot], quantiles[knot + 1]);
    (low + (high - low) * (place - knot as f64) + 0.5) as u32
}

fn lines(draws: &mut Draws, phone: bool, internet: usize, tenure: u32) -> u8 {
    if !phone {
        return IMPOSSIBLE;
    }
    let age = match tenure {
        0..=12 => 0,
        13..=24 => 1,
        25..=48 => 2,
        _ => 3,
    };
    u8::from(draws.chance(shares::MULTIPLE_LINES[internet][age]))
}

fn extras(draws: &mut Draws, contract: usize, internet: usize, tenure: u32) -> [u8; 6] {
    if internet == NO_INTERNET {
        return [IMPOSSIBLE; 6];
    }
    // Support depends on security, protection on backup, and films on television.
    const WITH: [usize; 6] = [0, 1, 1, 0, 4, 4];
    let age = (f64::from(tenure) - shares::MEAN_TENURE[contract][internet]) / 72.0;
    let mut rolls = [0.0; 6];
    let mut extras = [0; 6];
    for service in 0..6 {
        let own = draws.unit();
        let together = draws.chance(shares::EXTRAS_TOGETHER[service]);
        rolls[service] = if together { rolls[WITH[service]] } else { own };
        let share = shares::EXTRAS[service][contract][internet] + shares::EXTRAS_SLOPE[service] * age;
        extras[service] = u8::from(rolls[service] < share.clamp(0.02, 0.98));
    }
    extras
}

/// Returns the monthly bill in steps of five cents.
fn monthly_steps(draws: &mut Draws, phone: bool, lines: u8, internet: usize, extras: [u8; 6], drift: f64) -> u32 {
    let mut price = if phone { shares::PRICE[0] } else { 0.0 };
    if lines == 1 {
        price += shares::PRICE[1];
    }
    if internet != NO_INTERNET {
        price += shares::PRICE[2 + internet];
    }
    for (service, extra) in extras.iter().enumerate() {
        if *extra == 1 {
            price += shares::EXTRAS_PRICE[service];
        }
    }
    // Prices vary by about a dollar, and rise by up to 15 % with drift.
    let price = (price + draws.bell().clamp(-1.75, 3.4)) * (1.0 + 0.15 * drift);
    (price * STEPS + 0.5) as u32
}

/// Returns the sum of all bills so far in steps of five cents, or `None` before the first. Bills
/// varied by about a fifth of the present one, as a random walk.
fn total_steps(draws: &mut Draws, monthly: u32, tenure: u32) -> Option<u32> {
    let walk = draws.bell();
    match tenure {
        0 => None,
        1 => Some(monthly),
        _ => {
            let months = f64::from(tenure);
            let total = f64::from(monthly) * (months + 0.193 * months.sqrt() * walk);
            Some((total + 0.5) as u32)
        }
    }
}
