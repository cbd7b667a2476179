//! A customer: its attributes, and the spellings of their codes.

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
/// The code of a service that is impossible, in [`LINES`] and [`EXTRA`].
pub(crate) const IMPOSSIBLE: u8 = 2;
/// A customer. Fields are indices into the lists above.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Customer {
    pub(crate) gender: u8,
    pub(crate) senior: bool,
    pub(crate) partner: bool,
    pub(crate) dependents: bool,
    /// Months since the start of the contract.
    pub(crate) tenure: u32,
    pub(crate) phone: bool,
    pub(crate) lines: u8,
    pub(crate) internet: u8,
    /// The extra services: security, backup, protection, support, television, films.
    pub(crate) extras: [u8; 6],
    pub(crate) contract: u8,
    pub(crate) paperless: bool,
    pub(crate) payment: u8,
    /// The monthly bill in dollars.
    pub(crate) monthly_charges: f64,
    /// All bills so far in dollars; `None` before the first.
    pub(crate) total_charges: Option<f64>,
    pub(crate) churn: bool,
    /// The probability with which `churn` was drawn.
    pub(crate) churn_probability: f64,
}
