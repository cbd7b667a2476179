//! Statements that insert many rows: on a server one statement with a list for each column, since
//! each statement is a round trip, and in a file a short statement for each row, since there a call
//! costs less than a long statement.

use crate::database::{Connection, Outcome, Row, Value};

/// The type of a column, for the lists of PostgreSQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Integer,
    Real,
    Text,
}

/// A statement that inserts rows: `INSERT INTO t (a, b)`, the rows, `ON CONFLICT DO NOTHING`.
pub(super) struct Insert<'a> {
    /// The text before the rows.
    pub(super) before: &'a str,
    /// The types of the columns that differ from row to row. They follow those that all rows share.
    pub(super) own: &'a [Kind],
    /// The text after the rows.
    pub(super) after: &'a str,
}

/// Inserts rows. The first columns of each have the values of `shared`, integers or texts; `own`
/// appends those of its others. Returns the number of rows that were inserted or changed.
pub(super) fn insert_all<T>(
    connection: &mut Connection,
    insert: &Insert<'_>,
    shared: &[Value],
    rows: &[T],
    own: impl Fn(&T, &mut Vec<Value>),
) -> Outcome<u64> {
    if rows.is_empty() {
        return Ok(0);
    }
    if !connection.is_sqlite() {
        let columns = columns(insert, rows, own);
        return Ok(connection.execute_lists(&insert.of_lists(shared), shared, &columns)?);
    }
    let (sql, mut changed) = (insert.of_a_row(shared), 0);
    each(shared, rows, own, |row| {
        changed += connection.execute(&sql, row)?;
        Ok(())
    })?;
    Ok(changed)
}

/// As [`insert_all`], of a statement that ends with a `RETURNING`. Returns the rows that it
/// returns.
pub(super) fn insert_all_returning<T>(
    connection: &mut Connection,
    insert: &Insert<'_>,
    shared: &[Value],
    rows: &[T],
    own: impl Fn(&T, &mut Vec<Value>),
) -> Outcome<Vec<Row>> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    if !connection.is_sqlite() {
        let columns = columns(insert, rows, own);
        return Ok(connection.query_lists(&insert.of_lists(shared), shared, &columns)?);
    }
    let (sql, mut returned) = (insert.of_a_row(shared), Vec::new());
    each(shared, rows, own, |row| {
        returned.extend(connection.query(&sql, row)?);
        Ok(())
    })?;
    Ok(returned)
}

/// Returns numbers as a list after `IN`: `NULL` for none, since a list of SQL is never empty.
pub(super) fn listed(numbers: &[i64]) -> String {
    if numbers.is_empty() {
        return "NULL".to_owned();
    }
    numbers.iter().map(i64::to_string).collect::<Vec<_>>().join(", ")
}

impl Insert<'_> {
    /// Returns the statement for one row.
    fn of_a_row(&self, shared: &[Value]) -> String {
        let places = (1..=shared.len() + self.own.len()).map(|place| format!("?{place}"));
        format!("{} VALUES ({}) {}", self.before, places.collect::<Vec<_>>().join(", "), self.after)
    }

    /// Returns the statement for rows whose columns are lists, in PostgreSQL's dialect. The types
    /// are named, because nothing else tells the server.
    fn of_lists(&self, shared: &[Value]) -> String {
        let mut chosen = String::new();
        for (place, value) in (1..).zip(shared) {
            let kind = if matches!(value, Value::Text(_)) { Kind::Text } else { Kind::Integer };
            chosen.push_str(&format!("CAST(?{place} AS {}), ", kind.on_a_server()));
        }
        let list = |(place, kind): (usize, &Kind)| format!("CAST(?{place} AS {}[])", kind.on_a_server());
        let lists: Vec<String> = (shared.len() + 1..).zip(self.own).map(list).collect();
        let (before, after) = (self.before, self.after);
        format!("{before} SELECT {chosen}listed.* FROM unnest({}) AS listed {after}", lists.join(", "))
    }
}

impl Kind {
    fn on_a_server(self) -> &'static str {
        match self {
            Self::Integer => "BIGINT",
            Self::Real => "DOUBLE PRECISION",
            Self::Text => "TEXT",
        }
    }
}

/// Returns the values of each column.
fn columns<T>(insert: &Insert<'_>, rows: &[T], own: impl Fn(&T, &mut Vec<Value>)) -> Vec<Vec<Value>> {
    let mut columns = vec![Vec::with_capacity(rows.len()); insert.own.len()];
    let mut values = Vec::with_capacity(insert.own.len());
    for row in rows {
        own(row, &mut values);
        columns.iter_mut().zip(values.drain(..)).for_each(|(column, value)| column.push(value));
    }
    columns
}

