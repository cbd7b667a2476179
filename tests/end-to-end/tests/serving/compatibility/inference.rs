//! The Open Inference Protocol.

use serde_json::{Value, json};

use super::server::{Server, run};

#[test]
fn requests_of_the_open_inference_protocol_are_answered() {
    let server = Server::start();
    assert_eq!(server.get("/v2").json()["name"], "stagewright");
    assert_eq!(server.get("/v2/health/live").json(), json!({ "live": true }));
    assert_eq!(server.get("/v2/health/ready").json(), json!({ "ready": true }));
    assert_eq!(server.get("/v2/models/customers/ready").json(), json!({ "name": "customers", "ready": true }));
    assert_eq!(server.get("/v2/models/customers/versions/1/ready").status, 200);
    assert_eq!(
        server.get("/v2/models/customers").json(),
        json!({
            "name": "customers",
            "versions": ["1"],
            "platform": "stagewright",
            "inputs": [
                { "name": "tenure", "datatype": "INT64", "shape": [-1] },
                { "name": "charges", "datatype": "FP64", "shape": [-1] },
                { "name": "contract", "datatype": "BYTES", "shape": [-1] },
            ],
            "outputs": [
                { "name": "label", "datatype": "BYTES", "shape": [-1] },
                { "name": "probability", "datatype": "FP64", "shape": [-1] },
            ],
        })
    );

    let rows = json!([
        { "tenure": 2, "charges": 80.5, "contract": "Month-to-month" },
        { "tenure": 70, "charges": null, "contract": "Two year" },
    ]);
    let native = server.post("/models/customers/predict", &rows).json();
    let request = json!({ "id": "a-7", "inputs": columns() });
    let inferred = server.post("/v2/models/customers/versions/1/infer", &request).json();
    assert_eq!(
        (&inferred["model_name"], &inferred["model_version"], &inferred["id"]),
        (&json!("customers"), &json!("1"), &json!("a-7"))
    );
    assert!(inferred["parameters"]["request_id"].as_str().is_some_and(|id| id.ends_with(".v1")), "{inferred}");
    for (place, member) in ["label", "probability"].into_iter().enumerate() {
        let output = &inferred["outputs"][place];
        assert_eq!((&output["name"], &output["shape"]), (&json!(member), &json!([2])));
        let same: Vec<&Value> = native["predictions"].as_array().expect("two").iter().map(|it| &it[member]).collect();
        assert_eq!(output["data"].as_array().expect("data").iter().collect::<Vec<_>>(), same, "{member}");
    }
    assert_eq!(inferred["outputs"][0]["data"], json!(["Yes", "No"]));
    // Outputs by name.
    let one = json!({ "inputs": columns(), "outputs": [{ "name": "probability" }] });
    let answer = server.post("/v2/models/customers/infer", &one).json();
    assert_eq!((answer["outputs"].as_array().map(Vec::len), &answer["outputs"][0]), (Some(1), &inferred["outputs"][1]));
    assert_eq!(answer.get("id"), None);

    // One tensor, by rows or flat, where all features are numbers.
    let matrix =
        |data: Value| json!({ "inputs": [{ "name": "x", "shape": [2, 2], "datatype": "FP64", "data": data }] });
    let native = server.post(
        "/models/numbers/predict",
        &json!([{ "tenure": 2, "charges": 80.5 }, { "tenure": 70, "charges": 20.25 }]),
    );
    for data in [json!([[2, 80.5], [70, 20.25]]), json!([2.0, 80.5, 70.0, 20.25])] {
        let answer = server.post("/v2/models/numbers/infer", &matrix(data)).json();
        let probability = |place: usize| &answer["outputs"][1]["data"][place];
        let native = native.json();
        assert_eq!(
            [probability(0), probability(1)],
            [0, 1].map(|row: usize| &native["predictions"][row]["probability"])
        );
    }
}

fn columns() -> Value {
    json!([
        { "name": "contract", "shape": [2], "datatype": "BYTES", "data": ["Month-to-month", "Two year"] },
        { "name": "tenure", "shape": [2, 1], "datatype": "INT32", "data": [[2], [70]] },
        { "name": "charges", "shape": [2, 1], "datatype": "FP64", "data": [80.5, null] },
    ])
}

