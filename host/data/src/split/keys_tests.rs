//! The keys of rows, over generated tables with gaps and duplicates.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, Float64Array, StringArray};
use proptest::prelude::*;
use stagewright_store::Field;

use super::*;

/// The columns that identify the rows of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Named {
    Nothing,
    ByIdentifier,
    ByGroup,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Row {
    id: Option<u16>,
    household: Option<u16>,
    colour: Option<u8>,
    size: u8,
    churn: bool,
}

fn schema(named: Named) -> Schema {
    let mut fields = vec![
        Field::new("colour", DataType::Utf8).with_nullable(true),
        Field::new("size", DataType::Float64),
        Field::new("churn", DataType::Boolean).with_role(Role::Target),
    ];
    if named != Named::Nothing {
        fields.push(Field::new("id", DataType::Utf8).with_nullable(true).with_role(Role::Identifier));
    }
    if named == Named::ByGroup {
        fields.push(Field::new("household", DataType::Utf8).with_nullable(true).with_role(Role::Group));
    }
    Schema::new(fields).unwrap()
}

fn batch(schema: &Schema, rows: &[Row]) -> RecordBatch {
    let texts = |text: &dyn Fn(&Row) -> Option<String>| -> ArrayRef {
        Arc::new(rows.iter().map(text).collect::<StringArray>())
    };
    let column = |name: &str| -> ArrayRef {
        match name {
            "colour" => texts(&|row| row.colour.map(|colour| format!("colour {colour}"))),
            "size" => Arc::new(Float64Array::from_iter_values(rows.iter().map(|row| f64::from(row.size)))),
            "churn" => Arc::new(rows.iter().map(|row| Some(row.churn)).collect::<BooleanArray>()),
            "id" => texts(&|row| row.id.map(|id| format!("C-{id}"))),
            _ => texts(&|row| row.household.map(|household| format!("C-{household}"))),
        }
    };
    let columns = schema.fields().iter().map(|field| column(&field.name)).collect();
    RecordBatch::try_new(schema.to_arrow(), columns).unwrap()
}

/// Returns the rows in batches of `size`.
fn batches(schema: &Schema, rows: &[Row], size: usize) -> Vec<Result<RecordBatch, DataError>> {
    rows.chunks(size).map(|rows| Ok(batch(schema, rows))).collect()
}

/// Returns the table with its columns reversed.
fn reversed(schema: &Schema) -> Schema {
    Schema::new(schema.fields().iter().rev().cloned().collect()).unwrap()
}

fn hash(seed: u64) -> SplitPlan {
    SplitPlan { method: SplitMethod::Hash, test: 0.3, validation: 0.3, seed }
}

fn split(seed: u64, schema: &Schema, rows: &[Row]) -> Vec<Partition> {
    hash(seed).split(schema, batches(schema, rows, 17)).unwrap().partitions().to_vec()
}

