//! Changes of valid requests, as careless and hostile clients make them.

#![expect(clippy::ptr_arg, reason = "all changes have one type")]

use std::ops::Range;

use arrow_ipc::root_as_message;
use fastrand::Rng;

use super::request::{Request, Shape};

/// The most bytes of a request: a change may repeat much, and long bodies show nothing more.
const LONGEST: usize = 32 << 10;

/// A change of bytes.
type Change = fn(&mut Rng, &mut Vec<u8>);

/// Changes that know nothing of what the bytes are.
const OF_BYTES: [Change; 8] =
    [flip_bit, set_byte, truncate, insert_bytes, repeat_range, remove_range, swap_ranges, set_number];

/// Changes that know JSON and CSV.
const OF_TEXT: [Change; 12] = [
    swap_tokens,
    swap_tokens,
    replace_token,
    replace_token,
    replace_token,
    copy_token,
    nest,
    repeat_group,
    repeat_group,
    remove_group,
    repeat_line,
    remove_line,
];

/// Values at the edges of types, of wrong types, and texts that are none.
const EXTREMES: [&str; 40] = [
    "0",
    "-0",
    "-1",
    "0.25",
    "1e308",
    "1e309",
    "-1e309",
    "1e-400",
    "4.9e-324",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775809",
    "18446744073709551615",
    "18446744073709551616",
    "4294967296",
    "10001",
    "1.0",
    "1e5",
    "00",
    "+1",
    "NaN",
    "Infinity",
    "-inf",
    "null",
    "true",
    "false",
    "\"\"",
    "\"1\"",
    "\"NaN\"",
    "\"\\ud800\"",
    "\"\\u0000\"",
    "\"\\",
    "[]",
    "{}",
    "[[]]",
    "[null]",
    "{\"x\": 1}",
    "\"rows\"",
    "\r",
    "\"x\"",
];

const CONTENT_TYPES: [&str; 16] = [
    "application/json",
    "text/csv",
    "application/vnd.apache.arrow.stream",
    "application/octet-stream",
    "APPLICATION/JSON",
    "application/json; charset=utf-8",
    "application/json; charset=latin-1",
    "application/json;;;=",
    "text/csv; header=absent",
    "text/plain",
    "application/x-www-form-urlencoded",
    "application",
    "/",
    ";",
    "",
    "ünï/ködé",
];

/// Returns a request with one to three changes.
pub(super) fn mutated(rng: &mut Rng, valid: &Request) -> Request {
    let mut request = valid.clone();
    for _ in 0..rng.usize(1..=3).min(rng.usize(1..=3)) {
        match request.shape {
            _ if rng.u8(0..32) == 0 => {
                let kind = rng.choice(CONTENT_TYPES).expect("a content type");
                request.content_type = (!kind.is_empty()).then(|| kind.to_owned());
            }
            Shape::Text => change_text(rng, &mut request.body),
            Shape::Stream => change_stream(rng, &mut request.body),
            Shape::Split { json } => change_split(rng, &mut request, json),
        }
        request.body.truncate(LONGEST);
    }
    request
}

fn change_text(rng: &mut Rng, body: &mut Vec<u8>) {
    let change = if rng.u8(0..4) == 0 { rng.choice(OF_BYTES) } else { rng.choice(OF_TEXT) };
    change.expect("a change")(rng, body);
}

fn change_stream(rng: &mut Rng, body: &mut Vec<u8>) {
    match rng.u8(0..8) {
        0 => repeat_message(rng, body),
        1 => remove_message(rng, body),
        _ => rng.choice(OF_BYTES).expect("a change")(rng, body),
    }
}

/// Changes the JSON or the bytes after it. The header mostly follows.
fn change_split(rng: &mut Rng, request: &mut Request, json: usize) {
    let json = json.min(request.body.len());
    let mut bytes = request.body.split_off(json);
    match rng.u8(0..8) {
        0..4 => change_text(rng, &mut request.body),
        4..7 => rng.choice(OF_BYTES).expect("a change")(rng, &mut bytes),
        _ => {
            request.json_length = match rng.u8(0..4) {
                0 => None,
                1 => Some(rng.usize(0..=json + bytes.len()).to_string()),
                2 => rng.choice(EXTREMES).map(|text| text.trim().to_owned()),
                _ => Some((json + bytes.len()).to_string()),
            };
        }
    }
    let changed = request.body.len();
    if changed != json && request.json_length == Some(json.to_string()) && rng.u8(0..8) > 0 {
        request.json_length = Some(changed.to_string());
    }
    request.shape = Shape::Split { json: changed };
    request.body.append(&mut bytes);
}

