//! Bounds of a guard, judged by counters and outcomes.

use stagewright_store::{ArmCounts, Deployment, OutcomeTally};

use crate::observed::Observed;
use crate::plan::{Better, CONTROL, Guard, OutcomeBound, OutcomeFigure, Plan};
use crate::units::percent;

/// The figures of the candidate.
#[derive(Clone, Debug)]
pub(crate) struct Trial<'a> {
    /// The counters of the candidate in the present step.
    counts: Option<&'a ArmCounts>,
    /// The outcomes of the candidate and of the control.
    candidate: Outcomes,
    control: Outcomes,
}

/// The outcomes of an arm, added up.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Outcomes {
    pub(crate) count: u64,
    pub(crate) positives: u64,
    pub(crate) valued: u64,
    pub(crate) sum: f64,
    pub(crate) sum_of_squares: f64,
}

impl Outcomes {
    /// Adds up the outcomes that an arm's version has in this arm.
    pub(crate) fn of(tallies: &[OutcomeTally], arm: &str, version: u32) -> Self {
        let mut sum = Self::default();
        let own = |tally: &&OutcomeTally| tally.arm.as_deref() == Some(arm) && tally.version == version;
        for tally in tallies.iter().filter(own) {
            sum.count += tally.count;
            sum.positives += tally.positives;
            sum.valued += tally.valued;
            sum.sum += tally.sum;
            sum.sum_of_squares += tally.sum_of_squares;
        }
        sum
    }

    /// Returns a figure and the number of outcomes that it is made of; `None` without any.
    fn figure(&self, figure: OutcomeFigure) -> Option<(f64, u64)> {
        let (sum, count) = match figure {
            OutcomeFigure::PositiveRate => (self.positives as f64, self.count),
            OutcomeFigure::MeanValue => (self.sum, self.valued),
        };
        (count > 0).then(|| (sum / count as f64, count))
    }
}

impl<'a> Trial<'a> {
    pub(crate) fn of(deployment: &Deployment, plan: &Plan, observed: &Observed<'a>) -> Self {
        let arm = plan.candidate_arm();
        let control = deployment.arms.first().map_or(0, |arm| arm.version);
        Self {
            counts: observed.counts.iter().find(|it| it.arm == arm && it.step == deployment.step),
            candidate: Outcomes::of(observed.outcomes, arm, plan.candidate()),
            control: Outcomes::of(observed.outcomes, CONTROL, control),
        }
    }

    /// Returns the number of requests of the step that did not fail. A schedule counts these alone:
    /// without a bound on errors, it would lead a version into production that fails every request.
    fn answered(&self) -> u64 {
        self.counts.map_or(0, |counts| counts.requests.saturating_sub(counts.errors))
    }

    /// Returns the figures of the step for the audit.
    pub(crate) fn text(&self) -> String {
        let Some(counts) = self.counts else { return "no request".to_owned() };
        let rate = counts.error_rate().map_or_else(String::new, |rate| format!(", error rate {}", percent(rate)));
        let p99 = counts.latency_quantile_us(0.99).map_or_else(String::new, |p99| format!(", p99 {}", latency(p99)));
        format!("{} requests{rate}{p99}", counts.requests)
    }
}

/// Returns the bound that the candidate breaks, with the figures.
pub(crate) fn breach(guard: &Guard, trial: &Trial<'_>) -> Option<String> {
    if let Some(counts) = trial.counts {
        if let Some(most) = guard.max_error_rate
            && counts.requests >= guard.min_requests
            && let Some(rate) = counts.error_rate()
            && rate > most.get()
        {
            let (rate, most) = (percent(rate), percent(most.get()));
            return Some(format!("the error rate is {rate} of {} requests, above {most}", counts.requests));
        }
        // Refused requests have no latency, and those whose client hung up have nothing else.
        let timed = counts.latencies.iter().map(|(_, answers)| answers).sum::<u64>();
        if let Some(most) = guard.max_p99
            && timed >= guard.min_requests
            && let Some(p99) = counts.latency_quantile_us(0.99)
            && u128::from(p99) > most.0.as_micros()
        {
            return Some(format!("the p99 of {timed} requests is {}, above {most}", latency(p99)));
        }
    }
    guard.outcome.as_ref().and_then(|bound| outcome_breach(bound, trial))
}

fn outcome_breach(bound: &OutcomeBound, trial: &Trial<'_>) -> Option<String> {
    let (figure, count) = trial.candidate.figure(bound.figure).filter(|(_, count)| *count >= bound.min_outcomes)?;
    let name = bound.figure.name();
    let is = |problem| Some(format!("`{name}` of {count} outcomes is {}, {problem}", rounded(figure)));
    if let Some(least) = bound.at_least
        && figure < least
    {
        return is(format!("below {least}"));
    }
    if let Some(most) = bound.at_most
        && figure > most
    {
        return is(format!("above {most}"));
    }
    let most = bound.worse_by_at_most?;
    let (control, _) = trial.control.figure(bound.figure).filter(|(_, count)| *count >= bound.min_outcomes)?;
    let worse_by = match bound.better {
        Better::Higher => control - figure,
        Better::Lower => figure - control,
    };
    if worse_by > most {
        return is(format!("worse by more than {most} than the control's {}", rounded(control)));
    }
    None
}

/// Returns what the guard still waits for, without which a schedule does not advance.
pub(crate) fn missing(guard: &Guard, trial: &Trial<'_>) -> Vec<String> {
    let mut missing = Vec::new();
    let answered = trial.answered();
    if answered < guard.min_requests {
        missing.push(format!("{answered} of {} requests were answered in this step", guard.min_requests));
    }
    if let Some(bound) = &guard.outcome {
        let least = bound.min_outcomes;
        let mut arms = vec![("candidate", &trial.candidate)];
        if bound.worse_by_at_most.is_some() {
            arms.push(("control", &trial.control));
        }
        for (arm, outcomes) in arms {
            let count = outcomes.figure(bound.figure).map_or(0, |(_, count)| count);
            if count < least {
                missing.push(format!("{count} of {least} outcomes of the {arm} were posted"));
            }
        }
    }
    missing
}

/// Returns a latency for people. It is the upper bound of a bucket.
pub(crate) fn latency(microseconds: u64) -> String {
    if microseconds == u64::MAX { "above all buckets".to_owned() } else { format!("{} ms", microseconds as f64 / 1e3) }
}

/// Returns a figure with four significant decimals.
pub(crate) fn rounded(figure: f64) -> f64 {
    (figure * 1e4).round() / 1e4
}