/// Returns rows of few colours and sizes, so that most have equals; half of them have no name.
fn rows(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Row>> {
    let row = (
        prop::option::of(0_u16..5000),
        prop::option::of(0_u16..400),
        prop::option::of(0_u8..3),
        0_u8..2,
        any::<bool>(),
    );
    let row = row.prop_map(|(id, household, colour, size, churn)| Row { id, household, colour, size, churn });
    prop::collection::vec(row, count)
}

fn named() -> impl Strategy<Value = Named> {
    prop::sample::select(vec![Named::Nothing, Named::ByIdentifier, Named::ByGroup])
}

/// Returns a row as a table has it, without the columns that the table lacks.
fn shown(named: Named, row: &Row) -> Row {
    Row {
        id: row.id.filter(|_| named != Named::Nothing),
        household: row.household.filter(|_| named == Named::ByGroup),
        ..row.clone()
    }
}

/// Returns how many of the rows that look alike are in each partition.
fn counted(named: Named, rows: &[Row], partitions: &[Partition]) -> BTreeMap<(Row, Partition), usize> {
    let mut counts = BTreeMap::new();
    for (row, partition) in rows.iter().zip(partitions) {
        *counts.entry((shown(named, row), *partition)).or_default() += 1;
    }
    counts
}

fn same(count: usize, row: &Row) -> Vec<Row> {
    vec![row.clone(); count]
}

const PLAIN: Row = Row { id: None, household: None, colour: Some(1), size: 1, churn: true };

#[test]
fn the_hash_of_an_unidentified_row_is_the_same_on_every_machine() {
    // Computed with Python's hashlib, following docs/types.md.
    let schema = Schema::new(vec![
        Field::new("id", DataType::Utf8),
        Field::new("household", DataType::Int64),
        Field::new("x", DataType::Float64),
        Field::new("churn", DataType::Utf8).with_role(Role::Target),
    ])
    .unwrap();
    let numbers: Vec<i64> = (0..10).chain(0..10).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(numbers.iter().map(|number| format!("C-{number}")))),
        Arc::new(arrow_array::Int64Array::from_iter_values(numbers.iter().map(|number| number / 3))),
        Arc::new(Float64Array::from_iter_values(numbers.iter().map(|&number| number as f64))),
        Arc::new(StringArray::from_iter_values(
            numbers.iter().map(|number| if number % 4 == 0 { "Yes" } else { "No" }),
        )),
    ];
    let batch = RecordBatch::try_new(schema.to_arrow(), columns).unwrap();
    let plan = SplitPlan { method: SplitMethod::Hash, test: 0.2, validation: 0.25, seed: 42 };
    let found = plan.split(&schema, [Ok::<_, DataError>(batch)]).unwrap();
    let letter = |partition: &Partition| match partition {
        Partition::Train => 't',
        Partition::Validation => 'V',
        Partition::Test => 'E',
    };
    assert_eq!(found.partitions().iter().map(letter).collect::<String>(), "tVttttttVttVEVtVtVEt");
}

// invariant: The shares of a split also hold among equal rows and among rows without an identifier.
#[test]
fn shares_hold_in_a_table_of_few_different_rows() {
    // 1,500 rows of 3 x 2 kinds, unevenly distributed.
    let kinds = [(0, 0, 700), (1, 0, 400), (2, 0, 200), (0, 1, 150), (1, 1, 40), (2, 1, 10)];
    let rows: Vec<Row> = kinds
        .iter()
        .flat_map(|&(colour, size, count)| same(count, &Row { colour: Some(colour), size, ..PLAIN }))
        .collect();
    for seed in 0..20 {
        let found = split(seed, &schema(Named::Nothing), &rows);
        let of_kinds = counted(Named::Nothing, &rows, &found);
        for (colour, size, count) in kinds.into_iter().filter(|&(.., count)| count >= 150) {
            let row = Row { colour: Some(colour), size, ..PLAIN };
            let tested = *of_kinds.get(&(row, Partition::Test)).unwrap_or(&0) as f64;
            // Five standard deviations of a binomial.
            let expected = 0.3 * f64::from(u32::try_from(count).unwrap());
            assert!((tested - expected).abs() < 5.0 * (expected * 0.7).sqrt(), "seed {seed}: {tested} of {count}");
        }
    }
}

// invariant: as `shares_hold_in_a_table_of_few_different_rows`
#[test]
fn shares_hold_where_half_of_the_rows_have_no_name() {
    for named in [Named::ByIdentifier, Named::ByGroup] {
        let rows: Vec<Row> = (0..2000)
            .map(|number| Row {
                id: (number % 2 == 0).then_some(number),
                household: (number % 3 == 0).then_some(number),
                ..PLAIN
            })
            .collect();
        let rows =
            if named == Named::ByGroup { rows.into_iter().map(|row| Row { id: None, ..row }).collect() } else { rows };
        for seed in 0..20 {
            let found = split(seed, &schema(named), &rows);
            let tested = found.iter().filter(|&&it| it == Partition::Test).count();
            // Five standard deviations of a binomial: 102.
            assert!(tested.abs_diff(600) < 103, "{named:?}, seed {seed}: {tested}");
        }
    }
}

