//! Applies the write-ahead log of a SQLite database, with both files in memory and no other
//! process.
//!
//! A log is a header and frames. A frame is a page with its number. A frame counts if it has the
//! header's salt, if the checksums up to it are right, and if a commit frame follows. So unfinished
//! transactions and the remains of an older log are ignored, as in SQLite's own recovery. The
//! format is described in <https://www.sqlite.org/walformat.html>.

/// Bytes of the header.
const HEADER: usize = 32;

/// Bytes before the page of each frame.
const FRAME: usize = 24;

/// The magic number of a log. Its last bit tells the byte order of the checksums.
const MAGIC: u32 = 0x377f_0682;

/// The only version of the format.
const VERSION: u32 = 3_007_000;

/// The offsets of the write version and the read version in the header of a database.
const JOURNALS: [usize; 2] = [18, 19];

/// Their value for a rollback journal, as in a database whose log was checkpointed.
const ROLLBACK: u8 = 1;

/// Their value for a write-ahead log.
const LOGGED: u8 = 2;

/// The offset of the page size in the header of a database.
const PAGE_SIZE: usize = 16;

const FOREIGN: &str = "the file and its `-wal` do not belong together";

/// Copies the committed pages of a log into the database, which is the first `length` bytes of
/// `memory`, and returns its new length.
///
/// # Errors
/// File and log do not belong together.
pub(super) fn apply(memory: &mut [u8], length: usize, log: &[u8]) -> Result<usize, &'static str> {
    let length = match Log::read(log)? {
        Some(log) => log.apply(memory, length)?,
        None => length,
    };
    for at in JOURNALS {
        if let Some(journal) = memory[..length].get_mut(at)
            && *journal == LOGGED
        {
            *journal = ROLLBACK;
        }
    }
    Ok(length)
}

/// A log with a complete header.
struct Log<'a> {
    frames: &'a [u8],
    page: usize,
    salt: &'a [u8],
    sum: Sum,
}

impl<'a> Log<'a> {
    /// Returns `None` for a log without content: an empty one, or one with an unfinished header.
    fn read(log: &'a [u8]) -> Result<Option<Self>, &'static str> {
        let Some((header, frames)) = log.split_at_checked(HEADER) else { return Ok(None) };
        let magic = word(header, 0);
        let page = word(header, 8) as usize;
        if magic & !1 != MAGIC || !page.is_power_of_two() || !(512..=65536).contains(&page) {
            return Ok(None);
        }
        let mut sum = Sum { is_big: magic & 1 == 1, sums: [0; 2] };
        sum.add(&header[..24]);
        if !sum.is(&header[24..]) {
            return Ok(None);
        }
        if word(header, 4) != VERSION {
            return Err("its `-wal` is of a version that is not read");
        }
        Ok(Some(Self { frames, page, salt: &header[16..24], sum }))
    }

    /// Returns the valid frames in order: the page number, the size of the database in pages if the
    /// frame commits, and the page.
    fn frames(&self) -> impl Iterator<Item = (u32, u32, &'a [u8])> {
        let (salt, mut sum) = (self.salt, self.sum);
        self.frames.chunks_exact(FRAME + self.page).map_while(move |frame| {
            let (head, page) = frame.split_at(FRAME);
            sum.add(&head[..8]);
            sum.add(page);
            let counts = &head[8..16] == salt && word(head, 0) != 0 && sum.is(&head[16..]);
            counts.then(|| (word(head, 0), word(head, 4), page))
        })
    }

    fn apply(&self, memory: &mut [u8], length: usize) -> Result<usize, &'static str> {
        let last = self.frames().enumerate().filter(|(_, (_, pages, _))| *pages != 0).last();
        let Some((last, (_, pages, _))) = last else { return Ok(length) };
        let size = memory[..length].get(PAGE_SIZE..PAGE_SIZE + 2);
        // A page size of 65,536 does not fit and is written as 1.
        let size = size.map(|size| match u16::from_be_bytes([size[0], size[1]]) {
            1 => 65536,
            size => usize::from(size),
        });
        if size.is_some_and(|size| size != self.page) {
            return Err(FOREIGN);
        }
        let length = (pages as usize).checked_mul(self.page).filter(|length| *length <= memory.len()).ok_or(FOREIGN)?;
        for (number, _, page) in self.frames().take(last + 1).filter(|(number, ..)| *number <= pages) {
            let at = (number as usize - 1) * self.page;
            memory[at..at + self.page].copy_from_slice(page);
        }
        Ok(length)
    }
}

/// The running checksum of a log.
#[derive(Clone, Copy)]
struct Sum {
    is_big: bool,
    sums: [u32; 2],
}

impl Sum {
    fn add(&mut self, bytes: &[u8]) {
        let [mut first, mut second] = self.sums;
        for pair in bytes.as_chunks::<8>().0 {
            let [a, b, c, d, e, f, g, h] = *pair;
            let (left, right) = ([a, b, c, d], [e, f, g, h]);
            let read = if self.is_big { u32::from_be_bytes } else { u32::from_le_bytes };
            first = first.wrapping_add(read(left)).wrapping_add(second);
            second = second.wrapping_add(read(right)).wrapping_add(first);
        }
        self.sums = [first, second];
    }

    /// Returns whether the checksum equals these bytes.
    fn is(&self, bytes: &[u8]) -> bool {
        self.sums == [word(bytes, 0), word(bytes, 4)]
    }
}

/// Reads a number of a header, which is long enough.
fn word(bytes: &[u8], at: usize) -> u32 {
    bytes[at..].first_chunk().map_or(0, |word| u32::from_be_bytes(*word))
}
