//! Pages of results: the tokens that lead to the next one.

use maud::{Markup, html};
use stagewright_store::Page;

use crate::answer::Request;
use crate::fault::Fault;
use crate::query::Query;

/// The beginning of a token: the tracking server's.
const MARK: &str = "at-";
/// The results of a page, if nothing else is asked for.
const USUAL: usize = 100;
/// The most results of a page.
const MOST: usize = 500;

/// A page of results that a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    limit: usize,
    start: usize,
}

impl Asked {
    /// Reads `limit` and `page_token`.
    ///
    /// # Errors
    /// They are not what this server gives and takes.
    pub(crate) fn read(query: &Query) -> Result<Self, Fault> {
        let limit = match query.get("limit") {
            None => USUAL,
            Some(text) => {
                let limit = text.parse().ok().filter(|limit| (1..=MOST).contains(limit));
                limit.ok_or_else(|| Fault::bad(format!("`limit` is a number from 1 to {MOST}.")))?
            }
        };
        let start = match query.get("page_token") {
            None => 0,
            Some(token) => {
                let start = token.strip_prefix(MARK).and_then(|text| text.parse::<u32>().ok());
                start.ok_or_else(|| Fault::bad("`page_token` is not one that a page before gave."))? as usize
            }
        };
        Ok(Self { limit, start })
    }

    /// Returns the page that the registry is asked for: one result more, which says whether there
    /// are others.
    pub(crate) fn with_one_more(self) -> Page {
        Page { limit: self.limit + 1, offset: self.start }
    }

    /// Cuts the results to the page. Returns the token of the next page, if there is one.
    pub(crate) fn cut<T>(self, results: &mut Vec<T>) -> Option<String> {
        (results.len() > self.limit).then(|| {
            results.truncate(self.limit);
            format!("{MARK}{}", self.start + self.limit)
        })
    }

    /// Returns the links to the page before and after.
    pub(crate) fn links(self, request: &Request<'_>, shown: usize, next: Option<&str>) -> Markup {
        let to = |token: &str| request.query.with("page_token", token).link(request.path);
        let before = match self.start.saturating_sub(self.limit) {
            0 => String::new(),
            start => format!("{MARK}{start}"),
        };
        html! {
            @if self.start > 0 || next.is_some() {
                nav.pager aria-label="Pages of results" {
                    @if self.start > 0 { a.button rel="prev" href=(to(&before)) { "← Previous" } }
                    @if shown > 0 { span.soft { (self.start + 1) "–" (self.start + shown) } }
                    @if let Some(next) = next { a.button rel="next" href=(to(next)) { "Next →" } }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other_until_the_results_end() {
        let all: Vec<u32> = (0..7).collect();
        let (mut seen, mut query) = (Vec::new(), Query::parse("limit=3"));
        for _ in 0..3 {
            let asked = Asked::read(&query).expect("a page");
            let page = asked.with_one_more();
            let mut found: Vec<u32> = all.iter().copied().skip(page.offset).take(page.limit).collect();
            let next = asked.cut(&mut found);
            seen.extend(found);
            query = query.with("page_token", next.as_deref().unwrap_or("none"));
        }
        assert_eq!(seen, all);
        for wrong in
            ["limit=0", "limit=501", "limit=x", "page_token=3", "page_token=at-99999999999", "page_token=at--1"]
        {
            assert!(Asked::read(&Query::parse(wrong)).is_err(), "{wrong}");
        }
    }
}
