//! The certificates that were read lately, by fingerprint: reading one takes some microseconds, and
//! a connection brings the same one with each request.

use std::rc::Rc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::Certificate;

/// Bounded: what was not asked for while some thousand others came is forgotten.
#[derive(Debug, Default)]
pub struct Known {
    young: Generation,
    old: Generation,
}

type Generation = HashMap<Box<[u8]>, Rc<Certificate>, FixedState>;

/// Nodes of the largest clusters (5,000), spread over workers, with room for people and robots.
const MOST: usize = 2_048;

impl Known {
    /// The certificate with this fingerprint. `pem` is asked for one that is not known.
    pub fn get(&mut self, fingerprint: &[u8], pem: impl FnOnce() -> Vec<u8>) -> Rc<Certificate> {
        if let Some(known) = self.young.get(fingerprint) {
            return Rc::clone(known);
        }
        let read = || Rc::new(Certificate::from_pem(&pem()));
        let certificate = self.old.remove(fingerprint).unwrap_or_else(read);
        if self.young.len() >= MOST {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(fingerprint.into(), Rc::clone(&certificate));
        certificate
    }
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    #[test]
    fn what_is_asked_for_stays_and_the_rest_is_bounded() {
        let mut known = Known::default();
        let mut reads = 0;
        for number in 0..20 * MOST {
            for name in ["often", number.to_string().as_str()] {
                known.get(name.as_bytes(), || {
                    reads += 1;
                    Vec::new()
                });
            }
            assert!(known.young.len() + known.old.len() <= 2 * MOST);
        }
        assert_eq!(reads, 20 * MOST + 1);
    }
}
