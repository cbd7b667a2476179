//! Searches for logged models, whose metrics may be those on some datasets only.

use crate::error::StoreError;
use crate::registry::handle::Registry;
use crate::registry::logged_models::{self, LoggedModel};
use crate::registry::rows::listed;
use crate::registry::search_query::{Page, Query};
use crate::search::{Entity, Filter, Key, OrderBy};

/// A dataset by name, and by digest if there is one.
pub type OfDataset = (String, Option<String>);

/// A search for logged models.
#[derive(Clone, Copy, Debug)]
pub struct LoggedModelSearch<'a> {
    /// The numbers of the experiments.
    pub experiments: &'a [i64],
    /// The filter of [`Entity::LoggedModels`].
    pub filter: &'a Filter,
    /// The datasets whose metrics the filter is about; empty: all.
    pub datasets: &'a [OfDataset],
    /// The order. With none, the newest comes first.
    pub order: &'a [LoggedModelOrder],
    /// The page.
    pub page: Page,
}

/// A key of the order of logged models.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedModelOrder {
    /// The key.
    pub key: Key,
    /// Whether the largest value comes first.
    pub descending: bool,
    /// The dataset of a metric; `None`: whichever was measured last.
    pub dataset: Option<OfDataset>,
}

impl Registry {
    /// Returns the logged models of some experiments that satisfy a filter, in order. With
    /// datasets, a model must have a metric on one of them.
    ///
    /// # Errors
    /// [`StoreError::Database`] or [`StoreError::BadRecord`].
    pub fn search_logged_models(&self, search: &LoggedModelSearch<'_>) -> Result<Vec<LoggedModel>, StoreError> {
        if search.experiments.is_empty() {
            return Ok(Vec::new());
        }
        self.read("search logged models", |connection| {
            let mut query = Query::new(Entity::LoggedModels, connection.is_sqlite());
            query.conditions.push(format!("logged_models.experiment IN ({})", listed(search.experiments)));
            query.conditions.push("logged_models.deleted_ms IS NULL".to_owned());
            for LoggedModelOrder { key, descending, dataset } in search.order {
                query.counted = counted(&mut query, dataset.as_slice());
                query.add_order(key, *descending);
            }
            query.counted = counted(&mut query, search.datasets);
            if !search.datasets.is_empty() {
                let condition = &query.counted;
                query.conditions.push(format!(
                    "EXISTS (SELECT 1 FROM logged_model_metrics WHERE model = logged_models.id{condition})"
                ));
            }
            let numbers = query.row_ids(connection, search.filter, &OrderBy::default(), search.page)?;
            numbers.iter().map(|number| logged_models::numbered(connection, *number)).collect()
        })
    }
}

/// Returns the condition that a row of metrics is about one of these datasets, if there are any.
fn counted(query: &mut Query, datasets: &[OfDataset]) -> String {
    if datasets.is_empty() {
        return String::new();
    }
    let mut any = Vec::new();
    for (name, digest) in datasets {
        let name = query.value(name);
        any.push(match digest {
            None => format!("dataset_name = {name}"),
            Some(digest) => format!("(dataset_name = {name} AND dataset_digest = {})", query.value(digest)),
        });
    }
    format!(" AND ({})", any.join(" OR "))
}
