//! Forms of requests, their limits and the words of their faults.

use super::*;

const ROW: &str = r#"{"tenure": 1, "charges": 29.85, "contract": "Monthly", "note é": "x", "paperless": true, "since": "2024-01-06"}"#;
const HEADER: &str = "tenure,charges,contract,note é,paperless,since";

fn field(row: usize, name: &str, message: &str) -> (usize, Option<String>, String) {
    (row, Some(name.to_owned()), message.to_owned())
}

#[test]
fn one_row_many_rows_lines_and_a_list_of_rows_are_accepted() {
    let plain = decoder(RequestOptions::default());
    let one = plain.json(ROW.as_bytes()).unwrap();
    assert_eq!((one.rows(), one.key(0)), (1, None));
    let two = plain.json(format!("[{ROW}, {ROW}]").as_bytes()).unwrap();
    assert_eq!(two.rows(), 2);
    for text in [format!("{ROW}\n{ROW}\n"), format!("{{\"rows\": [{ROW}, {ROW}]}}"), format!("[{ROW}][{ROW}]")] {
        assert_eq!(plain.json(text.as_bytes()).unwrap().batch, two.batch, "{text}");
    }
    for text in ["[]", "{\"rows\": []}"] {
        assert_eq!(plain.json(text.as_bytes()).unwrap().rows(), 0);
    }
    assert_eq!(plain.csv(format!("{HEADER}\n").as_bytes()).unwrap().rows(), 0);
    let line = "1,29.85,Monthly,x,yes,2024-01-06";
    assert_eq!(plain.csv(format!("{HEADER}\n{line}\n\n{line}").as_bytes()).unwrap().batch, two.batch);
}

