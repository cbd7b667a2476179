//! Synthetic rows: their number and their values.

use stagewright_kit::{DataType, FinishedTable, Rebalancing as _};

use super::*;
use crate::draws::Draws;
use crate::neighbours::Neighbours;

/// Rows of two numbers, three flags and a weight; about a fifth are of class 1.
fn training_table(rows: usize) -> MemoryTable {
    let mut draws = Draws::new(7, 7);
    let mut columns = vec![Vec::new(); 6];
    let mut classes = Vec::new();
    for _ in 0..rows {
        let class = i64::from(draws.unit() < 0.2);
        columns[0].push(draws.unit() + class as f64);
        columns[1].push(draws.unit() * 4.0);
        for flag in &mut columns[2..5] {
            flag.push(f64::from(draws.unit() < 0.5));
        }
        columns[5].push(1.0 + draws.unit());
        classes.push(class);
    }
    let weight = columns.pop().unwrap_or_default();
    let mut all: Vec<Column> = columns.into_iter().map(Column::from).collect();
    all.extend([Column::from(classes), Column::from(weight)]);
    let features = ["a", "b", "c", "d", "e"].map(|name| (Field::required(name, DataType::Float64), Role::Feature));
    let rest = [
        (Field::required("y", DataType::Int64), Role::Target),
        (Field::required("w", DataType::Float64), Role::Weight),
    ];
    let whole = Batch::new(rows as u32, all);
    let cut = rows / 3;
    let batches = [0..cut, cut..rows].map(|range| whole.select(range, None).expect("rows"));
    MemoryTable::new(features.into_iter().chain(rest), batches.into())
}

fn rebalance(train: &MemoryTable, json: &str, seed: u64) -> Option<FinishedTable> {
    Features::rebalance(train, &binary(), &Settings { seed, ..settings(json) }).expect("rebalanced")
}

/// Returns all rows as numbers, row by row.
fn rows(table: &dyn Table) -> Vec<Vec<f64>> {
    let mut all = Vec::new();
    for batch in table.batches(None) {
        let (_, batch) = batch.expect("readable");
        let columns: Vec<Vec<f64>> = batch
            .columns
            .into_iter()
            .map(|column| column.into_numbers(batch.rows as usize).expect("numbers"))
            .collect();
        all.extend((0..batch.rows as usize).map(|row| columns.iter().map(|column| column[row]).collect::<Vec<_>>()));
    }
    all
}

fn distance(left: &[f64], right: &[f64]) -> f64 {
    left.iter().zip(right).map(|(left, right)| (left - right) * (left - right)).sum()
}