#[test]
fn a_partly_known_group_ties_its_rows_together() {
    let schema = Schema::new(
        ["street", "number"]
            .map(|name| Field::new(name, DataType::Utf8).with_nullable(true).with_role(Role::Group))
            .to_vec(),
    )
    .unwrap();
    let streets: Vec<Option<String>> =
        (0..300).map(|row| (row % 3 != 0).then(|| format!("street {}", row / 30))).collect();
    let numbers: ArrayRef = Arc::new(StringArray::new_null(300));
    let columns = vec![Arc::new(streets.iter().cloned().collect::<StringArray>()) as ArrayRef, numbers];
    let batch = RecordBatch::try_new(schema.to_arrow(), columns).unwrap();
    let found = hash(1).split(&schema, [Ok::<_, DataError>(batch)]).unwrap();
    let mut sides: HashMap<String, HashSet<Partition>> = HashMap::new();
    for (street, partition) in streets.into_iter().zip(found.partitions()) {
        sides.entry(street.unwrap_or_default()).or_default().insert(*partition);
    }
    assert!(sides.iter().all(|(street, sides)| if street.is_empty() { sides.len() == 3 } else { sides.len() == 1 }));
}

#[test]
fn keys_are_made_of_groups_else_identifiers_else_of_all_columns() {
    assert_eq!(row_key_columns(&schema(Named::ByGroup)), ["household:text"]);
    assert_eq!(row_key_columns(&schema(Named::ByIdentifier)), ["id:text"]);
    let all = ["churn:boolean", "colour:text", "size:float64"];
    assert_eq!(row_key_columns(&schema(Named::Nothing)), all);
    assert_eq!(row_key_columns(&reversed(&schema(Named::Nothing))), all);
}

#[test]
fn a_row_is_remembered_by_its_name_and_its_content() {
    let row = |id, household, size| Row { id, household, size, ..PLAIN };
    let rows = [
        row(Some(1), Some(7), 0),
        row(Some(2), Some(7), 1),
        row(Some(2), None, 1),
        row(None, None, 1),
        row(None, None, 1),
        row(Some(7), None, 0),
    ];
    let of = |named| hash_rows(&schema(named), batches(&schema(named), &rows, 4), &[9; 32]).unwrap();
    let grouped = of(Named::ByGroup);
    assert_eq!(grouped[0].key, grouped[1].key, "one household");
    let keys: HashSet<u64> = grouped.iter().map(|hash| hash.key).collect();
    assert_eq!(keys.len(), 5, "nobody else's, nor the customer's of the same number");
    let contents: Vec<u64> = grouped.iter().map(|hash| hash.content).collect();
    assert!(contents[0] == contents[5] && contents[1..5].iter().all(|content| *content == contents[1]));
    assert_ne!(contents[0], contents[1]);
    let named = of(Named::ByIdentifier);
    assert_eq!(named[1].key, named[2].key, "one customer");
    assert_eq!(named.iter().map(|hash| hash.key).collect::<HashSet<u64>>().len(), 5);
    let nameless = of(Named::Nothing);
    assert_eq!(nameless.iter().map(|hash| hash.key).collect::<HashSet<u64>>().len(), 6);
    assert_eq!(nameless.iter().map(|hash| hash.content).collect::<HashSet<u64>>().len(), 2);
    let other = hash_rows(&schema(Named::ByGroup), batches(&schema(Named::ByGroup), &rows, 4), &[8; 32]).unwrap();
    assert!(grouped.iter().zip(&other).all(|(one, other)| one.key != other.key && one.content != other.content));
}

// invariant: The position of a test row reveals neither its place in the source nor its target.
#[test]
fn the_order_of_test_rows_says_nothing_about_the_target_or_their_place() {
    // Sorted by the target, and of two kinds.
    let rows: Vec<Row> =
        (0..2000).map(|row| Row { churn: row >= 1000, size: u8::from(row % 2 == 0), ..PLAIN }).collect();
    let schema = schema(Named::Nothing);
    let all: Vec<u64> = (0..2000).collect();
    let order = in_hash_order(&schema, batches(&schema, &rows, 300), &all).unwrap();
    let mut sorted = order.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, all);
    // The share of pairs (churned, stayed) that the order ranks correctly: 0.5 if it reveals
    // nothing, with a standard deviation of 0.013.
    let (mut stayed, mut pairs) = (0_u64, 0_u64);
    for row in &order {
        if rows[*row as usize].churn {
            pairs += stayed;
        } else {
            stayed += 1;
        }
    }
    let auc = pairs as f64 / 1e6;
    assert!((auc - 0.5).abs() < 0.065, "{auc}");
    let error = in_hash_order(&schema, batches(&schema, &rows, 300), &[2000]).unwrap_err();
    assert_eq!(error.to_string(), "row 2000 was asked for, and the table has 2000 rows");
}