/// Returns a range of bytes, mostly a short one.
fn range(rng: &mut Rng, bytes: &[u8]) -> Range<usize> {
    let start = rng.usize(0..=bytes.len());
    let longest = if rng.bool() { 8 } else { bytes.len() };
    start..rng.usize(start..=bytes.len().min(start + longest))
}

fn flip_bit(rng: &mut Rng, bytes: &mut Vec<u8>) {
    if let Some(place) = place(rng, bytes.len()) {
        bytes[place] ^= 1 << rng.u8(0..8);
    }
}

fn set_byte(rng: &mut Rng, bytes: &mut Vec<u8>) {
    if let Some(place) = place(rng, bytes.len()) {
        bytes[place] = rng.choice(*b"0129-.,:;[]{}\"\\nue+ \n\r\t\0\x7f\x80\xff").expect("a byte");
    }
}

fn truncate(rng: &mut Rng, bytes: &mut Vec<u8>) {
    bytes.truncate(rng.usize(0..=bytes.len()));
}

fn insert_bytes(rng: &mut Rng, bytes: &mut Vec<u8>) {
    let place = rng.usize(0..=bytes.len());
    let count = rng.usize(1..=9);
    let inserted: Vec<u8> = if rng.bool() { vec![0; count] } else { (0..count).map(|_| rng.u8(..)).collect() };
    bytes.splice(place..place, inserted);
}

fn repeat_range(rng: &mut Rng, bytes: &mut Vec<u8>) {
    let range = range(rng, bytes);
    let repeated = bytes[range.clone()].repeat(rng.usize(1..=3));
    bytes.splice(range.end..range.end, repeated);
}

fn remove_range(rng: &mut Rng, bytes: &mut Vec<u8>) {
    bytes.drain(range(rng, bytes));
}

fn swap_ranges(rng: &mut Rng, bytes: &mut Vec<u8>) {
    let range = range(rng, bytes);
    if !range.is_empty() {
        let middle = rng.usize(0..range.len());
        bytes[range].rotate_left(middle);
    }
}

/// Writes a length, an offset or a value at the edge of its type.
fn set_number(rng: &mut Rng, bytes: &mut Vec<u8>) {
    let value = rng.choice([0, 1, 7, 8, 127, 128, 65_535, i64::from(i32::MAX), -1, i64::MAX, i64::MIN, -8]);
    let value = value.expect("a number").to_le_bytes();
    let size = if rng.bool() { 4 } else { 8 };
    if let Some(place) = place(rng, bytes.len() / size) {
        bytes[place * size..][..size].copy_from_slice(&value[..size]);
    }
}

/// Returns a place among so many; none if there are none.
fn place(rng: &mut Rng, count: usize) -> Option<usize> {
    (count > 0).then(|| rng.usize(0..count))
}

/// Returns the ranges of texts, numbers and words, which both formats have.
fn tokens(text: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-._".contains(byte);
        let length = match text[at] {
            b'"' => text[at + 1..].iter().position(|byte| *byte == b'"').map_or(1, |end| end + 2),
            _ => text[at..].iter().take_while(|byte| is_word(byte)).count(),
        };
        if length > 0 {
            found.push(at..at + length);
        }
        at += length.max(1);
    }
    found
}

fn swap_tokens(rng: &mut Rng, text: &mut Vec<u8>) {
    let tokens = tokens(text);
    if let (Some(one), Some(other)) = (place(rng, tokens.len()), place(rng, tokens.len())) {
        let (first, last) = (tokens[one.min(other)].clone(), tokens[one.max(other)].clone());
        let (left, right) = (text[first.clone()].to_vec(), text[last.clone()].to_vec());
        text.splice(last, left);
        text.splice(first, right);
    }
}

fn replace_token(rng: &mut Rng, text: &mut Vec<u8>) {
    if let Some(token) = rng.choice(tokens(text)) {
        text.splice(token, rng.choice(EXTREMES).expect("a value").bytes());
    }
}