/// Calls `run` with the values of each row.
fn each<T>(
    shared: &[Value],
    rows: &[T],
    own: impl Fn(&T, &mut Vec<Value>),
    mut run: impl FnMut(&[Value]) -> Outcome<()>,
) -> Outcome<()> {
    let mut values = shared.to_vec();
    for row in rows {
        values.truncate(shared.len());
        own(row, &mut values);
        run(&values)?;
    }
    Ok(())
}

/// Sorts pairs by name; of a repeated name, the last pair stays. Loggers that lock rows in
/// different orders would wait for each other.
pub(super) fn by_name(pairs: &[(String, String)]) -> Vec<(&str, &str)> {
    let mut sorted: Vec<(&str, &str)> = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    sorted.reverse();
    // Stable, so that of equal names the last pair given is the first here.
    sorted.sort_by_key(|(name, _)| *name);
    sorted.dedup_by_key(|(name, _)| *name);
    sorted
}

/// A name and a value.
pub(super) const PAIR: [Kind; 2] = [Kind::Text, Kind::Text];

/// Inserts or replaces tags, sorted by name, of the record `owner`, which the column of this name
/// refers to.
pub(super) fn set_pairs(
    connection: &mut Connection,
    (table, column): (&str, &str),
    owner: i64,
    pairs: &[(String, String)],
) -> Outcome<()> {
    let before = &format!("INSERT INTO {table} ({column}, name, value)");
    let after = &format!("ON CONFLICT ({column}, name) DO UPDATE SET value = excluded.value");
    let insert = Insert { before, own: &PAIR, after };
    insert_all(connection, &insert, &[owner.into()], &by_name(pairs), |(name, value), row| {
        row.extend([Value::from(*name), Value::from(*value)]);
    })?;
    Ok(())
}

/// Inserts parameters of the record `owner`, which are logged once. Returns the first that has
/// another value already: its name, that value and the new one.
pub(super) fn add_parameters(
    connection: &mut Connection,
    (table, column): (&str, &str),
    owner: i64,
    pairs: &[(String, String)],
) -> Outcome<Option<(String, String, String)>> {
    let sorted = by_name(pairs);
    let kept = |name: &str| sorted.binary_search_by_key(&name, |(it, _)| *it).map(|place| sorted[place].1);
    for (name, value) in pairs {
        if let Ok(other) = kept(name)
            && other != value
        {
            return Ok(Some((name.clone(), value.clone(), other.to_owned())));
        }
    }
    let before = &format!("INSERT INTO {table} ({column}, name, value)");
    let insert = Insert { before, own: &PAIR, after: "ON CONFLICT DO NOTHING" };
    let inserted = insert_all(connection, &insert, &[owner.into()], &sorted, |(name, value), row| {
        row.extend([Value::from(*name), Value::from(*value)]);
    })?;
    if inserted == sorted.len() as u64 {
        return Ok(None);
    }
    let stored = format!("SELECT name, value FROM {table} WHERE {column} = ?1 ORDER BY name");
    for row in connection.query(&stored, &[owner.into()])? {
        let (name, value): (String, String) = (row.get(0)?, row.get(1)?);
        if let Ok(new) = kept(&name)
            && new != value
        {
            return Ok(Some((name, value, new.to_owned())));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_has_a_place_for_each_column_or_a_list() {
        let insert = Insert { before: "INSERT INTO t (a, b, c)", own: &[Kind::Text, Kind::Real], after: "RETURNING b" };
        let shared = [Value::Integer(7)];
        assert_eq!(insert.of_a_row(&shared), "INSERT INTO t (a, b, c) VALUES (?1, ?2, ?3) RETURNING b");
        assert_eq!(
            insert.of_lists(&shared),
            "INSERT INTO t (a, b, c) SELECT CAST(?1 AS BIGINT), listed.* \
             FROM unnest(CAST(?2 AS TEXT[]), CAST(?3 AS DOUBLE PRECISION[])) AS listed RETURNING b"
        );
        let own = |row: &(&str, f64), values: &mut Vec<Value>| values.extend([row.0.into(), row.1.into()]);
        let expected = vec![vec!["x".into(), "y".into()], vec![Value::Real(1.0), Value::Null]];
        assert_eq!(columns(&insert, &[("x", 1.0), ("y", f64::NAN)], own), expected);
    }

    #[test]
    fn of_a_repeated_name_the_last_pair_stays() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let pairs = [pair("b", "1"), pair("a", "1"), pair("b", "2"), pair("a", "3")];
        assert_eq!(by_name(&pairs), [("a", "3"), ("b", "2")]);
    }
}
