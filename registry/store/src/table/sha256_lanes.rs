//! SHA-256 of several messages at once, one in each lane of the processor's vectors.
//!
//! A table's digest consists of many independent messages of nearly equal length (the columns of a
//! chunk), so that lanes pay off where SHA instructions are missing: 16 lanes (AVX-512) were
//! measured at six times the speed of one, on the same machine. The compression function is FIPS
//! 180-4, section 6.2.2, written over arrays that the compiler turns into vectors. Without such
//! vectors, and for the rest of messages of unequal length, `sha2` does the work, with SHA
//! instructions if there are any.

use std::cmp::Reverse;

use sha2::block_api::compress256;

use crate::digest::Digest;
use crate::table::column_message::{BLOCK, ColumnMessage};

/// FIPS 180-4, section 5.3.3.
const INITIAL: [u32; 8] =
    [0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19];

/// With fewer messages than this, idle lanes cost more than the others save.
const FEWEST_LANES: usize = 3;

/// Returns the digests of messages, in their order.
pub(super) fn digests(messages: &[ColumnMessage<'_>]) -> Vec<Digest> {
    let mut digests = vec![Digest::from_bytes([0; 32]); messages.len()];
    // Messages of similar length share a group, so that few blocks remain.
    let mut order: Vec<usize> = (0..messages.len()).collect();
    order.sort_by_key(|&index| Reverse(messages[index].blocks()));
    let width = width();
    for group in order.chunks(width) {
        let states = match (group.len() >= FEWEST_LANES, width) {
            #[cfg(target_arch = "x86_64")]
            (true, 16) => run::<16>(messages, group, |state, blocks| {
                // SAFETY: `width` is 16 only if the processor has these features.
                unsafe { compress_avx512(state, blocks) }
            }),
            #[cfg(target_arch = "x86_64")]
            (true, 8) => run::<8>(messages, group, |state, blocks| {
                // SAFETY: `width` is 8 only if the processor has this feature.
                unsafe { compress_avx2(state, blocks) }
            }),
            _ => group.iter().map(|&index| finish(&messages[index], INITIAL, 0)).collect(),
        };
        for (&index, state) in group.iter().zip(states) {
            digests[index] = digest(state);
        }
    }
    digests
}

/// Returns how many messages are hashed at once; 1 where one at a time is as fast.
fn width() -> usize {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("sha") {
            return 1;
        }
        if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw") {
            return 16;
        }
        if is_x86_feature_detected!("avx2") {
            return 8;
        }
    }
    1
}

