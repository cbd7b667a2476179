//! Tensors as bytes: the extension `binary_tensor_data`.
//!
//! Numbers are little-endian and one after another; a text has its length before it, as 32 bits.

use std::fmt::Write as _;

/// The datatypes of the protocol.
pub(super) const DATATYPES: [&str; 13] =
    ["BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64", "BYTES"];

/// Returns the values of a tensor as the JSON text of an array.
///
/// # Errors
/// The bytes are no tensor of this datatype. The message continues "the tensor `name`".
pub(super) fn json_values(datatype: &str, bytes: &[u8]) -> Result<String, String> {
    match datatype {
        "BOOL" => numbers(datatype, bytes, |[byte]: [u8; 1], out| write!(out, "{}", byte != 0)),
        "UINT8" => numbers(datatype, bytes, |it, out| write!(out, "{}", u8::from_le_bytes(it))),
        "UINT16" => numbers(datatype, bytes, |it, out| write!(out, "{}", u16::from_le_bytes(it))),
        "UINT32" => numbers(datatype, bytes, |it, out| write!(out, "{}", u32::from_le_bytes(it))),
        "UINT64" => numbers(datatype, bytes, |it, out| write!(out, "{}", u64::from_le_bytes(it))),
        "INT8" => numbers(datatype, bytes, |it, out| write!(out, "{}", i8::from_le_bytes(it))),
        "INT16" => numbers(datatype, bytes, |it, out| write!(out, "{}", i16::from_le_bytes(it))),
        "INT32" => numbers(datatype, bytes, |it, out| write!(out, "{}", i32::from_le_bytes(it))),
        "INT64" => numbers(datatype, bytes, |it, out| write!(out, "{}", i64::from_le_bytes(it))),
        "FP32" => numbers(datatype, bytes, |it, out| float(out, f64::from(f32::from_le_bytes(it)))),
        "FP64" => numbers(datatype, bytes, |it, out| float(out, f64::from_le_bytes(it))),
        "BYTES" => texts(bytes),
        _ => Err(format!("has the datatype {datatype}, which is supported as JSON alone: send FP32")),
    }
}

/// Writes a number. JSON has none that is not finite; the decoder reads their names.
fn float(out: &mut String, value: f64) -> std::fmt::Result {
    if value.is_finite() { write!(out, "{value:?}") } else { write!(out, "\"{value}\"") }
}

fn numbers<const SIZE: usize>(
    datatype: &str,
    bytes: &[u8],
    write: impl Fn([u8; SIZE], &mut String) -> std::fmt::Result,
) -> Result<String, String> {
    let (values, rest) = bytes.as_chunks::<SIZE>();
    if !rest.is_empty() {
        return Err(format!("has {} bytes, which are no whole number of {datatype} values", bytes.len()));
    }
    let mut out = String::with_capacity(values.len() * 8 + 2);
    out.push('[');
    for (place, value) in values.iter().enumerate() {
        if place > 0 {
            out.push(',');
        }
        write(*value, &mut out).map_err(|error| error.to_string())?;
    }
    out.push(']');
    Ok(out)
}

fn texts(mut bytes: &[u8]) -> Result<String, String> {
    let mut texts = Vec::new();
    while !bytes.is_empty() {
        let cut = || "ends within a text: each has its length before it, as 32 bits".to_owned();
        let (length, rest) = bytes.split_first_chunk::<4>().ok_or_else(cut)?;
        let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| cut())?;
        let (text, rest) = rest.split_at_checked(length).ok_or_else(cut)?;
        texts.push(std::str::from_utf8(text).map_err(|_| "has a text that is not UTF-8".to_owned())?);
        bytes = rest;
    }
    serde_json::to_string(&texts).map_err(|error| error.to_string())
}

/// Appends a text to a tensor.
pub(super) fn append_text(tensor: &mut Vec<u8>, text: &str) {
    // Labels are at most a row long.
    tensor.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
    tensor.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_become_the_values_that_they_stand_for() {
        let of = |datatype, bytes: &[u8]| json_values(datatype, bytes).unwrap();
        assert_eq!(of("BOOL", &[0, 1, 2]), "[false,true,true]");
        assert_eq!(of("INT64", &i64::MIN.to_le_bytes()), "[-9223372036854775808]");
        assert_eq!(of("UINT64", &u64::MAX.to_le_bytes()), "[18446744073709551615]");
        assert_eq!(of("INT8", &[255, 1]), "[-1,1]");
        assert_eq!(of("UINT16", &[1, 1]), "[257]");
        let floats: Vec<u8> =
            [0.1, f64::NAN, f64::NEG_INFINITY, 1e300].iter().flat_map(|it| it.to_le_bytes()).collect();
        assert_eq!(of("FP64", &floats), r#"[0.1,"NaN","-inf",1e300]"#);
        assert_eq!(of("FP32", &0.1_f32.to_le_bytes()), "[0.10000000149011612]");
        assert_eq!(of("BYTES", b"\x02\0\0\0No\0\0\0\0\x03\0\0\0a\"b"), r#"["No","","a\"b"]"#);
        assert_eq!(of("FP64", b""), "[]");
    }

    #[test]
    fn bytes_that_are_no_tensor_are_refused() {
        let of = |datatype, bytes: &[u8]| json_values(datatype, bytes).unwrap_err();
        assert!(of("INT64", &[0; 9]).contains("9 bytes"));
        for cut in [&b"\x02\0\0"[..], b"\x03\0\0\0No", b"\xff\xff\xff\xff"] {
            assert!(of("BYTES", cut).contains("ends within a text"), "{cut:?}");
        }
        assert!(of("BYTES", b"\x01\0\0\0\xff").contains("UTF-8"));
        assert!(of("FP16", &[0; 2]).contains("JSON alone"));
    }

    #[test]
    fn a_text_that_is_written_reads_back() {
        let mut tensor = Vec::new();
        append_text(&mut tensor, "né");
        assert_eq!(json_values("BYTES", &tensor).unwrap(), "[\"né\"]");
    }
}
