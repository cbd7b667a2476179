//! `target_balance`: the shares of the target's classes.

use stagewright_kit::{DataType, Values};

use crate::cells::{Cells, ColumnCheck, Found, Severity, Totals, verdict};
use crate::checks::NotCheckable;
use crate::parameters::Balance;
use crate::words::Words;

/// The most classes that are counted.
const MOST_CLASSES: usize = 1000;

/// How many classes a finding names.
const SHOWN: usize = 10;

struct BalanceCheck {
    /// The limits of each severity.
    limits: Vec<(Severity, Balance)>,
    classes: Words,
    counts: Vec<u64>,
    /// There are more classes than are counted.
    many: bool,
}

fn expected(balance: &Balance) -> String {
    let least = balance.min_share.map(|share| format!("at least {} %", 100.0 * share));
    let most = balance.max_share.map(|share| format!("at most {} %", 100.0 * share));
    let limits: Vec<String> = least.into_iter().chain(most).collect();
    format!("two classes or more, each with {} of the rows", limits.join(" and "))
}

/// Returns the check of the target, with the limits of each severity.
pub(crate) fn of(limits: Vec<(Severity, Balance)>, column: &str, found: DataType) -> Vec<Box<dyn ColumnCheck>> {
    if matches!(found, DataType::Float64 | DataType::Timestamp) {
        let not = |(severity, balance): (Severity, Balance)| -> Box<dyn ColumnCheck> {
            Box::new(NotCheckable::by_type(severity, "target_balance", column, found, expected(&balance)))
        };
        return limits.into_iter().map(not).collect();
    }
    vec![Box::new(BalanceCheck { limits, classes: Words::default(), counts: Vec::new(), many: false })]
}

impl BalanceCheck {
    fn count(&mut self, class: usize) {
        if class >= self.counts.len() {
            self.counts.resize(class + 1, 0);
        }
        self.counts[class] += 1;
    }
}

impl ColumnCheck for BalanceCheck {
    fn see(&mut self, cells: &Cells<'_>) {
        if self.many {
            return;
        }
        if matches!(cells.column.values, Values::Utf8(_) | Values::Categorical(_)) {
            let (mut words, mut counts) = (std::mem::take(&mut self.classes), std::mem::take(&mut self.counts));
            let place = |text: &[u8]| match words.place(text) {
                Some(place) => place,
                None if words.len() < MOST_CLASSES => words.place_or_add(text),
                None => MOST_CLASSES,
            };
            cells.each_text(place, |_, class| {
                if class >= counts.len() {
                    counts.resize(class + 1, 0);
                }
                counts[class] += 1;
            });
            self.many = counts.len() > MOST_CLASSES;
            (self.classes, self.counts) = (words, counts);
            return;
        }
        let mut last: Option<(u64, usize)> = None;
        for (row, number) in cells.numbers.unwrap_or_default().iter().enumerate() {
            if cells.column.is_null(row) {
                continue;
            }
            let bits = number.to_bits();
            let class = match last {
                Some((known, class)) if known == bits => class,
                _ => {
                    let text = cells.column.display(row).unwrap_or_default();
                    if self.classes.len() == MOST_CLASSES && self.classes.place(text.as_bytes()).is_none() {
                        self.many = true;
                        return;
                    }
                    self.classes.place_or_add(text.as_bytes())
                }
            };
            last = Some((bits, class));
            self.count(class);
        }
    }

    fn finish(self: Box<Self>, totals: &Totals<'_>, found: &mut Vec<Found>) {
        let Self { limits, classes, counts, many } = *self;
        let all: u64 = counts.iter().sum();
        let share = |count: u64| if all == 0 { 0.0 } else { count as f64 / all as f64 };
        let mut classes: Vec<(String, u64)> = classes.texts().into_iter().zip(counts).collect();
        classes.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        let mut shown: Vec<String> = classes
            .iter()
            .take(SHOWN)
            .map(|(name, count)| format!("`{name}` {:.2} %", 100.0 * share(*count)))
            .collect();
        if classes.len() > SHOWN {
            shown.push(format!("{} more", classes.len() - SHOWN));
        }
        let observed = match many {
            true => format!("not checkable: more than {MOST_CLASSES} classes"),
            false if classes.is_empty() => "no row has a class".to_owned(),
            false => shown.join(", "),
        };
        for (severity, balance) in &limits {
            let fits = |count: u64| {
                balance.min_share.is_none_or(|least| share(count) >= least)
                    && balance.max_share.is_none_or(|most| share(count) <= most)
            };
            let passed = !many && classes.len() >= 2 && classes.iter().all(|(_, count)| fits(*count));
            let check = verdict("target_balance", Some(totals.column), passed, observed.clone(), expected(balance));
            found.push(Found { severity: *severity, check });
        }
    }
}
