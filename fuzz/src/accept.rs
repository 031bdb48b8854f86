//! A path, then an `Accept` -> which document is answered.

use peerway_core::negotiate::{Document, Served, negotiate};

use crate::input::lines;

pub(crate) fn check(data: &[u8]) {
    let ([path], accept) = lines(data);
    let Ok(accept) = str::from_utf8(accept) else { return };
    for minor in [26, 27, 31, 36] {
        let served = Served::by_minor(minor);
        let negotiation = negotiate(path, accept, served);
        let is_document = negotiate(path, "", served).is_some();
        assert_eq!(negotiation.is_some(), is_document, "the path alone says whether there is one");
        let Some(negotiation) = negotiation else { continue };
        let padded = negotiate(path, &format!(" \t{accept}\t "), served);
        assert_eq!(padded.as_ref(), Some(&negotiation));
        let is_answer = negotiation.result != Document::NotAcceptable;
        assert_eq!(negotiation.status, if is_answer { 200 } else { 406 });
        assert_eq!(!negotiation.format.is_empty(), is_answer);
        if negotiation.result == Document::Aggregated {
            assert!(minor >= 27 && matches!(path, b"/api" | b"/api/" | b"/apis"), "{path:?}");
        }
        let in_header = |byte: u8| byte.is_ascii_graphic();
        assert!(negotiation.content_type.bytes().all(in_header), "{negotiation:?}");
    }
}
