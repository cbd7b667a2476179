//! Statements that insert many rows at once: on a server, each statement is a round trip.

use crate::database::{Connection, Outcome, Row, Value};

/// The numbers of rows that one statement inserts, largest first. Each is a statement that stays
/// prepared.
const AT_ONCE: [usize; 5] = [500, 100, 20, 5, 1];

/// Inserts rows in as few statements as possible.
///
/// `statement` is the text around the list of rows: `INSERT INTO t (a, b) VALUES {} ON CONFLICT DO
/// NOTHING`. The first columns of each row have the values of `shared`; `own` returns those of its
/// others, always the same number. Returns the number of rows that were inserted or changed.
pub(super) fn insert_all<T>(
    connection: &mut Connection,
    statement: (&str, &str),
    shared: &[Value],
    rows: &[T],
    own: impl Fn(&T, &mut Vec<Value>),
) -> Outcome<u64> {
    let mut changed = 0;
    by_statement(statement, shared, rows, own, |sql, parameters| {
        changed += connection.execute(sql, parameters)?;
        Ok(())
    })?;
    Ok(changed)
}

/// As [`insert_all`], of a statement that ends with a `RETURNING`. Returns the rows that it
/// returns.
pub(super) fn insert_all_returning<T>(
    connection: &mut Connection,
    statement: (&str, &str),
    shared: &[Value],
    rows: &[T],
    own: impl Fn(&T, &mut Vec<Value>),
) -> Outcome<Vec<Row>> {
    let mut returned = Vec::new();
    by_statement(statement, shared, rows, own, |sql, parameters| {
        returned.extend(connection.query(sql, parameters)?);
        Ok(())
    })?;
    Ok(returned)
}

/// Calls `run` with the text and the parameters of each statement of [`insert_all`].
fn by_statement<T>(
    statement: (&str, &str),
    shared: &[Value],
    rows: &[T],
    own: impl Fn(&T, &mut Vec<Value>),
    mut run: impl FnMut(&str, &[Value]) -> Outcome<()>,
) -> Outcome<()> {
    let mut left = rows;
    for size in AT_ONCE {
        while left.len() >= size {
            let (now, rest) = left.split_at(size);
            let mut parameters = shared.to_vec();
            now.iter().for_each(|row| own(row, &mut parameters));
            let columns = (parameters.len() - shared.len()) / size;
            let sql = format!("{} {} {}", statement.0, places(shared.len(), columns, size), statement.1);
            run(&sql, &parameters)?;
            left = rest;
        }
    }
    Ok(())
}

/// Returns the places of the parameters of rows: `(?1, ?2, ?3), (?1, ?4, ?5)`.
fn places(shared: usize, own: usize, rows: usize) -> String {
    let mut text = String::with_capacity(rows * (shared + own) * 6);
    for row in 0..rows {
        text.push_str(if row == 0 { "(" } else { ", (" });
        for column in 0..shared + own {
            let place = if column < shared { column } else { row * own + column };
            let comma = if column == 0 { "" } else { ", " };
            text.push_str(&format!("{comma}?{}", place + 1));
        }
        text.push(')');
    }
    text
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

/// Inserts or replaces tags, sorted by name, of the record `owner`, which the column of this name
/// refers to.
pub(super) fn set_pairs(
    connection: &mut Connection,
    (table, column): (&str, &str),
    owner: i64,
    pairs: &[(String, String)],
) -> Outcome<()> {
    let insert = format!("INSERT INTO {table} ({column}, name, value) VALUES");
    let replace = format!("ON CONFLICT ({column}, name) DO UPDATE SET value = excluded.value");
    insert_all(connection, (&insert, &replace), &[owner.into()], &by_name(pairs), |(name, value), row| {
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
    let insert = format!("INSERT INTO {table} ({column}, name, value) VALUES");
    let inserted =
        insert_all(connection, (&insert, "ON CONFLICT DO NOTHING"), &[owner.into()], &sorted, |(name, value), row| {
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
    fn rows_share_their_first_parameters() {
        assert_eq!(places(1, 2, 2), "(?1, ?2, ?3), (?1, ?4, ?5)");
        assert_eq!(places(0, 1, 3), "(?1), (?2), (?3)");
        assert_eq!(places(2, 1, 2), "(?1, ?2, ?3), (?1, ?2, ?4)");
    }

    #[test]
    fn of_a_repeated_name_the_last_pair_stays() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let pairs = [pair("b", "1"), pair("a", "1"), pair("b", "2"), pair("a", "3")];
        assert_eq!(by_name(&pairs), [("a", "3"), ("b", "2")]);
    }
}