#[test]
fn faults_of_the_open_inference_protocol_say_what_is_wrong() {
    let server = Server::start();
    let told = |path: &str, body: &Value, status: u16, said: &str| {
        let answer = server.post(path, body);
        assert_eq!(answer.status, status, "{body}: {answer:?}");
        let body = answer.json();
        let error = body["error"].as_str().unwrap_or_else(|| panic!("no error: {body}"));
        assert!(error.contains(said), "{error:?} lacks {said:?}");
        assert_eq!(body.as_object().map(serde_json::Map::len), Some(1), "{body}");
    };
    const INFER: &str = "/v2/models/customers/infer";
    told("/v2/models/other/infer", &json!({ "inputs": columns() }), 404, "no model `other`");
    told("/v2/models/customers/versions/2/infer", &json!({ "inputs": columns() }), 404, "version 2 of `customers`");
    told("/v2/models/customers/versions/01/infer", &json!({ "inputs": columns() }), 404, "version 01");
    assert_eq!(server.get("/v2/models/customers/versions/2").status, 404);
    assert_eq!(server.get("/v2/models/other/ready").status, 404);
    told(INFER, &json!([]), 400, "object");
    told(INFER, &json!({}), 400, "no `inputs`");
    told(INFER, &json!({ "inputs": [] }), 400, "no `inputs`");
    told(INFER, &json!({ "inputs": [{}] }), 400, "no `name`");
    told(INFER, &json!({ "id": 7, "inputs": columns() }), 400, "`id` is not a text");
    told(INFER, &json!({ "inputs": columns(), "outputs": [{ "name": "other" }] }), 400, "it has label, probability");
    let with = |place: usize, member: &str, value: Value| {
        let mut inputs = columns();
        inputs[place][member] = value;
        json!({ "inputs": inputs })
    };
    told(INFER, &with(0, "name", json!("Contract")), 400, "contract");
    told(INFER, &with(0, "name", json!("tenure")), 400, "two tensors are named `tenure`");
    told(INFER, &with(0, "shape", json!([3])), 400, "rows");
    told(INFER, &with(0, "shape", json!([2, 2])), 400, "the shape [2, 2]");
    told(INFER, &with(0, "shape", json!([1, 2, 1])), 400, "3 dimensions");
    told(INFER, &with(0, "shape", json!([-1])), 400, "`shape`");
    told(INFER, &with(1, "shape", json!([u64::MAX])), 400, "rows");
    told(INFER, &with(0, "datatype", json!("TEXT")), 400, "unknown datatype `TEXT`");
    told(INFER, &with(0, "data", json!(["Two year"])), 400, "contract");
    told(INFER, &with(1, "data", json!([[2], ["many"]])), 400, "row 1, field `tenure`");
    told(INFER, &with(1, "data", json!([[2], [null]])), 400, "row 1, field `tenure`");
    told(INFER, &with(0, "parameters", json!({ "binary_data_size": 4 })), 400, "both `data` and `binary_data_size`");
    let matrix = |columns: usize, data: Value| json!({ "inputs": [{ "name": "x", "shape": [1, columns], "datatype": "FP64", "data": data }] });
    told(INFER, &matrix(3, json!([1, 2, 3])), 400, "`contract` is utf8: send a tensor for each feature");
    told("/v2/models/numbers/infer", &matrix(3, json!([1, 2, 3])), 400, "3 columns, and the model 2 features");
    told("/v2/models/numbers/infer", &matrix(2, json!([1, 2, 3])), 400, "3 values");
    let answer = server.ask("POST", INFER, Some("text/csv"), Some("a\n1\n"));
    assert_eq!(answer.status, 415, "{answer:?}");
    let answer = server.ask("POST", INFER, Some("application/json"), Some("{"));
    assert_eq!((answer.status, answer.json()["error"].is_string()), (400, true), "{answer:?}");
}

#[test]
#[ignore = "needs tritonclient: STAGEWRIGHT_PYTHON names a Python that has it"]
fn a_stock_client_of_the_open_inference_protocol_predicts() {
    let server = Server::start();
    run("infer.py", &server);
}
