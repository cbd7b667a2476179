//! The list of a process's mappings, as `/proc/self/maps` has it (`man 5 proc_pid_maps`). Nothing
//! here allocates, since that would change what the list says.

use std::ops::Range;

/// Returns the private, writable mappings without the stack and without the `excluded` parts.
pub(super) fn writable<'a>(
    list: &'a [u8],
    excluded: &'a [Range<usize>],
) -> impl Iterator<Item = Range<usize>> + Clone + 'a {
    entries(list)
        .filter(|entry| entry.access == b"rw-p" && entry.name != b"[stack]")
        .flat_map(move |entry| without(entry.range, excluded))
}

/// Returns the mappings that are reserved and not accessible.
pub(super) fn reserved(list: &[u8]) -> impl Iterator<Item = Range<usize>> + Clone + '_ {
    entries(list).filter(|entry| entry.access == b"---p").map(|entry| entry.range)
}

/// A line of the list.
struct Entry<'a> {
    range: Range<usize>,
    access: &'a [u8],
    name: &'a [u8],
}

fn entries(list: &[u8]) -> impl Iterator<Item = Entry<'_>> + Clone {
    list.split(|byte| *byte == b'\n').filter_map(entry)
}

/// Parses `start-end access offset device inode name`. The name may be missing.
fn entry(line: &[u8]) -> Option<Entry<'_>> {
    let mut words = line.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    let (range, access) = (words.next()?, words.next()?);
    let name = words.nth(3).unwrap_or_default();
    let (start, end) = std::str::from_utf8(range).ok()?.split_once('-')?;
    let number = |hex| usize::from_str_radix(hex, 16).ok();
    Some(Entry { range: number(start)?..number(end)?, access, name })
}

/// Returns the parts of a range that are in none of the `excluded` ranges.
fn without(range: Range<usize>, excluded: &[Range<usize>]) -> impl Iterator<Item = Range<usize>> + Clone + '_ {
    let mut start = range.start;
    std::iter::from_fn(move || {
        while start < range.end {
            let begin = start;
            // The excluded range that ends this part, or that this part would begin in.
            let next = excluded
                .iter()
                .filter(|other| !other.is_empty() && other.end > begin && other.start < range.end)
                .min_by_key(|other| other.start);
            let (end, after) = next.map_or((range.end, range.end), |other| (other.start.max(begin), other.end));
            start = after;
            if begin < end {
                return Some(begin..end);
            }
        }
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &[u8] = b"\
7f0000000000-7f0000004000 r-xp 00000000 fe:00 1234                       /usr/bin/a program
7f0000004000-7f0000008000 rw-p 00004000 fe:00 1234                       /usr/bin/a program
7f0000008000-7f0000009000 rw-p 00000000 00:00 0 
7f0000010000-7f0000018000 rw-s 00000000 00:01 7                          /memfd:ring (deleted)
7f0000020000-7f0100020000 ---p 00000000 00:00 0 
7f0100020000-7f0100030000 rw-p 00000000 00:00 0                          [heap]
7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0                          [stack]
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]
";

    #[test]
    fn private_writable_mappings_are_found_without_the_stack_and_what_is_excluded() {
        let all: Vec<_> = writable(LIST, &[]).collect();
        let expected = [
            0x7f00_0000_4000..0x7f00_0000_8000,
            0x7f00_0000_8000..0x7f00_0000_9000,
            0x7f01_0002_0000..0x7f01_0003_0000,
        ];
        assert_eq!(all, expected);
        assert!(reserved(LIST).eq(std::iter::once(0x7f00_0002_0000..0x7f01_0002_0000)));
        // Parts at the start, in the middle and at the end of mappings; a range across two of them;
        // an empty one.
        let excluded = [
            0x7f01_0002_8000..0x7f01_0002_9000,
            0x7f00_0000_7000..0x7f00_0000_9000,
            0x7f01_0002_0000..0x7f01_0002_1000,
            0..0,
        ];
        let some: Vec<_> = writable(LIST, &excluded).collect();
        let expected = [
            0x7f00_0000_4000..0x7f00_0000_7000,
            0x7f01_0002_1000..0x7f01_0002_8000,
            0x7f01_0002_9000..0x7f01_0003_0000,
        ];
        assert_eq!(some, expected);
    }

    #[test]
    fn the_list_of_this_process_has_its_statics_and_its_heap_but_not_its_stack() {
        static STATIC: std::sync::atomic::AtomicU8 = std::sync::atomic::AtomicU8::new(1);
        let (heap, stack) = (Box::new(1_u8), 1_u8);
        let list = std::fs::read("/proc/self/maps").expect("a list");
        let has = |address: usize| writable(&list, &[]).any(|range| range.contains(&address));
        assert!(has((&raw const STATIC) as usize) && has((&raw const *heap) as usize));
        // A test's thread has its stack in a mapping like any other, which is excluded by address.
        let start = (&raw const stack) as usize & !4095;
        let excluded = [start..start + 4096, 0..0];
        assert!(writable(&list, &excluded).all(|range| !range.contains(&((&raw const stack) as usize))));
        assert!(reserved(&list).all(|range| !range.is_empty()));
    }
}
