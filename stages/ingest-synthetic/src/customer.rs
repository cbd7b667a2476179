//! One customer: who they are, what they bought, what they pay and whether they left.
//!
//! Attributes are drawn in causal order (person, contract, internet, tenure, services, charges, churn), each given those before
//! it, so that the dependencies of the real table appear: no internet means no internet services, long contracts mean long
//! tenures. Money is counted in whole five-cent steps, as on the bills, and so has the same digits on every machine.

use crate::draws::Draws;
use crate::label;
use crate::marginals as shares;

/// Spellings of `gender`.
pub(crate) const GENDER: [&str; 2] = ["Female", "Male"];
/// Spellings of a flag; an index is the flag as a number.
pub(crate) const FLAG: [&str; 2] = ["No", "Yes"];
/// Spellings of `MultipleLines`.
pub(crate) const LINES: [&str; 3] = ["No", "Yes", "No phone service"];
/// Spellings of `InternetService`.
pub(crate) const INTERNET: [&str; 3] = ["DSL", "Fiber optic", "No"];
/// Spellings of the services that need internet.
pub(crate) const EXTRA: [&str; 3] = ["No", "Yes", "No internet service"];
/// Spellings of `Contract`.
pub(crate) const CONTRACT: [&str; 3] = ["Month-to-month", "One year", "Two year"];
/// Spellings of `PaymentMethod`.
pub(crate) const PAYMENT: [&str; 4] =
    ["Bank transfer (automatic)", "Credit card (automatic)", "Electronic check", "Mailed check"];

/// The code of "no internet" in [`INTERNET`].
pub(crate) const NO_INTERNET: usize = 2;
/// The code of fibre in [`INTERNET`].
pub(crate) const FIBER: usize = 1;
/// The code that says that a service is impossible, in [`LINES`] and [`EXTRA`].
const IMPOSSIBLE: u8 = 2;
/// Whole five-cent steps in a dollar.
const STEPS: f64 = 20.0;

/// A customer; fields are codes into the lists above.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Customer {
    pub(crate) gender: u8,
    pub(crate) senior: bool,
    pub(crate) partner: bool,
    pub(crate) dependents: bool,
    /// Months.
    pub(crate) tenure: u32,
    pub(crate) phone: bool,
    pub(crate) lines: u8,
    pub(crate) internet: u8,
    /// Security, backup, protection, support, television, films.
    pub(crate) extras: [u8; 6],
    pub(crate) contract: u8,
    pub(crate) paperless: bool,
    pub(crate) payment: u8,
    /// Dollars.
    pub(crate) monthly_charges: f64,
    /// Dollars; none before the first bill.
    pub(crate) total_charges: Option<f64>,
    pub(crate) churn: bool,
    /// The probability with which `churn` was drawn.
    pub(crate) churn_probability: f64,
}

impl Customer {
    /// Draws row `row`. `drift` from 0 to 1 moves the customers and why they leave.
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
        // A customer who has not had a bill has not left: so it is in the real table.
        customer.churn_probability = if tenure == 0 { 0.0 } else { label::churn_probability(&customer, drift) };
        customer.churn = draws.chance(customer.churn_probability);
        customer
    }
}

fn contract(draws: &mut Draws, [senior, partner, dependents]: [bool; 3], drift: f64) -> usize {
    let [monthly, one, two] = shares::CONTRACT[usize::from(senior)][usize::from(partner)][usize::from(dependents)];
    // Under drift, long contracts give way to monthly ones.
    let kept = 1.0 - 0.5 * drift;
    draws.pick([monthly + (one + two) * (1.0 - kept), one * kept, two * kept])
}

fn internet(draws: &mut Draws, contract: usize, senior: bool, dependents: bool, drift: f64) -> usize {
    let [dsl, fiber, none] = shares::INTERNET[contract][usize::from(senior)][usize::from(dependents)];
    // Under drift, fibre displaces DSL.
    let kept = 1.0 - 0.6 * drift;
    draws.pick([dsl * kept, fiber + dsl * (1.0 - kept), none])
}

fn tenure(draws: &mut Draws, contract: usize, internet: usize, partner: bool, drift: f64) -> u32 {
    if draws.chance(shares::NEW[contract]) {
        return 0;
    }
    // The greater of two draws for those who stay long, the lesser for the others: moves the distribution without leaving it.
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
    // Support comes with security, protection with backup, films with television.
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

/// The monthly bill in five-cent steps.
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
    // Prices vary by about a dollar around the list, and under drift rise by up to 15 %.
    let price = (price + draws.bell().clamp(-1.75, 3.4)) * (1.0 + 0.15 * drift);
    (price * STEPS + 0.5) as u32
}

/// All bills so far in five-cent steps; none before the first. Bills varied by about a fifth of the present one, as a random walk.
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