#[test]
fn classes_reach_the_wanted_ratio_and_original_rows_stay() {
    let train = training_table(500);
    let original = rows(&train);
    let (rare, common) =
        (original.iter().filter(|row| row[5] == 1.0).count(), original.iter().filter(|row| row[5] == 0.0).count());
    assert!(rare < common / 2);
    for (json, wanted) in
        [(r#"{"smote": {}}"#, common), (r#"{"smote": {"sampling_strategy": 0.5}}"#, common.div_ceil(2))]
    {
        let balanced = rows(&rebalance(&train, json, 1).expect("more rows"));
        assert_eq!(balanced[..original.len()], original[..]);
        assert_eq!(balanced.iter().filter(|row| row[5] == 1.0).count(), wanted);
        assert!(balanced[original.len()..].iter().all(|row| row[5] == 1.0));
    }
}

#[test]
fn made_up_rows_lie_on_segments_to_one_of_the_5_nearest_neighbours() {
    let train = training_table(300);
    let original = rows(&train);
    let rare: Vec<&Vec<f64>> = original.iter().filter(|row| row[5] == 1.0).collect();
    let balanced = rows(&rebalance(&train, r#"{"smote": {}}"#, 3).expect("more rows"));
    for made_up in &balanced[original.len()..] {
        let on_segment = |base: &Vec<f64>, towards: &Vec<f64>| {
            let length = distance(&base[..5], &towards[..5]).sqrt();
            let detour = distance(&base[..5], &made_up[..5]).sqrt() + distance(&made_up[..5], &towards[..5]).sqrt();
            let gap = if length == 0.0 { 0.0 } else { distance(&base[..5], &made_up[..5]).sqrt() / length };
            detour - length < 1e-9 && (made_up[6] - (base[6] + gap * (towards[6] - base[6]))).abs() < 1e-6
        };
        let found = rare.iter().any(|base| {
            let mut others: Vec<&&Vec<f64>> = rare.iter().filter(|other| !std::ptr::eq(**other, *base)).collect();
            others
                .sort_by(|left, right| distance(&base[..5], &left[..5]).total_cmp(&distance(&base[..5], &right[..5])));
            let fifth = distance(&base[..5], &others[4][..5]);
            others
                .iter()
                .take_while(|other| distance(&base[..5], &other[..5]) <= fifth + 1e-6)
                .any(|towards| on_segment(base, towards))
        });
        assert!(found, "{made_up:?}");
    }
}

#[test]
fn each_row_of_the_class_is_a_base_equally_often() {
    let values: Vec<f64> = (0..100).map(f64::from).collect();
    let made = crate::smote::segments(&values, 1, 250, 5, 9, |_, _| {});
    let mut times = [0; 100];
    made.segments.iter().for_each(|segment| times[segment.base as usize] += 1);
    assert!(times.iter().all(|&times| times == 2 || times == 3), "{times:?}");
    assert_eq!((made.segments.len(), made.approximate), (250, 0));
}

#[test]
fn the_same_seed_gives_the_same_rows_and_another_seed_others() {
    let train = training_table(200);
    let made = |seed| rows(&rebalance(&train, r#"{"smote": {}}"#, seed).expect("more rows"));
    assert_eq!(made(5), made(5));
    assert_ne!(made(5), made(6));
}

#[test]
fn without_smote_or_without_a_rare_class_nothing_is_made_up() {
    let train = training_table(200);
    assert!(rebalance(&train, "{}", 1).is_none());
    assert!(rebalance(&train, r#"{"smote": {"enabled": false}}"#, 1).is_none());
    assert!(rebalance(&train, r#"{"smote": {"sampling_strategy": 0.01}}"#, 1).is_none());
}

#[test]
fn missing_features_single_rows_and_regressions_are_refused() {
    let fields = || {
        [
            (Field::required("x", DataType::Float64), Role::Feature),
            (Field::required("y", DataType::Int64), Role::Target),
        ]
    };
    let made = |values: Vec<f64>, classes: Vec<i64>| {
        MemoryTable::new(
            fields(),
            vec![Batch::new(values.len() as u32, vec![Column::from(values), Column::from(classes)])],
        )
    };
    let result =
        |train: &MemoryTable, task: Task| Features::rebalance(train, &task, &settings(r#"{"smote": {}}"#)).map(|_| ());
    let Err(Failure::Data(fault)) = result(&made(vec![1.0, 2.0, f64::NAN, 3.0, 4.0], vec![0, 1, 1, 0, 0]), binary())
    else {
        panic!("a data fault")
    };
    assert_eq!((fault.column.as_deref(), fault.row), (Some("x"), Some(2)));
    assert!(matches!(result(&made(vec![1.0, 2.0, 3.0], vec![0, 0, 1]), binary()), Err(Failure::Data(_))));
    assert!(matches!(result(&made(vec![1.0, 2.0], vec![0, 1]), Task::Regression), Err(Failure::Parameter(_))));
}

#[test]
fn two_rows_have_one_neighbour_each() {
    let made = crate::smote::segments(&[0.0, 1.0], 1, 10, 5, 2, |_, _| {});
    assert!(made.segments.iter().all(|segment| segment.base != segment.towards));
}

/// Returns numbers and flags as a transformation gives them, with many equal rows.
fn mixed(count: usize, width: usize, flags: usize, seed: u64) -> Vec<f64> {
    let mut draws = Draws::new(seed, 0);
    let mut values = Vec::with_capacity(count * width);
    for _ in 0..count {
        for column in 0..width {
            values.push(if column < flags {
                f64::from(draws.unit() < 0.3)
            } else {
                (draws.unit() * 6.0).floor() / 2.0 - 1.0
            });
        }
    }
    values
}

#[test]
fn neighbours_are_as_near_as_brute_force_finds_them() {
    for (count, width, flags) in
        [(2, 1, 0), (7, 3, 1), (300, 6, 0), (400, 10, 8), (500, 90, 80), (600, 5, 5), (1000, 3, 1)]
    {
        let values = mixed(count, width, flags, count as u64);
        let index = Neighbours::new(&values, width);
        let mut search = index.search(5);
        let row = |row: usize| &values[row * width..(row + 1) * width];
        for query in 0..count {
            let mut expected: Vec<f64> =
                (0..count).filter(|&other| other != query).map(|other| distance(row(query), row(other))).collect();
            expected.sort_by(f64::total_cmp);
            let (found, exact) = search.nearest(query as u32);
            assert!(exact);
            assert_eq!(found.len(), 5.min(count - 1));
            for (found, expected) in found.iter().zip(expected) {
                assert!((f64::from(found.squared_distance) - expected).abs() < 1e-4, "{count} {width} {query}");
                assert!((distance(row(query), row(found.row as usize)) - expected).abs() < 1e-4);
            }
        }
        assert_eq!(index.rows_in_tree_order().count(), count);
    }
}

#[test]
fn equal_rows_without_end_are_searched_in_linear_time() {
    // A search that compared all equal rows would compare 10^10 pairs.
    let values = vec![1.0; 100_000 * 3];
    let made = crate::smote::segments(&values, 3, 100_000, 5, 1, |_, _| {});
    assert_eq!(made.segments.len(), 100_000);
}
