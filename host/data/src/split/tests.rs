//! Membership, shares and files of splits: fixed examples, and properties over generated tables.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, DictionaryArray, Float64Array, Int64Array, StringArray};
use proptest::prelude::*;
use stagewright_store::Field;

use super::*;
use crate::interrupt::Interrupt;

/// Returns the schema of a table with `id`, `household`, `x` and `churn`; ids are `C-<number>`.
fn schema(key: Role) -> Schema {
    let household = if key == Role::Group { Role::Group } else { Role::Feature };
    let id = if key == Role::Feature { Role::Feature } else { Role::Identifier };
    Schema::new(vec![
        Field::new("id", DataType::Utf8).with_role(id),
        Field::new("household", DataType::Int64).with_role(household),
        Field::new("x", DataType::Float64),
        Field::new("churn", DataType::Utf8).with_role(Role::Target),
    ])
    .unwrap()
}

fn batch(schema: &Schema, numbers: &[u32]) -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(numbers.iter().map(|number| format!("C-{number}")))),
        Arc::new(Int64Array::from_iter_values(numbers.iter().map(|number| i64::from(number / 3)))),
        Arc::new(Float64Array::from_iter_values(numbers.iter().map(|&number| f64::from(number)))),
        Arc::new(StringArray::from_iter_values(
            numbers.iter().map(|number| if number % 4 == 0 { "Yes" } else { "No" }),
        )),
    ];
    RecordBatch::try_new(schema.to_arrow(), columns).unwrap()
}

/// Returns the rows in batches of `size`.
fn batches(schema: &Schema, numbers: &[u32], size: usize) -> Vec<Result<RecordBatch, DataError>> {
    numbers.chunks(size).map(|chunk| Ok(batch(schema, chunk))).collect()
}

fn plan(method: SplitMethod) -> SplitPlan {
    SplitPlan { method, test: 0.2, validation: 0.25, seed: 42 }
}

fn numbers(count: u32) -> Vec<u32> {
    (0..count).collect()
}

fn split(plan: &SplitPlan, key: Role, numbers: &[u32]) -> Split {
    let schema = schema(key);
    plan.split(&schema, batches(&schema, numbers, 100)).unwrap()
}

#[test]
fn membership_is_the_same_on_every_machine_and_in_every_version() {
    // Computed with Python's hashlib, following docs/types.md.
    let found = split(&plan(SplitMethod::Hash), Role::Identifier, &numbers(20));
    let letter = |partition: &Partition| match partition {
        Partition::Train => 't',
        Partition::Validation => 'V',
        Partition::Test => 'E',
    };
    assert_eq!(found.partitions().iter().map(letter).collect::<String>(), "tEttttttEttEtttttttV");
}

#[test]
fn shares_are_met_on_average_by_hash() {
    let found = split(&plan(SplitMethod::Hash), Role::Identifier, &numbers(20_000));
    // Four standard deviations of a binomial with n = 20,000 and p = 0.2: 226.
    assert!(found.count(Partition::Test).abs_diff(4000) < 230, "{}", found.count(Partition::Test));
    assert!(found.count(Partition::Validation).abs_diff(4000) < 230, "{}", found.count(Partition::Validation));
}

#[test]
fn another_seed_gives_another_split() {
    let found = split(&plan(SplitMethod::Hash), Role::Identifier, &numbers(100));
    let other = split(&SplitPlan { seed: 43, ..plan(SplitMethod::Hash) }, Role::Identifier, &numbers(100));
    assert_ne!(found, other);
}

#[test]
fn rows_of_a_group_stay_together_even_where_there_is_an_identifier() {
    let found = split(&plan(SplitMethod::Hash), Role::Group, &numbers(999));
    assert!(found.partitions().chunks(3).all(|household| household.iter().all(|it| *it == household[0])));
}

#[test]
fn an_identifier_counts_by_its_text_whatever_its_type() {
    let text = Schema::new(vec![Field::new("id", DataType::Utf8).with_role(Role::Identifier)]).unwrap();
    let number = Schema::new(vec![Field::new("id", DataType::Int64).with_role(Role::Identifier)]).unwrap();
    let texts: ArrayRef = Arc::new(StringArray::from_iter_values((0..200).map(|id| id.to_string())));
    let integers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..200));
    let of = |schema: &Schema, column: ArrayRef| {
        let batch = RecordBatch::try_new(schema.to_arrow(), vec![column]).unwrap();
        plan(SplitMethod::Hash).split(schema, [Ok::<_, DataError>(batch)]).unwrap()
    };
    assert_eq!(of(&text, texts), of(&number, integers));
}