/// Hashes a group of at most `L` messages: together up to the end of the shortest, then each by
/// itself.
fn run<const L: usize>(
    messages: &[ColumnMessage<'_>],
    group: &[usize],
    compress: impl Fn(&mut [[u32; L]; 8], &[&[u8; BLOCK]; L]),
) -> Vec<[u32; 8]> {
    let mut state = INITIAL.map(|word| [word; L]);
    // Lanes without a message repeat the first; their results are not used.
    let lanes: [&ColumnMessage<'_>; L] = std::array::from_fn(|lane| &messages[*group.get(lane).unwrap_or(&group[0])]);
    let common = lanes.iter().map(|message| message.blocks()).min().unwrap_or(0);
    for block in 0..common {
        compress(&mut state, &lanes.map(|message| message.block(block)));
    }
    (0..group.len()).map(|lane| finish(lanes[lane], state.map(|word| word[lane]), common)).collect()
}

/// Hashes the rest of a message by itself, from block `from` on.
fn finish(message: &ColumnMessage<'_>, mut state: [u32; 8], from: usize) -> [u32; 8] {
    for block in from..message.blocks() {
        compress256(&mut state, std::slice::from_ref(message.block(block)));
    }
    state
}

fn digest(state: [u32; 8]) -> Digest {
    let mut bytes = [0; 32];
    for (bytes, word) in bytes.chunks_exact_mut(4).zip(state) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    Digest::from_bytes(bytes)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw")]
fn compress_avx512(state: &mut [[u32; 16]; 8], blocks: &[&[u8; BLOCK]; 16]) {
    compress(state, blocks);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn compress_avx2(state: &mut [[u32; 8]; 8], blocks: &[&[u8; BLOCK]; 8]) {
    compress(state, blocks);
}

/// FIPS 180-4, section 6.2.2, for `L` messages. Inlined into functions that are compiled for
/// vectors of `L` words.
#[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "only called with vectors"))]
#[inline(always)]
fn compress<const L: usize>(state: &mut [[u32; L]; 8], blocks: &[&[u8; BLOCK]; L]) {
    let mut schedule = [[0; L]; 16];
    for (lane, block) in blocks.iter().enumerate() {
        for (word, bytes) in schedule.iter_mut().zip(block.as_chunks::<4>().0) {
            word[lane] = u32::from_be_bytes(*bytes);
        }
    }
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *state;
    for (round, constants) in K.as_chunks::<16>().0.iter().enumerate() {
        for t in 0..16 {
            let word = schedule[t];
            let (mut new_a, mut new_e) = ([0; L], [0; L]);
            for i in 0..L {
                let sum1 = e[i].rotate_right(6) ^ e[i].rotate_right(11) ^ e[i].rotate_right(25);
                let choice = (e[i] & f[i]) ^ (!e[i] & g[i]);
                let temporary1 =
                    h[i].wrapping_add(sum1).wrapping_add(choice).wrapping_add(constants[t]).wrapping_add(word[i]);
                let sum0 = a[i].rotate_right(2) ^ a[i].rotate_right(13) ^ a[i].rotate_right(22);
                let majority = (a[i] & b[i]) ^ (a[i] & c[i]) ^ (b[i] & c[i]);
                new_e[i] = d[i].wrapping_add(temporary1);
                new_a[i] = temporary1.wrapping_add(sum0).wrapping_add(majority);
            }
            (h, g, f, e, d, c, b, a) = (g, f, e, new_e, c, b, a, new_a);
            if round < 3 {
                let (w1, w9, w14) = (schedule[(t + 1) % 16], schedule[(t + 9) % 16], schedule[(t + 14) % 16]);
                for i in 0..L {
                    let sigma0 = w1[i].rotate_right(7) ^ w1[i].rotate_right(18) ^ (w1[i] >> 3);
                    let sigma1 = w14[i].rotate_right(17) ^ w14[i].rotate_right(19) ^ (w14[i] >> 10);
                    schedule[t][i] = word[i].wrapping_add(sigma0).wrapping_add(w9[i]).wrapping_add(sigma1);
                }
            }
        }
    }
    for (old, new) in state.iter_mut().zip([a, b, c, d, e, f, g, h]) {
        for i in 0..L {
            old[i] = old[i].wrapping_add(new[i]);
        }
    }
}

/// FIPS 180-4, section 4.2.2.
const K: [u32; 64] = [
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, //
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, //
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, //
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, //
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, //
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, //
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3, //
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::schema::DataType;

    proptest! {
        /// The reference is `sha2` over the whole message. Widths that this processor lacks are not
        /// tested.
        #[test]
        fn messages_hashed_together_have_the_digests_that_each_has_alone(
            parts in prop::collection::vec((0usize..300, 0usize..300, 0usize..300, any::<u8>()), 0..40),
        ) {
            let bytes: Vec<u8> = (0..600_u32).map(|position| (position * 31 % 251) as u8).collect();
            let messages: Vec<ColumnMessage<'_>> = parts
                .iter()
                .map(|&(first, second, third, start)| {
                    let from = &bytes[usize::from(start)..];
                    ColumnMessage::new(DataType::Utf8, first, &from[..first], &from[..second], &from[..third])
                })
                .collect();
            let alone: Vec<Digest> = messages
                .iter()
                .map(|message| {
                    let blocks: Vec<u8> = (0..message.blocks() - 1).flat_map(|block| *message.block(block)).collect();
                    Digest::of(&blocks)
                })
                .collect();
            prop_assert_eq!(digests(&messages), alone.clone());
            #[cfg(target_arch = "x86_64")]
            if is_x86_feature_detected!("avx2") && !messages.is_empty() {
                let group: Vec<usize> = (0..messages.len().min(8)).collect();
                let states = run::<8>(&messages, &group, |state, blocks| {
                    // SAFETY: the feature was just detected.
                    unsafe { compress_avx2(state, blocks) }
                });
                prop_assert_eq!(states.into_iter().map(digest).collect::<Vec<_>>(), alone[..group.len()].to_vec());
            }
        }
    }
}