proptest! {
    // invariant: A row stays on its side of the split when the table grows, when rows or columns
    // are reordered, and when the run's seed changes.
    #[test]
    fn membership_survives_growth_and_reordering(
        (old, grown) in (rows(150..250), rows(1..100)).prop_flat_map(|(old, new)| {
            let grown = [old.clone(), new].concat();
            (Just(old), Just(grown).prop_shuffle())
        }),
        named in named(),
        seed: u64,
        is_reversed: bool,
    ) {
        let schema = schema(named);
        let later = if is_reversed { reversed(&schema) } else { schema.clone() };
        // With so few rows, some seeds leave a partition empty.
        let (Ok(before), Ok(after)) = (
            hash(seed).split(&schema, batches(&schema, &old, 13)),
            hash(seed).split(&later, batches(&later, &grown, 50)),
        ) else { return Ok(()) };
        let before = counted(named, &old, before.partitions());
        let after = counted(named, &grown, after.partitions());
        for (row, count) in before {
            prop_assert!(after.get(&row).is_some_and(|after| *after >= count), "{:?}: {} and {:?}", row, count, after.get(&row));
        }
    }

    // invariant: as `membership_survives_growth_and_reordering`
    #[test]
    fn another_order_of_rows_and_columns_gives_the_same_split(
        (one, other) in rows(150..250).prop_flat_map(|rows| (Just(rows.clone()), Just(rows).prop_shuffle())),
        named in named(),
        seed: u64,
    ) {
        let schema = schema(named);
        let reversed = reversed(&schema);
        let Ok(first) = hash(seed).split(&schema, batches(&schema, &one, 13)) else { return Ok(()) };
        let second = hash(seed).split(&reversed, batches(&reversed, &other, 50)).unwrap();
        prop_assert_eq!(counted(named, &one, first.partitions()), counted(named, &other, second.partitions()));
    }

    #[test]
    fn rows_of_one_name_share_a_partition(rows in rows(150..250), seed: u64, is_grouped: bool) {
        let named = if is_grouped { Named::ByGroup } else { Named::ByIdentifier };
        let schema = schema(named);
        let Ok(found) = hash(seed).split(&schema, batches(&schema, &rows, 13)) else { return Ok(()) };
        let mut sides = HashMap::new();
        for (row, partition) in rows.iter().zip(found.partitions()) {
            let name = if is_grouped { row.household } else { row.id };
            if let Some(name) = name {
                prop_assert_eq!(*sides.entry(name).or_insert(*partition), *partition);
            }
        }
    }

    #[test]
    fn a_row_is_remembered_whatever_the_order_of_rows_and_columns(
        (one, other) in rows(1..100).prop_flat_map(|rows| (Just(rows.clone()), Just(rows).prop_shuffle())),
        named in named(),
    ) {
        let schema = schema(named);
        let reversed = reversed(&schema);
        let mut first = hash_rows(&schema, batches(&schema, &one, 13), &[3; 32]).unwrap();
        let mut second = hash_rows(&reversed, batches(&reversed, &other, 50), &[3; 32]).unwrap();
        first.sort_unstable();
        second.sort_unstable();
        prop_assert_eq!(first, second);
    }

    #[test]
    fn test_rows_come_in_one_order_whatever_that_of_the_table(
        (one, other) in rows(1..100).prop_flat_map(|rows| (Just(rows.clone()), Just(rows).prop_shuffle())),
    ) {
        let schema = schema(Named::Nothing);
        let ordered = |schema: &Schema, rows: &[Row]| -> Vec<Row> {
            let all: Vec<u64> = (0..rows.len() as u64).collect();
            let order = in_hash_order(schema, batches(schema, rows, 7), &all).unwrap();
            order.into_iter().map(|row| shown(Named::Nothing, &rows[row as usize])).collect()
        };
        prop_assert_eq!(ordered(&schema, &one), ordered(&reversed(&schema), &other));
    }
}