#[test]
fn a_split_that_leaves_nothing_is_refused_with_a_hint() {
    let schema = schema(Role::Identifier);
    let error = plan(SplitMethod::Hash).split(&schema, batches(&schema, &[1], 1)).unwrap_err();
    assert!(error.to_string().contains("leaves no") && error.to_string().contains("\nhint: use more rows"), "{error}");
    let error =
        SplitPlan { test: 1.0, ..plan(SplitMethod::Hash) }.split(&schema, batches(&schema, &[1], 1)).unwrap_err();
    assert!(error.to_string().contains("the share of test rows is 1\nhint: "), "{error}");
}

#[test]
fn a_stratified_split_of_groups_is_refused() {
    let schema = schema(Role::Group);
    let error = plan(SplitMethod::Stratified).split(&schema, batches(&schema, &numbers(100), 10)).unwrap_err();
    assert!(error.to_string().contains("`household`"), "{error}");
}

#[test]
fn rows_are_selected_in_order_across_batches() {
    let schema = schema(Role::Identifier);
    let wanted = [0, 1, 2, 3, 9, 25, 26];
    let found: Vec<RecordBatch> =
        select(batches(&schema, &numbers(30), 4), &wanted).collect::<Result<_, DataError>>().unwrap();
    let rows: Vec<usize> = found.iter().map(RecordBatch::num_rows).collect();
    assert_eq!(rows, [4, 1, 2]);
    let found = arrow_select::concat::concat_batches(&schema.to_arrow(), &found).unwrap();
    assert_eq!(found, batch(&schema, &wanted.map(|row| u32::try_from(row).unwrap())));
}

#[test]
fn a_row_past_the_end_is_an_error() {
    let schema = schema(Role::Identifier);
    let last = select(batches(&schema, &numbers(30), 4), &[2, 30]).last().unwrap();
    assert_eq!(last.unwrap_err().to_string(), "row 30 was asked for, and the table has 30 rows");
}

#[test]
fn rows_are_gathered_in_any_order() {
    let schema = schema(Role::Identifier);
    let parts: Vec<RecordBatch> = batches(&schema, &numbers(30), 4).into_iter().collect::<Result<_, _>>().unwrap();
    let gather = Gather::new(parts);
    for wanted in [&[29, 0, 7, 8, 0, 15][..], &[3], &[]] {
        assert_eq!(
            gather.rows(wanted).unwrap(),
            batch(&schema, &wanted.iter().map(|&it| it as u32).collect::<Vec<_>>())
        );
    }
    let error = gather.rows(&[2, 30]).unwrap_err();
    assert_eq!(error.to_string(), "row 30 was asked for, and the table has 30 rows");
}

#[test]
fn categories_are_gathered_under_their_own_numbers_and_under_others() {
    let words = |batch: &RecordBatch| -> Vec<Option<String>> {
        let column = batch.column(0).as_dictionary::<Int32Type>().downcast_dict::<StringArray>().unwrap();
        column.into_iter().map(|word| word.map(str::to_owned)).collect()
    };
    let part = |words: &[Option<&str>]| {
        let column: ArrayRef = Arc::new(words.iter().copied().collect::<DictionaryArray<Int32Type>>());
        RecordBatch::try_from_iter([("colour", column)]).unwrap()
    };
    let first = part(&[Some("red"), None, Some("blue"), Some("red")]);
    let shared = Gather::new(vec![first.slice(0, 2), first.slice(2, 2)]).rows(&[3, 2, 1, 0]).unwrap();
    assert_eq!(words(&shared), ["red", "blue", "", "red"].map(|it| (!it.is_empty()).then(|| it.to_owned())));
    assert_eq!(shared.column(0).as_dictionary::<Int32Type>().values().len(), 2);
    let mixed = Gather::new(vec![first, part(&[Some("blue"), Some("green")])]).rows(&[5, 4, 2, 0]).unwrap();
    assert_eq!(words(&mixed), ["green", "blue", "blue", "red"].map(|it| Some(it.to_owned())));
}

