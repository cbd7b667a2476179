//! The features of single columns under each policy.

use super::*;
use crate::quantiles::BUFFERED;

/// 1,000 numbers, every tenth missing; the same as in the scikit-learn figures below.
fn sawtooth() -> MemoryTable {
    let values = (0..1000).map(|index| f64::from(index * 7919 % 997) / 7.0 - 31.0).collect::<Vec<_>>();
    table(vec![("x", Column::from(values).with_validity((0..1000).map(|index| index % 10 != 3)))], 1000)
}

fn close(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-9, "{found} instead of {expected}");
}

#[test]
fn standardised_columns_equal_those_of_scikit_learn_to_1e_9() {
    // SimpleImputer and StandardScaler of scikit-learn 1.9.1: rows 0, 3 (missing) and 999.
    let of_mean = [-1.80843800712539, 0.0, 1.4165892784923488];
    let of_median = [-1.8070929342822124, -0.011975968526375069, 1.4179086542476032];
    for (missing, expected) in [("mean", of_mean), ("median", of_median)] {
        let train = sawtooth();
        let found = features(&train, &format!(r#"{{"numeric": {{"missing": "{missing}"}}}}"#), &batch(&train)).unwrap();
        for (row, expected) in [0, 3, 999].into_iter().zip(expected) {
            close(found[0].1[row], expected);
        }
    }
}

#[test]
fn kept_missing_values_stay_nan_and_do_not_count() {
    let train = sawtooth();
    let found = &features(&train, r#"{"numeric": {"missing": "keep"}}"#, &batch(&train)).unwrap()[0].1;
    assert!(found[3].is_nan());
    close(found[0], (-31.0 - 39.73476190476191) / 41.22949500940023);
}

#[test]
fn nan_and_null_are_missing_alike() {
    let nulls = table(vec![("x", Column::from(vec![1.0, 2.0, 6.0, 0.0]).with_validity([true, true, true, false]))], 4);
    let nans = table(vec![("x", Column::from(vec![1.0, 2.0, 6.0, f64::NAN]))], 4);
    assert_eq!(fit(&nulls, "{}").unwrap(), fit(&nans, "{}").unwrap());
    assert_eq!(features(&nulls, "{}", &batch(&nulls)), features(&nulls, "{}", &batch(&nans)));
}

#[test]
fn outliers_are_clipped_to_quantiles_or_fences() {
    let train = sawtooth();
    let bounds = |json: &str| {
        let found = features(&train, json, &batch(&train)).unwrap().remove(0).1;
        (found.iter().copied().fold(f64::INFINITY, f64::min), found.iter().copied().fold(f64::NEG_INFINITY, f64::max))
    };
    let (low, high) = bounds(r#"{"numeric": {"scale": "none", "outliers": {"clip": {}}}}"#);
    close(low, -29.85857142857143);
    close(high, 110.00142857142858);
    let (low, high) = bounds(r#"{"numeric": {"scale": "none", "outliers": {"iqr": {"factor": 0.25}}}}"#);
    close(low, 4.5 - 0.25 * (75.32142857142858 - 4.5));
    close(high, 75.32142857142858 + 0.25 * (75.32142857142858 - 4.5));
}

#[test]
fn a_constant_column_becomes_0() {
    let train = table(vec![("x", Column::from(vec![0.1; 7]))], 7);
    assert_eq!(features(&train, "{}", &batch(&train)).unwrap()[0].1, [0.0; 7]);
}

#[test]
fn a_column_without_any_value_is_refused_by_name_unless_it_is_filled_or_dropped() {
    let column = || Column::from(vec![0.0; 3]).with_validity([false; 3]);
    let train = table(vec![("empty", column()), ("x", Column::from(vec![1_i64, 2, 3]))], 3);
    let Err(Failure::Data(fault)) = fit(&train, "{}") else { panic!("a data fault") };
    assert_eq!(fault.column.as_deref(), Some("empty"));
    assert_eq!(
        features(&train, r#"{"numeric": {"missing": {"constant": 5.0}}}"#, &batch(&train)).unwrap()[0].1,
        [0.0; 3]
    );
    assert_eq!(features(&train, r#"{"columns": {"empty": {"drop": true}}}"#, &batch(&train)).unwrap().len(), 1);
}

#[test]
fn infinite_values_are_data_faults_with_their_row_unless_outliers_are_clipped() {
    let train = table(vec![("x", Column::from(vec![1.0, 2.0, f64::INFINITY, 3.0]))], 4);
    let Err(Failure::Data(fault)) = fit(&train, "{}") else { panic!("a data fault") };
    assert_eq!((fault.row, fault.value.as_deref()), (Some(2), Some("inf")));
    let sound = table(vec![("x", Column::from(vec![1.0, 2.0, 3.0]))], 3);
    let Err(Failure::Data(fault)) = features(&sound, "{}", &batch(&train)) else { panic!("a data fault") };
    assert_eq!((fault.column.as_deref(), fault.row), (Some("x"), Some(2)));
    let clipped =
        features(&sound, r#"{"numeric": {"outliers": {"iqr": {}}, "scale": "none"}}"#, &batch(&train)).unwrap();
    assert!(clipped[0].1[2].is_finite());
}

#[test]
fn values_too_large_for_a_variance_are_a_data_fault() {
    let train = table(vec![("x", Column::from(vec![1e300, -1e300, 1e308]))], 3);
    assert!(matches!(fit(&train, "{}"), Err(Failure::Data(_))));
}

fn contracts() -> MemoryTable {
    let texts =
        [Some("Two year"), Some("One year"), Some("Two year"), None, Some("Month"), Some("Month"), Some("Two year")];
    table(vec![("Contract", Column::utf8(texts))], 7)
}

fn unseen() -> Batch {
    Batch::new(3, vec![Column::utf8([Some("One year"), Some("Ten years"), None])])
}

#[test]
fn categories_become_features_of_0_and_1_in_alphabetical_order() {
    let found = features(&contracts(), "{}", &unseen()).unwrap();
    let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["Contract=Month", "Contract=One year", "Contract=Two year", "Contract=(missing)"]);
    assert_eq!(found[1].1, [1.0, 0.0, 0.0]);
    assert_eq!(found[3].1, [0.0, 0.0, 1.0]);
    assert_eq!(found.iter().map(|(_, values)| values[1]).sum::<f64>(), 0.0, "unseen");
}

#[test]
fn an_unseen_category_gets_a_bucket_or_an_error_if_the_manifest_says_so() {
    let found = features(&contracts(), r#"{"categorical": {"unseen": "bucket"}}"#, &unseen()).unwrap();
    assert_eq!((found[4].0.as_str(), &found[4].1[..]), ("Contract=(unseen)", &[0.0, 1.0, 0.0][..]));
    let Err(Failure::Data(fault)) = features(&contracts(), r#"{"categorical": {"unseen": "error"}}"#, &unseen()) else {
        panic!("a data fault")
    };
    assert_eq!(
        (fault.column.as_deref(), fault.row, fault.value.as_deref()),
        (Some("Contract"), Some(1), Some("Ten years"))
    );
}

#[test]
fn ordinal_codes_are_places_in_alphabetical_order() {
    let json = |unseen: &str| format!(r#"{{"categorical": {{"encoding": "ordinal", "unseen": "{unseen}"}}}}"#);
    let found = features(&contracts(), &json("ignore"), &unseen()).unwrap();
    assert_eq!(found, [("Contract".to_owned(), vec![1.0, -1.0, 3.0])]);
    let found = features(&contracts(), &json("bucket"), &unseen()).unwrap();
    assert_eq!(found[0].1, [1.0, 4.0, 3.0]);
}

#[test]
fn a_null_that_training_never_saw_is_treated_as_unseen() {
    let train = table(vec![("c", Column::utf8([Some("a"), Some("b")]))], 2);
    let null = Batch::new(1, vec![Column::utf8([None::<&str>])]);
    let found = features(&train, "{}", &null).unwrap();
    assert_eq!(found.iter().map(|(_, values)| values[0]).collect::<Vec<_>>(), [0.0, 0.0]);
    assert!(matches!(features(&train, r#"{"categorical": {"unseen": "error"}}"#, &null), Err(Failure::Data(_))));
}

#[test]
fn missing_text_becomes_the_most_frequent_category_or_an_error_if_the_manifest_says_so() {
    let found = features(&contracts(), r#"{"categorical": {"missing": "most_frequent"}}"#, &unseen()).unwrap();
    assert_eq!(found.len(), 3);
    assert_eq!(found[2], ("Contract=Two year".to_owned(), vec![0.0, 0.0, 1.0]));
    let Err(Failure::Data(fault)) = fit(&contracts(), r#"{"categorical": {"missing": "error"}}"#) else {
        panic!("a data fault")
    };
    assert_eq!(fault.row, Some(3));
}

#[test]
fn rare_categories_beyond_the_maximum_count_as_unseen() {
    let found =
        features(&contracts(), r#"{"categorical": {"max_categories": 1, "unseen": "bucket"}}"#, &unseen()).unwrap();
    let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["Contract=Two year", "Contract=(missing)", "Contract=(unseen)"]);
    assert!(matches!(
        fit(&contracts(), r#"{"categorical": {"max_categories": 1, "unseen": "error"}}"#),
        Err(Failure::Data(_))
    ));
}

#[test]
fn text_is_the_same_as_utf8_or_categorical_whatever_the_codes() {
    let train = contracts();
    let coded = Column::categorical(vec![2, 0, 1], ["Two year", "never used", "One year"]);
    let found = features(&train, "{}", &Batch::new(3, vec![coded])).unwrap();
    let plain = Column::utf8([Some("One year"), Some("Two year"), Some("never used")]);
    assert_eq!(found, features(&train, "{}", &Batch::new(3, vec![plain])).unwrap());
}

#[test]
fn a_column_of_too_many_texts_is_taken_for_an_identifier() {
    let texts = Column::utf8((0..70_000).map(|row| Some(row.to_string())));
    let Err(Failure::Data(fault)) = fit(&table(vec![("id", texts)], 70_000), "{}") else { panic!("a data fault") };
    assert!(fault.message.contains("identifier"), "{}", fault.message);
}

#[test]
fn columns_are_read_as_the_type_that_the_manifest_says() {
    let text = Column::utf8([Some(" 1.5 "), Some(""), Some("2.5")]);
    let number = Column::from(vec![1_i64, 0, 1]);
    let moment = Column::timestamp(vec![0, 1_500_000, 3_000_000]);
    let train = table(vec![("t", text), ("n", number), ("m", moment)], 3);
    let json = r#"{"numeric": {"scale": "none"}, "columns": {"t": {"as": "float64"}, "n": {"as": "categorical"}, "m": {"as": "float64"}}}"#;
    let found = features(&train, json, &batch(&train)).unwrap();
    assert_eq!(found[0], ("t".to_owned(), vec![1.5, 2.0, 2.5]));
    assert_eq!(found[1], ("n=0".to_owned(), vec![0.0, 1.0, 0.0]));
    assert_eq!(found[3], ("m".to_owned(), vec![0.0, 1.5, 3.0]));
    let broken = Batch::new(1, vec![Column::utf8([Some("x")]), Column::from(vec![1_i64]), Column::timestamp(vec![0])]);
    let Err(Failure::Data(fault)) = features(&train, json, &broken) else { panic!("a data fault") };
    assert_eq!((fault.column.as_deref(), fault.value.as_deref()), (Some("t"), Some("x")));
}

#[test]
fn flags_are_0_and_1() {
    let train = table(vec![("b", Column::boolean([true, false, true]))], 3);
    assert_eq!(features(&train, "{}", &batch(&train)).unwrap(), [("b".to_owned(), vec![1.0, 0.0, 1.0])]);
}

/// 2024-02-29T23:30, 2024-03-01T08:00 and a null.
fn moments() -> MemoryTable {
    let moments = Column::timestamp(vec![1_709_249_400_000_000, 1_709_280_000_000_000, 0]);
    table(vec![("m", moments.with_validity([true, true, false])), ("x", Column::from(vec![1.0, 2.0, 3.0]))], 3)
}

#[test]
fn the_parts_of_a_moment_become_features() {
    let train = moments();
    let json = r#"{"numeric": {"scale": "none", "missing": {"constant": -1.0}}}"#;
    let found = features(&train, json, &batch(&train)).unwrap();
    let expected = [
        ("m.year", vec![2024.0, 2024.0, -1.0]),
        ("m.month", vec![2.0, 3.0, -1.0]),
        ("m.day", vec![29.0, 1.0, -1.0]),
        ("m.weekday", vec![3.0, 4.0, -1.0]),
        ("m.hour", vec![23.0, 8.0, -1.0]),
        ("x", vec![1.0, 2.0, 3.0]),
    ];
    assert_eq!(found, expected.map(|(name, values)| (name.to_owned(), values)));
}

#[test]
fn a_part_that_all_training_rows_share_makes_no_feature() {
    let days = Column::timestamp(vec![1_709_164_800_000_000, 1_709_251_200_000_000]);
    let train = table(vec![("m", days), ("x", Column::from(vec![1.0, 2.0]))], 2);
    let names: Vec<String> =
        features(&train, "{}", &batch(&train)).unwrap().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["m.month", "m.day", "m.weekday", "x"], "no year, and no hour of dates");
}

#[test]
fn parts_are_chosen_for_all_columns_or_for_one() {
    let train = moments();
    let names = |json: &str| -> Vec<String> {
        features(&train, json, &batch(&train)).unwrap().into_iter().map(|(name, _)| name).collect()
    };
    assert_eq!(names(r#"{"timestamp": {"parts": ["hour", "day", "hour"]}}"#), ["m.hour", "m.day", "x"]);
    assert_eq!(names(r#"{"timestamp": {"parts": []}, "columns": {"m": {"parts": ["month"]}}}"#), ["m.month", "x"]);
    assert_eq!(names(r#"{"timestamp": {"parts": []}}"#), ["x"]);
    assert_eq!(names(r#"{"columns": {"m": {"drop": true}}}"#), ["x"]);
    assert_eq!(parameter_at_fault(fit(&train, r#"{"columns": {"x": {"parts": ["day"]}}}"#)), "columns.x.parts");
}

#[test]
fn a_state_with_parts_of_dates_is_of_version_2_and_any_other_of_version_1() {
    let text = |state: Vec<u8>| String::from_utf8(state).unwrap();
    let with = text(fit(&moments(), "{}").unwrap());
    assert!(with.contains("\"version\":2"), "{with}");
    assert!(text(fit(&contracts(), "{}").unwrap()).contains("\"version\":1"));
    for broken in [with.replace("\"version\":2", "\"version\":1"), with.replace("timestamp", "int64")] {
        assert!(Features::load(&mut BlobReader::new(&broken.clone().into_bytes()), &[]).is_err(), "{broken}");
    }
}

#[test]
fn clipping_leaves_columns_of_two_values_as_they_are() {
    for (rare, common) in [(1.0, 0.0), (0.0, 1.0), (7.0, -3.0)] {
        for outliers in [r#"{"iqr": {}}"#, r#"{"clip": {}}"#] {
            let flag = (0..1000).map(|row| if row % 250 == 0 { rare } else { common }).collect::<Vec<f64>>();
            let train = table(vec![("flag", Column::from(flag.clone()))], 1000);
            let json = format!(r#"{{"numeric": {{"scale": "none", "outliers": {outliers}}}}}"#);
            assert_eq!(features(&train, &json, &batch(&train)).unwrap()[0].1, flag, "{outliers}");
        }
    }
}

#[test]
fn clipping_never_makes_a_column_constant() {
    let counts = (0..1000).map(|row| if row % 10 == 0 { f64::from(row) } else { 0.0 }).collect::<Vec<f64>>();
    let train = table(vec![("visits", Column::from(counts.clone()))], 1000);
    let json = r#"{"numeric": {"scale": "none", "outliers": {"iqr": {}}}}"#;
    assert_eq!(features(&train, json, &batch(&train)).unwrap()[0].1, counts);
}

#[test]
fn ratios_are_never_infinite() {
    let above = Column::from(vec![6.0, 0.0, 5.0, 1.0]).with_validity([true, true, true, false]);
    let below = Column::from(vec![3_i64, 0, 0, 2]);
    let train = table(vec![("a", above), ("b", below)], 4);
    for (policy, expected) in [(r#""zero""#, 0.0), (r#"{"constant": 9.0}"#, 9.0), (r#""null""#, -7.0)] {
        let json = format!(
            r#"{{"numeric": {{"scale": "none", "missing": {{"constant": -7}}}},
               "ratios": [{{"name": "r", "numerator": "a", "denominator": "b", "zero_division": {policy}}}]}}"#
        );
        let found = features(&train, &json, &batch(&train)).unwrap();
        assert_eq!(found[2], ("r".to_owned(), vec![2.0, 0.0, expected, -7.0]), "{policy}");
    }
}

#[test]
fn interactions_combine_raw_columns_and_may_be_overridden_by_name() {
    let train = table(vec![("a", Column::from(vec![1.0, 2.0])), ("b", Column::from(vec![10_i64, 20]))], 2);
    let json = r#"{"columns": {"a": {"drop": true}, "p": {"scale": "none"}, "d": {"scale": "none"}, "s": {"scale": "none"}},
        "interactions": [{"name": "p", "left": "a", "right": "b"}, {"name": "d", "left": "a", "right": "b", "kind": "difference"},
        {"name": "s", "left": "a", "right": "b", "kind": "sum"}]}"#;
    let found = features(&train, json, &batch(&train)).unwrap();
    assert_eq!(
        found[1..],
        [("p".to_owned(), vec![10.0, 40.0]), ("d".to_owned(), vec![-9.0, -18.0]), ("s".to_owned(), vec![11.0, 22.0])]
    );
}

#[test]
fn parameters_that_do_not_fit_the_columns_are_refused_by_name() {
    let train = table(vec![("x", Column::from(vec![1.0, 2.0])), ("t", Column::utf8([Some("a"), Some("b")]))], 2);
    for (json, parameter) in [
        (r#"{"columns": {"y": {"drop": true}}}"#, "columns.y"),
        (r#"{"columns": {"x": {"missing": "category"}}}"#, "columns.x.missing"),
        (r#"{"columns": {"t": {"missing": "mean"}}}"#, "columns.t.missing"),
        (r#"{"columns": {"t": {"scale": "none"}}}"#, "columns.t"),
        (r#"{"columns": {"x": {"encoding": "ordinal"}}}"#, "columns.x"),
        (r#"{"ratios": [{"name": "r", "numerator": "x", "denominator": "t"}]}"#, "ratios[0].denominator"),
        (r#"{"ratios": [{"name": "x", "numerator": "x", "denominator": "x"}]}"#, "ratios[0].name"),
        (r#"{"interactions": [{"name": "i", "left": "y", "right": "x"}]}"#, "interactions[0].left"),
        (r#"{"numeric": {"outliers": {"clip": {"lower": 0.9, "upper": 0.1}}}}"#, "numeric.outliers.clip"),
    ] {
        assert_eq!(parameter_at_fault(fit(&train, json)), parameter);
    }
}

#[test]
fn a_table_without_rows_or_features_is_a_data_fault() {
    assert!(matches!(fit(&MemoryTable::new([], Vec::new()), "{}"), Err(Failure::Data(_))));
    let train = table(vec![("x", Column::from(vec![1.0]))], 1);
    assert!(matches!(fit(&train, r#"{"columns": {"x": {"drop": true}}}"#), Err(Failure::Data(_))));
}

// invariant: as `any_split_and_order_of_rows_on_fresh_instances_gives_the_same_rows`
#[test]
fn target_and_weight_are_no_features() {
    let fields = [
        (Field::required("x", stagewright_kit::DataType::Float64), Role::Feature),
        (Field::required("y", stagewright_kit::DataType::Int64), Role::Target),
        (Field::required("w", stagewright_kit::DataType::Float64), Role::Weight),
    ];
    let columns = vec![Column::from(vec![1.0, 3.0]), Column::from(vec![0_i64, 1]), Column::from(vec![1.0, 9.0])];
    let train = MemoryTable::new(fields, vec![Batch::new(2, columns)]);
    let fitted = load(&fit(&train, "{}").unwrap());
    assert_eq!(fitted.fields().len(), 1);
    assert_eq!(
        fitted.transform(Batch::new(1, vec![Column::from(vec![2.0])])).unwrap().columns[0].as_f64(),
        Some(&[0.0][..])
    );
}

#[test]
fn feature_names_are_distinct_and_without_control_characters() {
    let long = "x".repeat(300);
    let texts = Column::utf8([Some("a\nb"), Some(long.as_str()), Some("a\\nb")]);
    let names: Vec<String> =
        load(&fit(&table(vec![("c", texts)], 3), "{}").unwrap()).fields().into_iter().map(|field| field.name).collect();
    assert_eq!(names[..2], ["c=a\\nb".to_owned(), "c=a\\nb#2".to_owned()]);
    assert!(names.iter().all(|name| name.len() <= 256 && !name.chars().any(char::is_control)));
}

#[test]
fn a_state_of_another_kind_or_version_is_refused() {
    let state = fit(&contracts(), "{}").unwrap();
    let text = String::from_utf8(state.clone()).unwrap();
    for broken in [
        text.replace("\"version\":1", "\"version\":3"),
        text.replace("transform-table", "other"),
        text.replace("\"Month\",", ""),
        text.replace("[\"Month\"", "[\"Zebra\"").clone(),
        text.replacen('{', "{\"more\":1,", 1),
        text[..text.len() - 1].to_owned(),
    ] {
        let accepted = Features::load(&mut BlobReader::new(&broken.clone().into_bytes()), &[]).is_ok();
        // Without one of its categories, the state is another valid state.
        assert_eq!(accepted, broken == text.replace("\"Month\",", ""), "{broken}");
    }
}

#[test]
fn a_state_loaded_and_written_again_is_the_same() {
    let state = fit(&sawtooth(), "{}").unwrap();
    let read: crate::state::State = serde_json::from_slice(&state).unwrap();
    assert_eq!(serde_json::to_vec(&read).unwrap(), state);
}

#[test]
fn columns_are_held_up_to_32_mib() {
    assert_eq!(BUFFERED * 8, 32 << 20);
}

#[test]
fn the_example_of_the_documentation_is_a_state() {
    let page = include_str!("../../../../docs/formats/transform-state.md");
    let example = page.split("```").nth(1).and_then(|block| block.strip_prefix("json")).expect("an example");
    let names: Vec<String> = load(&example.as_bytes().to_vec()).fields().into_iter().map(|field| field.name).collect();
    assert_eq!(names, ["tenure", "Contract=Month-to-month", "Contract=One year", "Contract=Two year"]);
}
