//! Pages of results: the tokens that a client sends back for the next one.

use stagewright_store::{Page, StoreError, Visible};

use crate::mlflow_error::MlflowError;
use crate::request::Fields;

/// The beginning of our tokens, by which one of another server is told from them.
const MARK: &str = "at-";

/// The least results of a search of which the caller may not read all.
const LEAST_SEARCHED: usize = 1_000;

/// A page that a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// The most results; at least 1.
    pub(crate) limit: usize,
    /// The position in the results.
    pub(crate) start: u64,
}

impl Asked {
    /// Reads `max_results` and `page_token`.
    ///
    /// # Errors
    /// The number is not between 1 and `most`, or the token is not ours.
    pub(crate) fn read(fields: &Fields, default: usize, most: usize) -> Result<Self, MlflowError> {
        let limit = match fields.integer("max_results")? {
            None => default,
            Some(asked) => match usize::try_from(asked) {
                Ok(asked) if (1..=most).contains(&asked) => asked,
                _ if asked < 1 => {
                    return Err(MlflowError::invalid(format!(
                        "Invalid value {asked} for parameter 'max_results' supplied. It must be a positive integer"
                    )));
                }
                _ => {
                    return Err(MlflowError::invalid(format!(
                        "Invalid value {asked} for parameter 'max_results' supplied. It must be at most {most}"
                    )));
                }
            },
        };
        Ok(Self { limit, start: fields.filled("page_token")?.map_or(Ok(0), position)? })
    }

    /// Returns the page that the store is asked for, which has one result more than the client
    /// wants: it says whether there is another page.
    pub(crate) fn with_one_more(self) -> Page {
        let offset = usize::try_from(self.start).unwrap_or(usize::MAX);
        Page { limit: self.limit + 1, offset }
    }

    /// Returns the results of the page among those that the caller may read (`None`: all), and the
    /// token of the next page, if there is one. `search` returns a page of all results.
    ///
    /// A position counts what the caller may read alone. One that counted the rest too would tell
    /// how many hidden names there are between two of the caller's own.
    ///
    /// # Errors
    /// Those of `search`.
    pub(crate) fn page<T, K>(
        self,
        search: impl Fn(Page) -> Result<Vec<T>, StoreError>,
        visible: Option<&Visible<K>>,
        is_in: impl Fn(&Visible<K>, &T) -> bool,
    ) -> Result<(Vec<T>, Option<String>), MlflowError> {
        let hides_nothing = |visible: &&Visible<K>| matches!(visible, Visible::AllBut(others) if others.is_empty());
        let Some(visible) = visible.filter(|visible| !hides_nothing(visible)) else {
            let mut results = search(self.with_one_more())?;
            let next = self.cut(&mut results);
            return Ok((results, next));
        };
        let (mut results, mut position, mut offset) = (Vec::new(), 0, 0);
        let size = self.limit.saturating_add(1).max(LEAST_SEARCHED);
        loop {
            let found = search(Page { limit: size, offset })?;
            let is_last = found.len() < size;
            offset = offset.saturating_add(size);
            for result in found.into_iter().filter(|result| is_in(visible, result)) {
                if results.len() == self.limit {
                    return Ok((results, Some(token(position))));
                }
                if position >= self.start {
                    results.push(result);
                }
                position += 1;
            }
            if is_last {
                return Ok((results, None));
            }
        }
    }

    /// Cuts the results to the page. Returns the token of the next page, if there is one.
    pub(crate) fn cut<T>(self, results: &mut Vec<T>) -> Option<String> {
        (results.len() > self.limit).then(|| {
            results.truncate(self.limit);
            token(self.start + self.limit as u64)
        })
    }
}

/// Returns the token of a position.
pub(crate) fn token(position: u64) -> String {
    format!("{MARK}{position}")
}

/// Returns the position of a token.
///
/// # Errors
/// The token is not one of [`token`].
pub(crate) fn position(token: &str) -> Result<u64, MlflowError> {
    let position = token.strip_prefix(MARK).and_then(|text| text.parse::<u64>().ok());
    // The databases count in signed numbers.
    position.filter(|position| *position <= i64::MAX as u64 / 2).ok_or_else(|| {
        MlflowError::invalid("Invalid page token: it is not one that this server gave for a page before")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other_until_the_results_end() {
        let all: Vec<u32> = (0..7).collect();
        let (mut seen, mut query) = (Vec::new(), String::from("max_results=3"));
        for _ in 0..3 {
            let asked = Asked::read(&Fields::of_query(&query), 100, 1000).expect("a page");
            let page = asked.with_one_more();
            let mut found: Vec<u32> = all.iter().copied().skip(page.offset).take(page.limit).collect();
            let next = asked.cut(&mut found);
            seen.extend(found);
            match next {
                Some(token) => query = format!("max_results=3&page_token={token}"),
                None => break,
            }
        }
        assert_eq!(seen, all);
    }

    // invariant: No token tells of what the caller may not read: pages are those of a server that
    // has nothing else.
    #[test]
    fn pages_are_the_same_whatever_is_hidden_between_them() {
        let pages = |all: &[u32], visible: Option<&Visible<u32>>| {
            let (mut pages, mut query) = (Vec::new(), String::from("max_results=2"));
            loop {
                let asked = Asked::read(&Fields::of_query(&query), 100, 1000).expect("a page");
                let search = |page: Page| Ok(all.iter().copied().skip(page.offset).take(page.limit).collect());
                let (found, next) = asked.page(search, visible, Visible::contains).expect("results");
                pages.push((found, next.clone()));
                match next {
                    Some(token) => query = format!("max_results=2&page_token={token}"),
                    None => return pages,
                }
            }
        };
        let own = [3, 1_500, 1_501, 2_999, 3_000];
        let all: Vec<u32> = (0..3_001).collect();
        let others = all.iter().copied().filter(|number| !own.contains(number)).collect();
        let expected = pages(&own, None);
        assert_eq!(expected.len(), 3);
        assert_eq!(pages(&all, Some(&Visible::Only(own.to_vec()))), expected);
        assert_eq!(pages(&all, Some(&Visible::AllBut(others))), expected);
        assert_eq!(pages(&own, Some(&Visible::AllBut(Vec::new()))), expected);
    }

    #[test]
    fn numbers_out_of_range_and_foreign_tokens_are_refused() {
        for wrong in [
            "max_results=0",
            "max_results=-1",
            "max_results=1001",
            "page_token=eyJvZmZzZXQiOiAzfQ",
            "page_token=at-x",
            "page_token=at-18446744073709551615",
        ] {
            assert!(Asked::read(&Fields::of_query(wrong), 100, 1000).is_err(), "{wrong}");
        }
        let asked = Asked::read(&Fields::of_query(""), 100, 1000).expect("a page");
        assert_eq!(asked, Asked { limit: 100, start: 0 });
    }
}