/// Writes a token in place of another: names come twice, values get other types.
fn copy_token(rng: &mut Rng, text: &mut Vec<u8>) {
    let tokens = tokens(text);
    if let (Some(from), Some(to)) = (place(rng, tokens.len()), place(rng, tokens.len())) {
        let copied = text[tokens[from].clone()].to_vec();
        text.splice(tokens[to].clone(), copied);
    }
}

/// Puts a token into arrays or objects in each other.
fn nest(rng: &mut Rng, text: &mut Vec<u8>) {
    let Some(token) = rng.choice(tokens(text)) else { return };
    let depth = rng.choice([1, 2, 16, 17, 120, 127, 128, 129, 2000]).expect("a depth");
    let (open, close): (&[u8], &[u8]) = if rng.bool() { (b"[", b"]") } else { (b"{\"x\":", b"}") };
    let nested = [&open.repeat(depth), &text[token.clone()], &close.repeat(depth)].concat();
    text.splice(token, nested);
}

/// Returns the range of an array or object, without regard to brackets in texts.
fn group(rng: &mut Rng, text: &[u8]) -> Option<Range<usize>> {
    let opened: Vec<usize> = (0..text.len()).filter(|at| b"[{".contains(&text[*at])).collect();
    let start = rng.choice(opened)?;
    let mut depth = 0_usize;
    for (at, byte) in text.iter().enumerate().skip(start) {
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(start..at + 1);
        }
    }
    None
}

fn repeat_group(rng: &mut Rng, text: &mut Vec<u8>) {
    if let Some(group) = group(rng, text) {
        let separator: &[u8] = if rng.u8(0..4) == 0 { b"\n" } else { b"," };
        let repeated = [separator, &text[group.clone()]].concat().repeat(rng.usize(1..=4));
        text.splice(group.end..group.end, repeated);
    }
}

/// Removes an array or object, with the comma after it.
fn remove_group(rng: &mut Rng, text: &mut Vec<u8>) {
    if let Some(group) = group(rng, text) {
        let comma = usize::from(text.get(group.end) == Some(&b','));
        text.drain(group.start..group.end + comma);
    }
}

/// Returns the range of a line with its end.
fn line(rng: &mut Rng, text: &[u8]) -> Option<Range<usize>> {
    let ends: Vec<usize> = (1..=text.len()).filter(|end| text[end - 1] == b'\n' || *end == text.len()).collect();
    let line = place(rng, ends.len())?;
    let start = if line == 0 { 0 } else { ends[line - 1] };
    Some(start..ends[line])
}

fn repeat_line(rng: &mut Rng, text: &mut Vec<u8>) {
    if let Some(line) = line(rng, text) {
        let repeated = text[line.clone()].repeat(rng.usize(1..=4));
        text.splice(line.end..line.end, repeated);
    }
}

fn remove_line(rng: &mut Rng, text: &mut Vec<u8>) {
    if let Some(line) = line(rng, text) {
        text.drain(line);
    }
}

/// Returns the ranges of the messages of an Arrow stream, as far as they can be told.
pub(super) fn messages(stream: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some([0xff, 0xff, 0xff, 0xff, length @ ..]) = stream.get(at..at + 8) {
        let length = u32::from_le_bytes(length.try_into().expect("four bytes")) as usize;
        let Some(header) = stream.get(at + 8..at + 8 + length).filter(|_| length > 0) else { break };
        let Some(body) = root_as_message(header).ok().and_then(|it| usize::try_from(it.bodyLength()).ok()) else {
            break;
        };
        let end = (at + 8 + length).saturating_add(body);
        if end > stream.len() {
            break;
        }
        found.push(at..end);
        at = end;
    }
    found
}

fn repeat_message(rng: &mut Rng, stream: &mut Vec<u8>) {
    if let Some(message) = rng.choice(messages(stream)) {
        let repeated = stream[message.clone()].to_vec();
        stream.splice(message.end..message.end, repeated);
    }
}

fn remove_message(rng: &mut Rng, stream: &mut Vec<u8>) {
    if let Some(message) = rng.choice(messages(stream)) {
        stream.drain(message);
    }
}
