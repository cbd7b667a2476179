//! The experiments whose runs a request is about.

use crate::answer::Request;
use crate::fault::Fault;

/// The most experiments of a search.
const MOST_CHOSEN: usize = 1_000;

/// Returns the experiments that the query names, and those that are searched: the named ones that
/// the viewer may read; `None`: all.
///
/// # Errors
/// A number is none, or there are too many.
pub(super) fn experiments_of(request: &Request<'_>) -> Result<(Vec<i64>, Option<Vec<i64>>), Fault> {
    let mut named = Vec::new();
    for text in request.query.all("experiment").take(MOST_CHOSEN + 1) {
        named.push(text.parse().map_err(|_| Fault::bad("`experiment` is the number of an experiment."))?);
    }
    if named.len() > MOST_CHOSEN {
        return Err(Fault::bad(format!("More than {MOST_CHOSEN} experiments are chosen.")));
    }
    let searched = match (request.viewer.may.experiments(), named.as_slice()) {
        (None, []) => None,
        (None, named) => Some(named.to_vec()),
        (Some(readable), []) => Some(readable.into_iter().collect()),
        (Some(readable), named) => Some(named.iter().copied().filter(|it| readable.contains(it)).collect()),
    };
    Ok((named, searched))
}
