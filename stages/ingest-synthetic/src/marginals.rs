//! The shares and quantiles from which customers are drawn.
//!
//! These were read off IBM's Telco customer churn table (7,043 rows, Apache-2.0) and rounded; no
//! row of that table is kept. Indices follow the order of the lists in [`crate::customer`].

/// Share of men.
pub(crate) const MALE: f64 = 0.505;
/// Share of senior citizens.
pub(crate) const SENIOR: f64 = 0.162;
/// Share with a partner, by seniority.
pub(crate) const PARTNER: [f64; 2] = [0.479, 0.502];
/// Share with dependents, by seniority and partner.
pub(crate) const DEPENDENTS: [[f64; 2]; 2] = [[0.115, 0.589], [0.014, 0.145]];

/// Shares of month-to-month, one-year and two-year contracts, by seniority, partner and dependents.
pub(crate) const CONTRACT: [[[[f64; 3]; 2]; 2]; 2] = [
    [[[0.675, 0.181, 0.144], [0.567, 0.238, 0.195]], [[0.425, 0.245, 0.330], [0.324, 0.253, 0.423]]],
    [[[0.809, 0.116, 0.075], [0.820, 0.120, 0.060]], [[0.620, 0.202, 0.178], [0.506, 0.301, 0.193]]],
];

/// Shares of DSL, fibre and no internet, by contract, seniority and dependents.
#[expect(clippy::approx_constant, reason = "a share of the real table that happens to lie near 1/π")]
pub(crate) const INTERNET: [[[[f64; 3]; 2]; 2]; 3] = [
    [[[0.336, 0.508, 0.156], [0.381, 0.418, 0.201]], [[0.195, 0.789, 0.016], [0.215, 0.775, 0.010]]],
    [[[0.396, 0.351, 0.253], [0.420, 0.281, 0.299]], [[0.250, 0.659, 0.091], [0.340, 0.610, 0.050]]],
    [[[0.381, 0.265, 0.354], [0.364, 0.196, 0.440]], [[0.318, 0.512, 0.170], [0.540, 0.330, 0.130]]],
];

/// Quantiles of tenure in months at 0, 1/16, ... 1, by contract.
pub(crate) const TENURE: [[f64; 17]; 3] = [
    [1.0, 1.0, 1.0, 2.0, 3.0, 5.0, 7.0, 9.0, 12.0, 15.0, 19.0, 23.0, 29.0, 34.0, 42.0, 53.0, 72.0],
    [1.0, 11.0, 17.0, 23.0, 27.0, 31.0, 36.0, 40.0, 44.0, 48.0, 51.0, 54.0, 58.0, 62.0, 66.0, 69.0, 72.0],
    [1.0, 18.0, 33.0, 42.0, 48.0, 54.0, 58.0, 62.0, 64.0, 67.0, 68.0, 70.0, 71.0, 72.0, 72.0, 72.0, 72.0],
];

/// Share of customers in their first month, who have no bill yet, by contract.
pub(crate) const NEW: [f64; 3] = [0.0, 0.0007, 0.0059];

/// Share of DSL customers with a telephone; all others have one.
pub(crate) const PHONE_WITH_DSL: f64 = 0.718;

/// Share with several lines among those with a telephone, by internet service, for tenures up to
/// 12, 24, 48 and 72 months.
pub(crate) const MULTIPLE_LINES: [[f64; 4]; 3] =
    [[0.153, 0.358, 0.416, 0.625], [0.408, 0.557, 0.668, 0.825], [0.080, 0.163, 0.223, 0.428]];

/// Share that has an extra service, by service (security, backup, protection, support, television,
/// films), contract and internet service (DSL, fibre), at the mean tenure of that group
/// ([`MEAN_TENURE`]).
pub(crate) const EXTRAS: [[[f64; 2]; 3]; 6] = [
    [[0.30, 0.17], [0.58, 0.41], [0.77, 0.61]],
    [[0.30, 0.33], [0.49, 0.64], [0.69, 0.72]],
    [[0.23, 0.32], [0.54, 0.63], [0.76, 0.79]],
    [[0.28, 0.16], [0.57, 0.42], [0.82, 0.72]],
    [[0.24, 0.47], [0.45, 0.74], [0.64, 0.82]],
    [[0.25, 0.47], [0.45, 0.75], [0.66, 0.82]],
];

/// The growth of the share of an extra service over 72 months of tenure.
pub(crate) const EXTRAS_SLOPE: [f64; 6] = [0.25, 0.45, 0.40, 0.25, 0.40, 0.40];

/// The probability that an extra service is decided by the same random number as an earlier one, so
/// that they occur together: security, backup, protection (with backup), support (with security,
/// see [`crate::sampling`]), television, films (with television).
pub(crate) const EXTRAS_TOGETHER: [f64; 6] = [0.0, 0.0, 0.15, 0.15, 0.0, 0.30];

/// Mean tenure in months, by contract and internet service (DSL, fibre).
pub(crate) const MEAN_TENURE: [[f64; 2]; 3] = [[15.7, 21.6], [40.5, 52.1], [59.1, 65.2]];

/// Share with paperless billing, by contract and internet service.
pub(crate) const PAPERLESS: [[f64; 3]; 3] = [[0.590, 0.794, 0.334], [0.528, 0.742, 0.272], [0.489, 0.713, 0.270]];

/// Shares of bank transfer, credit card, electronic check and mailed check, by contract and
/// internet service.
pub(crate) const PAYMENT: [[[f64; 4]; 3]; 3] = [
    [[0.161, 0.151, 0.388, 0.300], [0.154, 0.138, 0.614, 0.094], [0.124, 0.124, 0.132, 0.620]],
    [[0.254, 0.302, 0.204, 0.240], [0.291, 0.278, 0.364, 0.067], [0.245, 0.209, 0.096, 0.450]],
    [[0.357, 0.377, 0.092, 0.174], [0.378, 0.359, 0.214, 0.049], [0.279, 0.298, 0.028, 0.395]],
];

/// Monthly price in dollars of a telephone, several lines, DSL, fibre.
pub(crate) const PRICE: [f64; 4] = [20.0, 5.0, 25.0, 50.0];
/// Monthly price in dollars of each extra service.
pub(crate) const EXTRAS_PRICE: [f64; 6] = [5.0, 5.0, 5.0, 5.0, 10.0, 10.0];