fn export(found: &Split, key: Role, numbers: &[u32]) -> String {
    let mut text = Vec::new();
    let schema = schema(key);
    found.export(&schema, || batches(&schema, numbers, 7), &mut text).unwrap();
    String::from_utf8(text).unwrap()
}

fn import(text: &str, key: Role, numbers: &[u32]) -> Result<Split, DataError> {
    let schema = schema(key);
    read(text, &schema, batches(&schema, numbers, 7))
}

fn read(
    text: &str,
    schema: &Schema,
    batches: impl IntoIterator<Item = Result<RecordBatch, DataError>>,
) -> Result<Split, DataError> {
    let cells = |identifiers: &[String], take: &mut SplitCellSink<'_>| {
        split_cells(text.as_bytes(), "the split", identifiers, &Interrupt::never(), take)
    };
    Split::import(cells, schema, batches)
}

#[test]
fn an_exported_split_is_imported_by_identifier_whatever_the_order() {
    let found = split(&plan(SplitMethod::Hash), Role::Identifier, &numbers(50));
    let text = export(&found, Role::Identifier, &numbers(50));
    assert!(text.starts_with("row,partition,id\n0,"), "{text}");
    let backwards: Vec<u32> = numbers(50).into_iter().rev().collect();
    let mut expected = found.partitions().to_vec();
    expected.reverse();
    assert_eq!(import(&text, Role::Identifier, &backwards).unwrap().partitions(), expected);
}

#[test]
fn an_exported_split_is_imported_by_row_where_nothing_identifies_it() {
    let found = split(&plan(SplitMethod::Hash), Role::Feature, &numbers(50));
    let text = export(&found, Role::Feature, &numbers(50));
    assert!(text.starts_with("row,partition\n0,"), "{text}");
    assert_eq!(import(&text, Role::Feature, &numbers(50)).unwrap(), found);
}

#[test]
fn a_repeated_identifier_in_two_partitions_leaves_the_row_numbers() {
    let twice = [numbers(40), numbers(40)].concat();
    let halves = [vec![Partition::Train; 40], vec![Partition::Test; 40]];
    let found = Split { partitions: halves.concat() };
    let text = export(&found, Role::Identifier, &twice);
    assert!(text.starts_with("row,partition\n0,train\n"), "{text}");
    assert_eq!(import(&text, Role::Identifier, &twice).unwrap(), found);
}

/// Returns rows whose ids are null where the number is divisible by 5.
fn with_gaps(schema: &Schema, numbers: &[u32]) -> RecordBatch {
    let ids = numbers.iter().map(|number| (number % 5 != 0).then(|| format!("C-{number}")));
    let mut columns = batch(schema, numbers).columns().to_vec();
    columns[0] = Arc::new(ids.collect::<StringArray>());
    let fields = schema.fields().iter().map(|field| field.clone().with_nullable(true));
    let schema = Schema::new(fields.collect()).unwrap();
    RecordBatch::try_new(schema.to_arrow(), columns).unwrap()
}

