//! Bytes of a log as it lies on a disk or comes through a pipe -> its lines' bytes, unzipped.

use std::io::{self, BufRead, BufReader, Cursor, Read};

use flate2::bufread::MultiGzDecoder;

const GZIP: [u8; 2] = [0x1f, 0x8b];
/// Large enough that neither system calls nor the decoder's start count.
const BUFFER_BYTES: usize = 256 << 10;

/// The bytes of a log, gzip or plain: its first two bytes tell, since names do not (`audit.log.1`).
pub fn unpacked<'a>(mut log: impl Read + 'a) -> io::Result<Box<dyn BufRead + 'a>> {
    let mut head = Vec::with_capacity(GZIP.len());
    log.by_ref().take(GZIP.len() as u64).read_to_end(&mut head)?;
    let zipped = head == GZIP;
    let whole = Cursor::new(head).chain(BufReader::with_capacity(BUFFER_BYTES, log));
    Ok(if zipped {
        // Rotated logs that were joined are several gzip members behind each other.
        Box::new(BufReader::with_capacity(BUFFER_BYTES, MultiGzDecoder::new(whole)))
    } else {
        Box::new(whole)
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn zipped(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn check(log: &[u8], expected: &[u8]) {
        let mut read = Vec::new();
        unpacked(log).unwrap().read_to_end(&mut read).unwrap();
        assert_eq!(read, expected);
    }

    #[test]
    fn plain_and_zipped_logs_read_the_same() {
        for text in [b"".as_slice(), b"x", b"{}\n", &b"{\"a\": 1}\n".repeat(100_000)] {
            check(text, text);
            check(&zipped(text), text);
        }
        check(&[zipped(b"one\n"), zipped(b"two\n")].concat(), b"one\ntwo\n");
    }

    #[test]
    fn a_zipped_log_that_is_cut_off_is_an_error() {
        let whole = zipped(&b"{\"a\": 1}\n".repeat(1000));
        let mut read = Vec::new();
        let error = unpacked(&whole[..whole.len() / 2]).unwrap().read_to_end(&mut read);
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