#[test]
fn an_object_with_rows_is_a_row_where_it_has_a_feature_or_rows_is_a_column() {
    let plain = decoder(RequestOptions::default());
    let mut text = ROW.replacen('{', "{\"rows\": [1, 2], ", 1);
    assert_eq!(plain.json(text.as_bytes()).unwrap().rows(), 1);
    assert_eq!(
        message(plain.json(br#"{"rows": {"tenure": 1}}"#)),
        "column `rows`: `{\"tenure\": 1}` is not an array of rows"
    );
    // A name with half of a surrogate pair is no JSON, beside rows as in a row.
    let half = message(plain.json(br#"{"rows": [], "\ud800": 1}"#));
    assert!(half.starts_with("the text is not JSON: unexpected end of hex escape"), "{half}");
    let refusing = decoder(RequestOptions { unknown_fields: UnknownFields::Refuse, ..RequestOptions::default() });
    let unknown = "the model has no field of this name; leave it out";
    assert_eq!(told(refusing.json(text.as_bytes())), [field(0, "rows", unknown)]);
    text = format!("{{\"rows\": [{ROW}], \"more\": 1}}");
    assert_eq!(told(refusing.json(text.as_bytes())), [field(0, "more", unknown)]);

    let rows = Signature::new(vec![Field::new("rows", DataType::Int64), Field::new("x", DataType::Int64)]).unwrap();
    let decoder = RequestDecoder::new(&rows, RequestOptions::default());
    assert_eq!(decoder.json(br#"{"rows": 3, "x": 1}"#).unwrap().rows(), 1);
    let found = told(decoder.json(br#"{"rows": []}"#));
    assert_eq!(
        found,
        [field(0, "rows", "`[]` is not an int64"), field(0, "x", "the field is absent, and an int64 is needed")]
    );
}

#[test]
fn every_fault_of_every_row_is_told() {
    let text = r#"[{"tenure": "abc", "charges": true, "contract": null, "note é": "\ud800", "paperless": 2, "since": 5},
        7, {"tenure": 2, "charges": 1, "contract": "a", "note é": null, "since": "yesterday"}]"#;
    assert_eq!(
        told(decoder(RequestOptions::default()).json(text.as_bytes())),
        [
            field(0, "tenure", "`abc` is not an int64"),
            field(0, "charges", "`true` is not a float64"),
            field(0, "contract", "the value is missing, and a text is needed"),
            field(0, "note é", "the text is not JSON: unexpected end of hex escape at line 1 column 8"),
            field(0, "paperless", "`2` is not a boolean"),
            field(0, "since", "`5` is not a timestamp"),
            (1, None, "`7` is not an object with a value for each column".to_owned()),
            field(2, "paperless", "the field is absent, and a boolean is needed, or null"),
            field(2, "since", "`yesterday` is not a timestamp"),
        ]
    );
    let csv = format!("{HEADER}\nabc,1,a,,,\n1,2,3\n1,x,\" \",,,\n");
    assert_eq!(
        told(decoder(RequestOptions::default()).csv(csv.as_bytes())),
        [
            field(0, "tenure", "`abc` is not an int64"),
            (1, None, "the line has 3 cells, the header has 6; the file may be truncated".to_owned()),
            field(2, "charges", "`x` is not a float64"),
            field(2, "contract", "the value is missing, and a text is needed"),
        ]
    );
}

#[test]
fn faults_are_cut_at_their_limit() {
    let few = decoder(RequestOptions { max_errors: 2, ..RequestOptions::default() });
    let bad = r#"{"tenure": "x", "charges": 1, "contract": "a", "note é": "", "paperless": "", "since": ""}"#;
    let found = |rows: usize| match few.json(format!("[{}]", vec![bad; rows].join(",")).as_bytes()) {
        Err(RequestFault::Rows { errors, is_cut }) => (errors.len(), is_cut),
        other => panic!("{other:?}"),
    };
    assert_eq!([found(1), found(2), found(3), found(100)], [(1, false), (2, false), (2, true), (2, true)]);
    // Text that is not JSON is reported as such, however many faults come before.
    let text = format!("[{}", vec![bad; 100].join(","));
    assert!(message(few.json(text.as_bytes())).starts_with("the text is not JSON: EOF while parsing a list"));
}

#[test]
fn unknown_fields_are_faults_where_they_are_refused() {
    let options = RequestOptions { unknown_fields: UnknownFields::Refuse, ..RequestOptions::default() };
    let unknown = "the model has no field of this name; leave it out";
    let row = ROW.replacen('{', "{\"id\": 1, \"churn\": [], \"tenur\": 1, \"a`\\u001b\": 2, \"tenur\": 3, ", 1);
    let expected = [field(0, "a\\`\\u{1b}", unknown), field(0, "tenur", unknown)];
    assert_eq!(told(decoder(options.clone()).json(row.as_bytes())), expected);
    assert_eq!(decoder(RequestOptions::default()).json(row.as_bytes()).unwrap().rows(), 1);

    let csv = format!("{HEADER},id,tenur,charges\n");
    let expected = [field(0, "tenur", unknown), field(0, "charges", "more than one column has this name")];
    assert_eq!(told(decoder(options.clone()).csv(csv.as_bytes())), expected);
    let found = told(decoder(options.clone()).csv(b"tenure,contract\nx,y\n"));
    assert_eq!(found[0], field(0, "charges", "the field is absent, and a float64 is needed, or null"));
    assert_eq!(found.len(), 4, "rows are not decoded without their columns");

    // The key is known.
    let keyed = decoder(RequestOptions { key: Some("customer".to_owned()), ..options });
    let row = ROW.replacen('{', "{\"customer\": \"C-1\", ", 1);
    assert_eq!(keyed.json(row.as_bytes()).unwrap().key(0), Some("C-1"));
}

#[test]
fn more_fields_than_the_key_are_kept_and_each_may_be_absent() {
    let names = ["id", "region", "tenure"].map(str::to_owned);
    let options = RequestOptions { key: Some("id".to_owned()), kept: names.to_vec(), ..RequestOptions::default() };
    let keeping = decoder(options.clone());
    let row = ROW.replacen('{', "{\"id\": \"C-1\", ", 1);
    let decoded = keeping.json(format!("[{row},{ROW}]").as_bytes()).unwrap();
    assert_eq!((decoded.key(0), decoded.key(1)), (Some("C-1"), None));
    let text = |field: usize, row: usize| decoded.kept[field].get(row).and_then(|text| text.as_deref());
    assert_eq!((text(0, 0), text(0, 1)), (Some("C-1"), None), "the key may be among them");
    assert_eq!((text(1, 0), text(1, 1)), (None, None));
    assert!(text(2, 1).is_some(), "a feature");
    let without_key = decoder(RequestOptions { key: None, ..options });
    let decoded = without_key.json(row.as_bytes()).unwrap();
    assert_eq!((decoded.key(0), decoded.kept[0][0].as_deref()), (None, Some("C-1")));
}

#[test]
fn keys_are_texts() {
    let keyed = |key: &str| decoder(RequestOptions { key: Some(key.to_owned()), ..RequestOptions::default() });
    let with = |member: &str| ROW.replacen('{', &format!("{{{member}"), 1);
    for (member, expected) in [
        ("\"id\": \"C-1\", ", Some("C-1")),
        ("\"id\": 007e1, ", None),
        ("\"id\": 7, ", Some("7")),
        ("\"id\": 7.50, ", Some("7.50")),
        ("\"id\": true, ", Some("true")),
        ("\"id\": [1], ", Some("[1]")),
        ("\"id\": null, ", None),
        ("\"id\": \"\", ", None),
        ("", None),
    ] {
        let decoded = keyed("id").json(with(member).as_bytes());
        match decoded {
            Ok(decoded) => assert_eq!(decoded.key(0), expected, "{member}"),
            Err(fault) => assert!(member.contains("007e1"), "{fault}"),
        }
    }
    let rows = format!("[{},{ROW},{}]", with("\"id\": 1,"), with("\"id\": 2,"));
    let decoded = keyed("id").json(rows.as_bytes()).unwrap();
    assert_eq!([0, 1, 2, 3].map(|row| decoded.key(row)), [Some("1"), None, Some("2"), None]);
    assert_eq!(keyed("contract").json(ROW.as_bytes()).unwrap().key(0), Some("Monthly"), "a feature");

    let line = "1,1,a,,,";
    let csv = format!("{HEADER},id\n{line},C-1\n{line},\n");
    let decoded = keyed("id").csv(csv.as_bytes()).unwrap();
    assert_eq!([0, 1].map(|row| decoded.key(row)), [Some("C-1"), None]);
    assert_eq!(keyed("id").csv(format!("{HEADER}\n{line}\n").as_bytes()).unwrap().key(0), None);
    assert_eq!(keyed("tenure").csv(csv.as_bytes()).unwrap().key(1), Some("1"));
    let split = keyed("id").json_split(
        r#"["id","tenure","charges","contract","note é","paperless","since"]"#,
        r#"[["x",1,1,"a","","",""]]"#,
    );
    assert_eq!(split.unwrap().key(0), Some("x"));
    assert_eq!(
        keyed("id")
            .json_split(r#"["id"]"#, "[[1], [2]]")
            .map_err(|fault| matches!(fault, RequestFault::Rows { .. }))
            .err(),
        Some(true)
    );
}

#[test]
fn sizes_are_limited() {
    let small = decoder(RequestOptions { max_rows: 2, max_bytes: 100, ..RequestOptions::default() });
    assert_eq!(small.json(format!("[{ROW},{ROW}]").as_bytes()).unwrap().rows(), 2);
    let too_many = Err(RequestFault::TooManyRows { max: 2 });
    let fault = |result: Result<DecodedRequest, RequestFault>| result.map(|decoded| decoded.rows());
    assert_eq!(fault(small.json(format!("[{ROW},{ROW},{ROW}]").as_bytes())), too_many);
    assert_eq!(fault(small.json(b"[1,1,1]")), too_many);
    let line = "1,1,a,,,\n";
    assert_eq!(fault(small.csv(format!("{HEADER}\n{}", line.repeat(3)).as_bytes())), too_many);
    assert_eq!(small.csv(format!("{HEADER}\n{}", line.repeat(2)).as_bytes()).unwrap().rows(), 2);
    assert_eq!(fault(small.json_split("[]", "[]").map_err(|_| RequestFault::TooManyRows { max: 2 })), too_many);
    assert_eq!(fault(small.json_columns(3, &[])), too_many);
    assert_eq!(fault(small.json_columns(usize::MAX, &[])), too_many);
    let long = ROW.replace("Monthly", &"x".repeat(200));
    assert_eq!(fault(small.json(long.as_bytes())), Err(RequestFault::TooLarge { max: 100 }));
    // A text of more than a row may have is a fault of its field, with room for many.
    let field =
        told(decoder(RequestOptions::default()).json(ROW.replace("Monthly", &"x".repeat((8 << 20) + 1)).as_bytes()));
    assert!(field[0].2.starts_with("the text has 8388609 bytes, more than"), "{field:?}");
}

#[test]
fn keys_are_short_and_count() {
    let options = RequestOptions { key: Some("id".to_owned()), max_bytes: 3_000, ..RequestOptions::default() };
    let keyed = decoder(options);
    let with = |id: &str| ROW.replacen('{', &format!("{{\"id\": {id}, "), 1);
    let longest = format!("\"{}\"", "k".repeat(1024));
    assert_eq!(keyed.json(with(&longest).as_bytes()).unwrap().key(0).map(str::len), Some(1024));
    let message = "the text has 1025 bytes, and at most 1024 of this field are kept: shorten it";
    for longer in
        [format!("\"{}\"", "k".repeat(1025)), format!("1{}", "0".repeat(1024)), format!("[{}]", "1".repeat(1023))]
    {
        assert_eq!(told(keyed.json(with(&longer).as_bytes())), [field(0, "id", message)]);
    }
    let line = "1,1,a,,,";
    let csv = format!("{HEADER},id\n{line},{0}\n{line},{0}0\n", "k".repeat(1024));
    assert_eq!(told(keyed.csv(csv.as_bytes())), [field(1, "id", message)]);
    let rows = vec![with(&longest); 3].join("\n");
    assert_eq!(keyed.json(rows.as_bytes()).map(|it| it.rows()), Err(RequestFault::TooLarge { max: 3_000 }));
    let split = keyed.json_columns(1, &[JsonColumn { name: "id", values: "[1", is_tensor: false }]);
    assert!(split.is_err());
}

#[test]
fn kept_fields_are_found_whichever_of_them_come() {
    let options = RequestOptions {
        key: Some("region".to_owned()),
        kept: vec!["id".to_owned(), "tenure".to_owned()],
        ..RequestOptions::default()
    };
    let decoder = decoder(options);
    let line = "1,1,a,,,";
    let decoded = decoder.csv(format!("id,{HEADER}\nC-1,{line}\n").as_bytes()).unwrap();
    assert_eq!(decoded.key(0), None, "the column did not come");
    assert_eq!(decoded.kept, [vec![Some("C-1".into())], vec![Some("1".into())]]);
    let decoded = decoder.json(ROW.replacen('{', "{\"region\": \"EU\", ", 1).as_bytes()).unwrap();
    assert_eq!((decoded.key(0), &decoded.kept[..]), (Some("EU"), &[vec![None], vec![Some("1".into())]][..]));
}

#[test]
fn a_nested_value_is_a_text_of_bounded_length() {
    let plain = decoder(RequestOptions::default());
    let with = |value: &str| ROW.replace("\"Monthly\"", value);
    let decoded = plain.json(with("[1.50, { \"a\": null }]").as_bytes()).unwrap();
    assert_eq!(decoded.batch, plain.json(with("\"[1.5,{\\\"a\\\":null}]\"").as_bytes()).unwrap().batch);
    let long = format!("[{}0]", "0,".repeat(33_000));
    let message =
        "the array has 66003 bytes, and one that is a value has at most 65536: shorten it, or send it as a text";
    assert_eq!(told(plain.json(with(&long).as_bytes())), [field(0, "contract", message)]);
    // Nobody reads this one.
    let unread = ROW.replacen('{', &format!("{{\"more\": {long}, "), 1);
    assert_eq!(plain.json(unread.as_bytes()).unwrap().rows(), 1);
}

#[test]
fn names_and_parts_of_envelopes_are_bounded() {
    let plain = decoder(RequestOptions { max_rows: 3, ..RequestOptions::default() });
    let names = |count: usize| format!("[{}\"\"]", "\"\",".repeat(count - 1));
    let most = 8 + 4096;
    assert_eq!(
        message(plain.json_split(&names(most + 1), "[]")),
        "there are more than 4104 names of columns, and the model has 6 features"
    );
    assert!(matches!(plain.json_split(&names(most), "[]"), Err(RequestFault::Rows { .. })));
    let cells = format!("[[{}1]]", "1,".repeat(100_000));
    let found = told(plain.json_split("[\"tenure\"]", &cells));
    assert!(found.contains(&(0, None, "the row has 100001 values, and there are 1 columns".to_owned())), "{found:?}");

    let most = (1 << 16) + 4096;
    let elements = |count: usize| format!("[{}1]", "1,".repeat(count - 1));
    assert_eq!(json_elements(elements(most).as_bytes()).unwrap().len(), most);
    let refused = |message: &str| RequestFault::Unreadable { message: message.to_owned() };
    let fault = json_elements(elements(most + 1).as_bytes()).unwrap_err();
    assert_eq!(fault, refused("the array has more than 69632 elements: send fewer"));
    let members = |count: usize| {
        let members: Vec<String> = (0..count).map(|member| format!("\"{member}\":{member}")).collect();
        format!("{{{}, \"0\": 7}}", members.join(","))
    };
    let found = members(most);
    let found = json_members(found.as_bytes()).unwrap();
    assert_eq!((found.len(), found[0].1), (most, "7"));
    let fault = json_members(members(most + 1).as_bytes()).unwrap_err();
    assert_eq!(fault, refused("the object has more than 69632 members: send fewer"));
    assert_eq!(plain.json_rows(b"[1, [2], 3]").unwrap(), ["1", "[2]", "3"]);
    assert_eq!(plain.json_rows(b"[1, 2, 3, 4]"), Err(RequestFault::TooManyRows { max: 3 }));
}

#[test]
fn a_matrix_has_a_value_for_each_feature_of_each_row() {
    let fields = vec![Field::new("a", DataType::Int64), Field::new("b", DataType::Float64).with_nullable(true)];
    let options = RequestOptions { key: Some("a".to_owned()), max_rows: 10, ..RequestOptions::default() };
    let decoder = RequestDecoder::new(&Signature::new(fields).unwrap(), options);
    let expected = decoder.json(br#"[{"a": 1, "b": 2.5}, {"a": 3, "b": null}]"#).unwrap();
    for values in ["[1, 2.5, 3, null]", "[[1, 2.5], [3, null]]", "[[[1], [2.5]], 3, null]"] {
        let decoded = decoder.json_matrix(2, values).unwrap();
        assert_eq!(decoded.batch, expected.batch, "{values}");
        assert_eq!([0, 1].map(|row| decoded.key(row)), [Some("1"), Some("3")]);
    }
    assert_eq!(decoder.json_matrix(0, "[]").unwrap().rows(), 0);
    for (rows, values, expected) in [
        (2, "[1, 2, 3]", "there are 3 values, and 2 rows of 2 features need 4"),
        (1, "[1, 2, 3]", "there are 3 values, and 1 rows of 2 features need 2"),
        (1, "[1, 2", "the text is not JSON: EOF while parsing a list at line 1 column 5"),
    ] {
        assert_eq!(message(decoder.json_matrix(rows, values)), expected);
    }
    assert_eq!(
        told(decoder.json_matrix(2, "[1, 2, 3.5, 4]")),
        [field(1, "a", "`3.5` is not an int64: it has a fraction")]
    );
    let too_many = decoder.json_matrix(usize::MAX, "[]").map(|it| it.rows());
    assert_eq!(too_many, Err(RequestFault::TooManyRows { max: 10 }));
}

#[test]
fn a_body_of_another_kind_is_told_with_its_place() {
    let plain = decoder(RequestOptions::default());
    for (body, expected) in [
        (&b""[..], "the body is empty: send a row as a JSON object"),
        (b" \n", "the body is empty: send a row as a JSON object"),
        (b"{\"tenure\": 1,\n}", "the text is not JSON: key must be a string at line 2 column 1"),
        (b"tenure,charges\n1,2\n", "the text is not JSON: expected ident at line 1 column 2"),
        (b"{\"a\": \"\xff\"}", "the text is not UTF-8, from byte 7 on"),
        (b"\x1f\x8b\x08\x00", "the body cannot be read: it is compressed with gzip, and only plain text is read"),
        (b"{\x00\"\x00a\x00\"\x00", "the body cannot be read: it is text in UTF-16LE, and only UTF-8 is read"),
    ] {
        assert_eq!(message(plain.json(body)), expected);
    }
    for (body, expected) in [
        (&b""[..], "the text is empty: it has not even a header line"),
        (
            b"tenure,charges,contract,note \xc3\xa9,paperless,since\n1,2,\"a,b,c,d\n",
            "data row 1 (line 2): the quote that opens here is never closed; the file may be truncated",
        ),
        (b"PAR1", "the body cannot be read: it is a Parquet file"),
    ] {
        assert_eq!(message(plain.csv(body)), expected);
    }
}

#[test]
fn columns_of_values_have_as_many_as_there_are_rows() {
    let signature = Signature::new(vec![Field::new("a", DataType::Int64), Field::new("b", DataType::Utf8)]).unwrap();
    let decoder = RequestDecoder::new(&signature, RequestOptions::default());
    let column = |name, values, is_tensor| JsonColumn { name, values, is_tensor };
    let (a, b) = (column("a", "[[1], [2]]", true), column("b", "[[[\"x\"]], \"y\"]", true));
    let decoded = decoder.json_columns(2, &[a, b]).unwrap();
    assert_eq!(decoded.batch, decoder.json(br#"[{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]"#).unwrap().batch);
    let kept = decoder.json_columns(1, &[column("a", "[1]", false), column("b", "[[1, 2]]", false)]).unwrap();
    assert_eq!(kept.batch, decoder.json(br#"{"a": 1, "b": "[1,2]"}"#).unwrap().batch);

    let found = told(decoder.json_columns(3, &[a, column("b", "[1, 2, 3, 4]", false), column("c", "no JSON", false)]));
    assert_eq!(
        found,
        [
            field(0, "a", "the field has 2 values, and there are 3 rows"),
            field(0, "b", "the field has 4 values, and there are 3 rows")
        ]
    );
    let found = told(decoder.json_columns(1, &[a, a]));
    assert_eq!(
        found,
        [
            field(0, "a", "more than one column has this name"),
            field(0, "b", "the field is absent, and a text is needed")
        ]
    );
    assert_eq!(
        message(decoder.json_columns(1, &[a, column("b", "{}", false)])),
        "column `b`: `{}` is not an array of values"
    );
    let found = message(decoder.json_columns(1, &[a, column("b", "[1", false)]));
    assert_eq!(found, "column `b`: the text is not JSON: EOF while parsing a list at line 1 column 2");
    // An array of a tensor is never a value, however deep it is.
    let [deepest, deeper] = [17, 18].map(|depth| format!("{}1{}", "[".repeat(depth), "]".repeat(depth)));
    for (name, other) in [("a", "b"), ("b", "a")] {
        let other = column(other, "[1]", true);
        assert_eq!(decoder.json_columns(1, &[column(name, &deepest, true), other]).unwrap().rows(), 1);
        let found = message(decoder.json_columns(1, &[column(name, &deeper, true), other]));
        assert_eq!(found, format!("column `{name}`: the values have more than 16 dimensions"));
    }
}

#[test]
fn rows_apart_from_their_names_have_a_value_for_each() {
    let signature = Signature::new(vec![Field::new("a", DataType::Int64), Field::new("b", DataType::Utf8)]).unwrap();
    let decoder = RequestDecoder::new(&signature, RequestOptions::default());
    let names = r#"["b", "\u0061", "more"]"#;
    let decoded = decoder.json_split(names, r#"[["x", 1, 0], ["y", 2.0, {}]]"#).unwrap();
    assert_eq!(decoded.batch, decoder.json(br#"[{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]"#).unwrap().batch);
    assert_eq!(
        told(decoder.json_split(names, r#"[["x", 1], 7, ["x", "y", 0], []]"#)),
        [
            (0, None, "the row has 2 values, and there are 3 columns".to_owned()),
            (1, None, "`7` is not an array of values".to_owned()),
            field(2, "a", "`y` is not an int64"),
            (3, None, "the row has 0 values, and there are 3 columns".to_owned()),
        ]
    );
    for (columns, rows, expected) in [
        ("[1]", "[]", "`1` is not the name of a column"),
        ("{}", "[]", "`{}` is not an array of names of columns"),
        (names, "[[1]", "the text is not JSON: EOF while parsing a list at line 1 column 4"),
        (names, "{}", "`{}` is not an array of rows"),
        (names, "[] 1", "more text follows an array of rows"),
    ] {
        assert_eq!(message(decoder.json_split(columns, rows)), expected);
    }
}

#[test]
fn a_decoder_is_shared_by_threads() {
    fn shared<T: Send + Sync + Clone>() {}
    shared::<RequestDecoder>();
    let decoder = decoder(RequestOptions::default());
    let expected = decoder.json(ROW.as_bytes()).unwrap().batch;
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..100).for_each(|_| assert_eq!(decoder.json(ROW.as_bytes()).unwrap().batch, expected)));
        }
    });
    assert_eq!(decoder.features().len(), 6);
}