#[test]
fn a_row_without_identifier_is_exported_and_imported_by_its_number() {
    let schema = schema(Role::Identifier);
    let table = || [Ok::<_, DataError>(with_gaps(&schema, &numbers(50)))];
    let found = plan(SplitMethod::Hash).split(&schema, table()).unwrap();
    let of_nameless: Vec<Partition> = found.partitions().iter().copied().step_by(5).collect();
    assert!(of_nameless.contains(&Partition::Train) && of_nameless.contains(&Partition::Test), "{of_nameless:?}");
    let mut text = Vec::new();
    found.export(&schema, table, &mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert!(text.starts_with("row,partition,id\n0,") && text.contains(",C-1\n"), "{text}");
    assert_eq!(read(&text, &schema, table()).unwrap(), found);
    // With identifiers, rows may come in another order.
    let mut order = numbers(50);
    order.swap(1, 2);
    order.swap(8, 49);
    let moved = read(&text, &schema, [Ok(with_gaps(&schema, &order))]).unwrap();
    for (place, number) in order.into_iter().enumerate() {
        assert_eq!(moved.partitions()[place], found.partitions()[number as usize]);
    }
}

#[test]
fn an_empty_cell_of_a_split_identifies_no_row() {
    let schema = schema(Role::Identifier);
    let import = |text: &str| read(text, &schema, [Ok(with_gaps(&schema, &numbers(3)))]).unwrap_err();
    assert_eq!(
        import("partition,id\ntest,\ntrain,C-1\ntrain,C-2\n").to_string(),
        "data row 1: the row has no identifier, and the split names rows by `id` alone\nhint: give the split the column `row` too"
    );
    assert_eq!(
        import("row,partition,id\n7,test,\n1,train,C-1\n2,train,C-2\n").to_string(),
        "the split names rows that the table does not have: `7`"
    );
    assert_eq!(
        import("row,partition,id\n1,train,C-1\n2,train,C-2\n").to_string(),
        "the split does not name these rows of the table: `0`"
    );
}

#[test]
fn an_imported_split_that_does_not_fit_names_the_rows() {
    for (text, message) in [
        ("partition,id\ntest,C-0\ntrain,C-1\n", "the split does not name these rows of the table: `C-2`"),
        ("row,partition\n0,test\n1,train\n", "the split does not name these rows of the table: `2`"),
        (
            "row,partition\n0,test\n1,train\n2,train\n3,train\n",
            "the split names rows that the table does not have: `3`",
        ),
        ("partition,id\ntest,C-0\ntrain,C-9\n", "the split names rows that the table does not have: `C-9`"),
        ("row,partition\n0,test\n0,test\n", "data row 2: the split names `0` twice"),
        ("partition,id\ntest,C-0\ntrain,C-0\n", "data row 2: the split names `C-0` twice"),
        (
            "row,partition\n0,tset\n",
            "column `partition`, data row 1: `tset` is not a partition\nhint: write train, validation or test",
        ),
        ("row,partition\nx,test\n", "column `row`: `x` is not a row number"),
        ("row\n0\n", "a split needs the column `partition`; the file has `row`"),
        ("partition\ntest\n", "a split needs the column `row` or `id`; the file has `partition`"),
    ] {
        assert_eq!(import(text, Role::Identifier, &numbers(3)).unwrap_err().to_string(), message, "{text}");
    }
}

proptest! {
    // invariant: Training, validation and test rows are disjoint, and together they are all rows.
    #[test]
    fn partitions_are_disjoint_and_exhaustive(count in 60_u32..300, seed: u64, is_stratified: bool) {
        let method = if is_stratified { SplitMethod::Stratified } else { SplitMethod::Hash };
        let schema = schema(Role::Identifier);
        let plan = SplitPlan { seed, ..plan(method) };
        let Ok(found) = plan.split(&schema, batches(&schema, &numbers(count), 32)) else { return Ok(()) };
        let mut all: Vec<u64> = Partition::ALL.iter().flat_map(|&partition| found.indices(partition)).collect();
        all.sort_unstable();
        prop_assert_eq!(all, (0..u64::from(count)).collect::<Vec<u64>>());
    }

    #[test]
    fn a_stratified_split_differs_from_the_exact_share_by_less_than_a_row(
        count in 30_u32..500, seed: u64, test in 0.1_f64..0.6, validation in 0.1_f64..0.6,
    ) {
        let plan = SplitPlan { method: SplitMethod::Stratified, test, validation, seed };
        let found = split(&plan, Role::Identifier, &numbers(count));
        for class in [true, false] {
            let members = |wanted: Partition| {
                let rows = (0..count).zip(found.partitions());
                rows.filter(|(number, it)| (number % 4 == 0) == class && **it == wanted).count() as f64
            };
            let [train, valid, tested] = Partition::ALL.map(members);
            let size = train + valid + tested;
            prop_assert!((tested - size * test).abs() < 1.0, "{} of {}", tested, size);
            prop_assert!((valid - (size - tested) * validation).abs() < 1.0, "{} of {}", valid, size - tested);
        }
        prop_assert!((found.count(Partition::Test) as f64 - f64::from(count) * test).abs() <= 0.5 + 1e-9);
    }
}
